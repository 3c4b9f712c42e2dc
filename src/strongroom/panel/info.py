"""The panel's info files: what it knows of an account, one file for each service.

The format is INI as the panel writes it: a header ``[DEFAULT]``, then lines ``key = value``. A value is bare or in
quotes, or an array ``['a','b']``; booleans are 1 and 0; nothing, ``None`` or ``null`` mean undefined. What does not fit
is skipped: these values are for finding and showing accounts, and one odd file must not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MOST_BYTES = 1 << 20

Value = str | tuple[str, ...] | None

_LINE = re.compile(r"[ \t]*([A-Za-z0-9_.-]+)[ \t]*=(.*)")
_ITEM = re.compile(r"""[ \t]*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,'"\]]*)[ \t]*""")
_ESCAPE = re.compile(r"\\(.)")
_UNDEFINED = ("", "none", "null")
_TRUE = ("1", "true", "yes", "on")


def parse(content: bytes) -> dict[str, Value]:
    """Read an info file's ``[DEFAULT]`` section; bytes that are not UTF-8 become U+FFFD. Never raises."""
    values: dict[str, Value] = {}
    section = "DEFAULT"
    for line in content.decode("utf-8", "replace").split("\n"):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        match = _LINE.match(line)
        if match and section == "DEFAULT":
            values[match.group(1)] = _value(match.group(2).strip())
    return values


def word(values: Mapping[str, Value], key: str) -> str:
    """A value that is one text; empty when it is absent or something else."""
    value = values.get(key)
    return value if isinstance(value, str) else ""


def words(values: Mapping[str, Value], key: str) -> tuple[str, ...]:
    """A value that is an array; a single text counts as an array of one."""
    value = values.get(key)
    if isinstance(value, str):
        return (value,)
    return value or ()


def flag(values: Mapping[str, Value], key: str, *, default: bool) -> bool:
    """A value that is a boolean."""
    value = word(values, key)
    return value.lower() in _TRUE if value else default


def _value(written: str) -> Value:
    if written.startswith("[") and written.endswith("]"):
        return _items(written[1:-1])
    return _text(written)


def _items(written: str) -> tuple[str, ...]:
    items = []
    at = 0
    while at < len(written):
        match = _ITEM.match(written, at)
        item = _text(match.group(1).strip()) if match else None
        if item is not None:
            items.append(item)
        comma = written.find(",", match.end() if match else at)
        at = comma + 1 if comma >= 0 else len(written)
    return tuple(items)


def _text(written: str) -> str | None:
    if len(written) >= 2 and written[0] in "'\"" and written[-1] == written[0]:
        return _ESCAPE.sub(r"\1", written[1:-1])
    return None if written.lower() in _UNDEFINED else written
