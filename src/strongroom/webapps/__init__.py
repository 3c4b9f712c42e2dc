"""Web apps in accounts: found, kept in snapshots, and updated without fear."""
