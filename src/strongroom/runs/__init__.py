"""A backup from plan to record: levels, catalog, retention, status."""
