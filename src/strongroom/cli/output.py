"""What goes to standard output: one JSON document, or lines that are safe on a terminal.

Names in a backup belong to strangers. In text, whatever could steer a terminal or mislead a reader (control and
formatting characters, line ends, bytes that are no text) is shown as an escape, and a backslash as two. In JSON every
character beyond ASCII is an escape, and a byte that is no text Python's lone surrogate.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

# A longer document waits in a temporary file: a list is written whole or, where reading fails half-way, not at all.
_IN_MEMORY = 8 << 20
_PIECE = 1 << 16
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


class OutputError(OSError):
    """Standard output takes no more."""


def _put(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


def write_json(document: Any) -> None:
    """Print one JSON document."""
    import json

    _put(json.dumps(document, ensure_ascii=True) + "\n")


def write_json_list(items: Iterable[Any]) -> None:
    """Print one JSON list of any length, once all of its items are known."""
    import json
    from tempfile import SpooledTemporaryFile

    with SpooledTemporaryFile(_IN_MEMORY, mode="w+", encoding="ascii") as spool:
        separator = "["
        for item in items:
            spool.write(separator + json.dumps(item, ensure_ascii=True))
            separator = ",\n"
        spool.write("[]\n" if separator == "[" else "]\n")
        spool.seek(0)
        while piece := spool.read(_PIECE):
            _put(piece)


def write_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        _put(line + "\n")


def escaped(text: str | bytes) -> str:
    """A stranger's text as one line that is safe to show."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return harmless(text.replace("\\", "\\\\"))


def harmless(message: str) -> str:
    """A message of ours on one safe line; backslashes stay, since the names in it may be escaped already."""
    return message if message.isprintable() else "".join(map(_character, message))


def _character(one: str) -> str:
    if one.isprintable():
        return one
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(one) or one.encode("unicode_escape", "surrogatepass").decode()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows in columns under their heads; columns whose cells are all numbers or sizes stand to the right."""
    cells = [list(row) for row in rows]
    if not cells:
        return []
    widths = [max(len(row[at]) for row in [list(heads), *cells]) for at in range(len(heads))]
    right = [
        all(not row[at] or row[at][0].isdigit() and _countable(row[at]) for row in cells) for at in range(len(heads))
    ]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return [line(heads), *map(line, cells)]


def _countable(cell: str) -> bool:
    number, _, unit = cell.partition(" ")
    return number.replace(",", "").replace(".", "").isdigit() and (not unit or unit in _UNITS)


def size(count: int | float) -> str:
    """Bytes for people, in powers of 1000: ``1.2 GB``."""
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit holds any size")


def duration(seconds: float) -> str:
    """A length of time for people: ``0.4 s``, ``1:05``, ``2:03:04``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
