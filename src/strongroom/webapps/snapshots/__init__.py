"""Snapshots of web apps: files and database of one moment as one commit of a git repository in the app's folder."""
