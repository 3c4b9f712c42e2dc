"""The settings of a copy made to point to the copy's own database and address."""

from __future__ import annotations

import re

from strongroom.errors import AssuranceError
from strongroom.model import Frozen

# A statement that begins a line; what stands in quotes may look like its end. One that is missed does no harm: ours come
# first, and PHP keeps the first.
_DEFINE = r"""^[ \t]*define\s*\(\s*(['"])%s\1\s*,(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^'";])*?\)\s*;"""
_OPENING = re.compile(r"\A\s*<\?php\b")


class Pointer(Frozen):
    """Where a copy belongs: its address, and its database with who may use it."""

    url: str
    database: str
    user: str
    password: str
    host: str


def wordpress(config: bytes, to: Pointer) -> bytes:
    """A ``wp-config.php`` for a copy: nothing of it reaches the live database, sends mail or works while nobody asks.

    Raise AssuranceError for one that cannot be read so.
    """
    text = config.decode("utf-8", "surrogateescape")
    if not _OPENING.match(text):
        raise AssuranceError("wp-config.php does not begin as PHP, and cannot be made to point to the copy")
    address = to.url.rstrip("/")
    given: dict[str, str | bool] = {
        "DB_NAME": to.database,
        "DB_USER": to.user,
        "DB_PASSWORD": to.password,
        "DB_HOST": to.host,
        "WP_HOME": address,
        "WP_SITEURL": address,
        "DISABLE_WP_CRON": True,
        "WP_HTTP_BLOCK_EXTERNAL": True,
        "AUTOMATIC_UPDATER_DISABLED": True,
    }
    for name in given:
        text, found = re.subn(_DEFINE % name, "", text, flags=re.MULTILINE | re.DOTALL)
        if not found and name in ("DB_NAME", "DB_USER"):
            raise AssuranceError(f"wp-config.php does not say {name} in a way that is known here")
    lines = "".join(f"define( '{name}', {_literal(value)} );\n" for name, value in given.items())
    return _OPENING.sub(lambda found: f"{found[0]}\n{lines}", text, count=1).encode("utf-8", "surrogateescape")


def _literal(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
