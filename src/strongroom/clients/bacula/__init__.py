"""Bacula as a client: its director is asked through the console, its running file daemon copies."""
