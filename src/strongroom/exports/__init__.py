"""Logical exports of databases, and the way back: one file per kind of server behind one contract."""
