"""Strongroom: backups for servers that host many accounts."""

__version__ = "0.1.0"
