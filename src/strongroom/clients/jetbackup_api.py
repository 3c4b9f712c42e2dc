"""JetBackup 5's API by its command ``jetbackup5api``: one function, one ``-D`` with all arguments, one JSON answer.

Its exit status says little: an unknown function and a job that could not start both end with 0. So an answer counts only
where its own ``success`` says so.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from strongroom.errors import ClientError

Document = dict[str, Any]
# Values by name; a mapping or a list below a name becomes ``name[key]``. What is False is left out: a text might count as true.
Arguments = Mapping[str, Any]

_PLAIN = re.compile(rb"[^A-Za-z0-9_]")
_KEY = re.compile(r"[A-Za-z0-9_]+")
_CALL_SECONDS = 300
_MOST_ANSWER = 256 << 20
# A list is asked for in pieces of so many, since nobody says how many come without a limit.
_PAGE = 500


class Api:
    """The command ``program``. ``remarks`` are what its answers said of the whole JetBackup, such as of its licence."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.remarks: dict[str, None] = {}
        self.version: str | None = None

    def present(self) -> bool:
        """Whether the command is there."""
        return shutil.which(self._program) is not None

    def call(self, function: str, arguments: Arguments | None = None) -> Any:
        """The ``data`` of a function's answer. Raise ClientError."""
        answer = self._answer(function, query(arguments or {}))
        system = _mapping(answer.get("system"))
        self.version = str(system.get("version") or "") or self.version
        self._remark(system)
        if not truth(answer.get("success")):
            said = _line(answer.get("message")) or "failed, and does not say why"
            raise ClientError("; ".join((f"JetBackup, {function}: {said}", *self.remarks)))
        return answer.get("data")

    def one(self, function: str, arguments: Arguments | None = None) -> Document:
        """The ``data`` of an answer that is one thing; PHP prints one without anything in it as an empty list."""
        return _mapping(self.call(function, arguments))

    def all(self, function: str, key: str, arguments: Arguments | None = None) -> Iterator[Document]:
        """The things in a list, however long it is; some functions name it by a key, some give it bare.

        It comes in pieces, of fewer than were asked for where JetBackup has a limit of its own.
        """
        begin, last = 0, None
        while True:
            data = self.call(function, {**(arguments or {}), "limit": _PAGE, "skip": begin})
            things = _listed(data, key)
            if things is None:
                raise ClientError(f"JetBackup, {function}: the answer has no list of {key}")
            # The same again: it does not know how to go on.
            if not things or things == last:
                return
            yield from (thing for thing in things if isinstance(thing, dict))
            begin, last = begin + len(things), things
            total = number(_mapping(data).get("total"))
            if (begin >= total) if total else (len(things) < _PAGE):
                return

    def _answer(self, function: str, data: str) -> Document:
        command = [self._program, "-F", function, *(["-D", data] if data else []), "-O", "json"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CALL_SECONDS,
                cwd="/",
                check=False,
            )
        except FileNotFoundError:
            raise ClientError(
                f"{self._program} is not installed here; install JetBackup 5, or name it in program"
            ) from None
        except subprocess.TimeoutExpired:
            raise ClientError(f"JetBackup, {function}: no answer within {_CALL_SECONDS} seconds") from None
        except OSError as error:
            raise ClientError(f"{self._program} cannot be run: {error.strerror}") from None
        if done.returncode:
            said = _line((done.stderr or done.stdout)[:500].decode("utf-8", "replace"))
            raise ClientError(f"JetBackup, {function}: ended with status {done.returncode}: {said}")
        try:
            answer = json.loads(done.stdout[:_MOST_ANSWER])
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ClientError(f"JetBackup, {function}: the answer is no JSON document")
        return answer

    def _remark(self, system: Document) -> None:
        for key, meaning in _REMARKS.items():
            if truth(system.get(key)):
                told = system[key]
                why = f" ({_line(told)})" if isinstance(told, str) and not told.isdigit() else ""
                self.remarks[f"JetBackup {meaning}{why}"] = None


_REMARKS = {"licenseIssue": "has a problem with its licence", "dr": "is in disaster recovery mode"}


def query(arguments: Arguments) -> str:
    """Arguments as the one text of ``-D``: every character of a value but letters, digits and ``_`` is percent-encoded."""
    return "&".join(f"{name}={value}" for name, value in _flat("", arguments))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not _KEY.fullmatch(str(key)):
                raise ValueError(f"{key!r} is no name of an argument")
            yield from _flat(f"{name}[{key}]" if name else str(key), each)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _flat(f"{name}[{number}]", each)
    elif value is True:
        yield name, "1"
    elif value is not False and value is not None:
        encoded = str(value).encode("utf-8", "surrogateescape")
        yield name, _PLAIN.sub(lambda byte: b"%%%02X" % byte.group()[0], encoded).decode()


def truth(value: Any) -> bool:
    """A boolean as any of its answers spells one."""
    return value not in (None, False, 0, "", "0", "false", [], {})


def number(value: Any) -> int:
    """A whole number, 0 for what is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _listed(data: Any, key: str) -> list[Any] | None:
    found = data if isinstance(data, list) else _mapping(data).get(key, [])
    things = list(found.values()) if isinstance(found, dict) else found
    return things if isinstance(things, list) else None


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _line(value: Any) -> str:
    return " ".join(str(value or "").split())[:500]
