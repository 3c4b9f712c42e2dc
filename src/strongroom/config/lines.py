"""On which line of a TOML document each key stands, which `tomllib` does not tell."""

from __future__ import annotations

import re
import tomllib

Name = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key_lines(document: str) -> dict[Name, int]:
    """Return the line, counted from 1, of each table header and key; the document must be one that `tomllib` took."""
    scanner = _Scanner(document)
    scanner.scan()
    return scanner.lines


class _Scanner:
    """Walks over a valid document; every method leaves ``at`` behind what it read."""

    def __init__(self, document: str) -> None:
        self.lines: dict[Name, int] = {}
        self._text = document
        self._at = 0

    def scan(self) -> None:
        """Walk over the whole document."""
        table: Name = ()
        while self._next():
            brackets = 2 if self._text.startswith("[[", self._at) else 1
            if self._next() != "[":
                self._pair(table)
                continue
            start = self._at
            self._at += brackets
            table = self._key()
            self._at += brackets
            self._note(table, start)

    def _next(self) -> str:
        """Skip spaces, line ends and comments, and return the character there; empty at the end."""
        self._skip(_BLANK)
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at offset {self._at}")
        self._at = match.end()
        return match.group()

    def _note(self, name: Name, at: int) -> None:
        line = self._text.count("\n", 0, at) + 1
        for length in range(1, len(name) + 1):
            self.lines.setdefault(name[:length], line)

    def _pair(self, table: Name) -> None:
        self._next()
        start = self._at
        name = table + self._key()
        self._note(name, start)
        self._at += 1
        self._value(name)

    def _key(self) -> Name:
        parts = []
        while True:
            quoted = self._next() in ("'", '"')
            part = self._skip(_STRING if quoted else _BARE)
            parts.append(str(tomllib.loads(f"key = {part}")["key"]) if quoted else part)
            if self._next() != ".":
                return tuple(parts)
            self._at += 1

    def _value(self, name: Name) -> None:
        first = self._next()
        if first in ("'", '"'):
            self._skip(_STRING)
        elif first == "{":
            self._items("}", name)
        elif first == "[":
            self._items("]", name)
        else:
            self._skip(_PLAIN)

    def _items(self, end: str, name: Name) -> None:
        self._at += 1
        while self._next() != end:
            if end == "}":
                self._pair(name)
            else:
                self._value(name)
            if self._next() == ",":
                self._at += 1
        self._at += 1
