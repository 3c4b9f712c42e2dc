"""How statements of MariaDB name a database, in whatever quotes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = rb"""(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[\w.$%-]+)"""
OPEN = rb"(?:/\*M?!\d*\s*)?"
USE = re.compile(rb"USE(?:\s+|(?=`))(" + NAME + rb")", re.IGNORECASE)
DATABASE = re.compile(
    rb"\A"
    + OPEN
    + rb"(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|SCHEMA)\s*"
    + OPEN
    + rb"(?:IF\s+(?:NOT\s+)?EXISTS\s*)?(?:\*/\s*)?("
    + NAME
    + rb")",
    re.IGNORECASE,
)


def listed(names: Iterable[bytes]) -> str:
    """Names as a message has them."""
    return ", ".join(sorted(name.decode("utf-8", "replace") for name in names))
