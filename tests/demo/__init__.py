"""Tests of the demo: its server, its night of changes, its proof, its story."""
