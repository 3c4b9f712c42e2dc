"""Backup software behind one contract: one module per client."""
