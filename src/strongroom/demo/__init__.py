"""A small real server in a folder, and the proof that it comes back."""
