"""What is on this server, read only: one module per layout."""
