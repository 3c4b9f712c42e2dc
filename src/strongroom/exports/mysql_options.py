"""Option files as MariaDB's and MySQL's own programs read them, for the few options that lead to a server."""

from __future__ import annotations

import os
import re

from strongroom.errors import ExportError

_GROUPS = ("client", "client-server", "client-mariadb", "mysqldump", "mariadb-dump")
_GROUP = re.compile(r"\[([^\]]+)\]")
_OPTION = re.compile(r"""([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(.*?))\s*(?:\s#.*)?""")
_ESCAPE = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " "}


def options(path: bytes) -> dict[str, str]:
    """``user``, ``password``, ``host``, ``port``, ``socket``, as far as the file's groups for client programs set them.

    Files that it includes are not looked at. Raise ExportError.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is no text"
        raise ExportError(f"{os.fsdecode(path)}: {problem}; it is named as databases.mysql.defaults_file") from None
    found: dict[str, str] = {}
    group = ""
    for line in map(str.strip, lines):
        named = _GROUP.fullmatch(line)
        option = _OPTION.fullmatch(line)
        if named:
            group = named[1]
        elif option and group in _GROUPS:
            value = next((part for part in option.group(2, 3, 4) if part is not None), "")
            found[option[1].replace("_", "-")] = _ESCAPE.sub(lambda code: _MEANT.get(code[1], code[1]), value)
    return {name: found[name] for name in ("user", "password", "host", "port", "socket") if name in found}
