"""One table of the configuration while it is read: each key is asked for once, with what it has to be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from strongroom.config.lines import Name, key_lines
from strongroom.config.values import Days
from strongroom.errors import ConfigError
from strongroom.model import text

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SECRET = re.compile(r"(pass(word|phrase|wd)?|secret|token)s?", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")
_USER_AND_PASSWORD = re.compile(r"://[^/@:]*:[^/@]+@")


class Source:
    """The file a configuration comes from, for messages; lines are looked for only when there is one to write."""

    def __init__(self, path: bytes, document: str) -> None:
        self._path = path
        self._document = document

    def error(self, name: Name, problem: str) -> ConfigError:
        """Say what is wrong with a key: file, line, the key's full name. For a key that is absent, its table's line."""
        lines = key_lines(self._document)
        line = next((lines[name[:length]] for length in range(len(name), 0, -1) if name[:length] in lines), 1)
        return ConfigError(f"{text(self._path)}:{line}: {dotted(name)}: {problem}")


class Table:
    """Reads one table's keys. A key that is absent is None; one that is wrong raises ConfigError."""

    def __init__(self, source: Source, name: Name, values: dict[str, object]) -> None:
        self.name = name
        self._source = source
        self._values = values
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> ConfigError:
        """What is wrong with one of this table's keys."""
        return self._source.error((*self.name, key), problem)

    def wrong(self, key: str, must: str) -> ConfigError:
        """A key whose value is not what it must be; the message shows the value."""
        return self.error(key, f"must be {must}, not {_shown(self._values[key])}")

    def done(self) -> None:
        """Refuse the keys that nobody asked for."""
        unknown = [key for key in self._values if key not in self._known]
        if not unknown:
            return
        key = unknown[0]
        if _SECRET.fullmatch(key):
            files = [known for known in self._known if known.endswith("_file")]
            instead = " or ".join(files) or "the key of its table that ends in _file"
            raise self.error(key, f"secrets never stand in the configuration; put it in a file (0600), set {instead}")
        raise self.error(key, f"unknown key; {self._advice(key)}")

    def rest(self) -> dict[str, object]:
        """Every key that nobody asked for yet; they count as known."""
        left = {key: value for key, value in self._values.items() if key not in self._known}
        self._known += left
        return left

    def need(self, key: str) -> None:
        """Refuse a table in which a key is absent."""
        if key not in self._values:
            raise self.error(key, "is missing; set it")

    def text(self, key: str) -> str | None:
        """A text of at least one character, on one line."""
        value = self._take(key)
        if value is None or (isinstance(value, str) and value.strip() and not _CONTROL.search(value)):
            return value
        raise self.wrong(key, "a text on one line")

    def choice(self, key: str, choices: Iterable[str]) -> str | None:
        """One of several words."""
        value = self._take(key)
        known = list(choices)
        if value is None or (isinstance(value, str) and value in known):
            return value
        raise self.wrong(key, f"one of {', '.join(known)}")

    def integer(self, key: str, low: int, high: int) -> int | None:
        """A whole number from ``low`` to ``high``, both included."""
        value = self._take(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
            return value
        raise self.wrong(key, f"a whole number from {low} to {high}")

    def path(self, key: str) -> bytes | None:
        """An absolute path, normalised: what is relative would depend on where the program was started."""
        value = self.text(key)
        if value is None:
            return None
        if not value.startswith("/"):
            raise self.wrong(key, "an absolute path")
        return normal(value)

    def url(self, key: str, also: re.Pattern[str] | None = None) -> str | None:
        """An absolute path of a folder, or a URL without a password in it; ``also`` is what else a software takes for one."""
        value = self.text(key)
        if value is None:
            return None
        if value.startswith("/"):
            return normal(value).decode()
        if _USER_AND_PASSWORD.search(value):
            raise self.error(key, "holds a password; secrets stand in files, never in the configuration")
        if not _SCHEME.match(value) and (also is None or not also.fullmatch(value)):
            raise self.wrong(key, "an absolute path or a URL such as s3://bucket/prefix")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts, each at least one character long and on one line."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(key, "a list of texts")
        for item in value:
            if not isinstance(item, str) or not item.strip() or _CONTROL.search(item):
                raise self.error(key, f"must be a list of texts on one line each, not one with {_shown(item)}")
        return tuple(value)

    def days(self, key: str) -> Days | None:
        """A phrase that says which days."""
        value = self.text(key)
        if value is None:
            return None
        try:
            return Days.parse(value)
        except ValueError:
            must = 'never, daily, a weekday such as "sunday", or "first sunday" to "last sunday"'
            raise self.wrong(key, must) from None

    def table(self, key: str) -> Table | None:
        """A table below this one."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return Table(self._source, (*self.name, key), value)

    def absent(self, key: str) -> Table:
        """The empty table that stands for one that is not there."""
        return Table(self._source, (*self.name, key), {})

    def tables(self) -> dict[str, Table]:
        """All tables below this one, which holds nothing else."""
        found = {}
        for key in self._values:
            if not key or _CONTROL.search(key):
                raise self.error(key, "is no name; use a word on one line")
            table = self.table(key)
            assert table is not None  # noqa: S101  (the key was just seen)
            found[key] = table
        return found

    def _take(self, key: str) -> object:
        self._known.append(key)
        return self._values.get(key)

    def _advice(self, key: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(key, self._known, 1)
        if close:
            return f"did you mean {close[0]}?"
        return f"known here: {', '.join(self._known)}"


def dotted(name: Name) -> str:
    """A key's full name as TOML would spell it."""
    return ".".join(part if _BARE.fullmatch(part) else _quoted(part) for part in name)


def _quoted(part: str) -> str:
    import json  # late: what is well has no need of it

    return json.dumps(part, ensure_ascii=False)


def normal(path: str) -> bytes:
    """An absolute path without ``.``, ``..`` and needless slashes; nothing is looked up."""
    return b"/" + os.path.normpath(path.encode()).lstrip(b"/")


def _shown(value: object) -> str:
    """A value in a message: one line, never long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = _quoted(value)
    elif isinstance(value, dict):
        shown = "a table"
    elif isinstance(value, list):
        shown = "a list" if value else "an empty list"
    else:
        shown = str(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
