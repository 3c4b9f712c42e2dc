"""Web apps: found, kept in snapshots, updated without fear."""
