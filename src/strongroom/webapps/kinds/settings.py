"""How kinds read what a stranger wrote: settings in PHP, JSON and ``.env``, within bounds."""

from __future__ import annotations

import re
from typing import Any

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Login

_MOST_BYTES = 1 << 20
_ENGINES = {
    "mysql": "mysql",
    "mysqli": "mysql",
    "mariadb": "mysql",
    "pdomysql": "mysql",
    "pdo_mysql": "mysql",
    "pgsql": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pdo_pgsql": "postgresql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)\"""")
_ESCAPE = re.compile(r"\\(.)")


def content(folder: Folder, path: bytes) -> bytes:
    """The content of a file below a folder; empty where there is none, or too large a one."""
    return folder.read(*path.split(b"/"), limit=_MOST_BYTES) or b""


def settings(folder: Folder, path: bytes) -> php.Php:
    """The literals of a PHP file below a folder."""
    return php.read(folder.read(*path.split(b"/"), limit=php.MOST_BYTES))


def matched(folder: Folder, path: bytes, pattern: str) -> str:
    """What the first group of a pattern finds in a file below a folder; empty where it finds nothing."""
    found = re.search(pattern, content(folder, path).decode("utf-8", "replace"))
    return found.group(1).strip() if found else ""


def decoded(folder: Folder, path: bytes) -> Any:
    """A JSON file below a folder; None where it is none."""
    import msgspec

    try:
        return msgspec.json.decode(content(folder, path))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def dotenv(folder: Folder, path: bytes) -> dict[str, str]:
    """The values of a ``.env`` file below a folder; what stands in quotes without them, comments left out."""
    values = {}
    for line in content(folder, path).decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if quoted := _QUOTED.match(value):
            value = quoted[1] if quoted[1] is not None else _ESCAPE.sub(r"\1", quoted[2])
        else:
            value = re.sub(r"(^|\s)#.*$", "", value).strip()
        values[name.strip()] = value
    return values


def login(engine: Any, name: Any, user: Any = "", password: Any = "", host: Any = "", prefix: Any = "") -> Login | None:
    """A database as settings name it; None where engine or name are not to be known."""
    known = _ENGINES.get(php.word(engine).lower().rpartition("\\")[2])
    if known is None or not php.word(name):
        return None
    return Login(
        engine=known,
        name=php.word(name),
        user=php.word(user),
        password=php.word(password),
        host=php.word(host),
        prefix=php.word(prefix),
    )


def hosted(host: Any, port: Any) -> str:
    """A host with its port, where there is one."""
    return f"{php.word(host)}:{php.word(port)}" if php.word(port) else php.word(host)
