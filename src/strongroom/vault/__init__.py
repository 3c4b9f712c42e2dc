"""The vault: the embedded engine. It knows nothing of hosting, and imports nothing else of ours."""
