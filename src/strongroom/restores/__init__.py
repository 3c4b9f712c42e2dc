"""A restore from question to bytes: find, plan, fetch, write beneath."""
