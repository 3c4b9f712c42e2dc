"""How dumps in an owner's folder are called, by the panel's rule."""

from __future__ import annotations

import re
from datetime import datetime

from strongroom.errors import SettingError

# What each extension of a schedule makes of a name.
SUFFIXES = {"gz": ".sql.gz", "bz": ".sql.bz2", "zip": ".sql.zip", "none": ".sql"}

# What an owner may have uploaded: the rule asks for eight digits that begin with 20, and for one of these at the end.
_ANY_SUFFIX = r"(\.(sql|zip|tar|gz|bz|bz2|tgz|tbz|tbz2))+"
_OUR_SUFFIX = r"\.sql(\.gz|\.bz2|\.zip)?"
_MOST_BYTES = 255


def dump_name(database: str, moment: datetime, extension: str) -> str:
    """``DB-YYYYMMDDHHMMSS.sql`` with the extension's ending; raise SettingError for what no file can be called."""
    name = f"{database}-{moment:%Y%m%d%H%M%S}{SUFFIXES[extension]}"
    if "/" in name or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _MOST_BYTES:
        raise SettingError(f"no file can be called {database!r}: leave this database to the backup")
    return name


def stamp(name: str, database: str) -> str | None:
    """The digits of a file's name that follows the rule for a database, for sorting by time; None for any other."""
    match = re.fullmatch(rf"{re.escape(database)}-(20[0-9]{{6}}[0-9]*)(-snapshot)?{_ANY_SUFFIX}", name)
    return match[1].ljust(14, "0") if match else None


def is_scheduled(name: str, database: str) -> bool:
    """Whether a name is one that a schedule gives: no snapshot, to the second, with an ending of ours."""
    return re.fullmatch(rf"{re.escape(database)}-20[0-9]{{12}}{_OUR_SUFFIX}", name) is not None
