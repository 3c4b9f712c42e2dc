"""Bacula's console: lines in, text out, with its input closed and a limit of time, since it waits for answers for ever.

It ends with status 0 whatever happened, so nothing is learned from that: what there is comes from the catalog, asked in SQL.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence

from strongroom.errors import ClientError
from strongroom.model import text

_GREETING = re.compile(r"^1000 OK: .*$", re.MULTILINE)
_FAILED = re.compile(
    r"^(?:Query failed|sql_.*ERR=|.*(?:is not authorized|No authorization|is an invalid command)).*$", re.MULTILINE
)
_REFUSED = ("authorization problem", "passwords may not agree", "Director rejected")
_ADDRESS = re.compile(r'^[^#\n]*?\bAddress\s*=\s*"?([^\s";}]+)', re.MULTILINE | re.IGNORECASE)
_PORT = re.compile(r"^[^#\n]*?\bDIR\s?port\s*=\s*\"?(\d+)", re.MULTILINE | re.IGNORECASE)
_DIRECTOR_PORT, _REACH_SECONDS = 9101, 5.0
# Questions of the console itself; what they start takes longer and is waited for otherwise.
_LIMIT_SECONDS = 600.0


class Console:
    """The console of one director; ``configuration`` is its file. Errors are ClientError: one line."""

    def __init__(self, configuration: bytes, client: str) -> None:
        self.configuration, self._client = configuration, client
        self._answered = False
        # A director lets those wait that it refuses; who was refused once does not ask again.
        self._refused: ClientError | None = None

    def version(self) -> str | None:
        """The version of the console's program; None where it is not installed."""
        if shutil.which("bconsole") is None:
            return None
        told = subprocess.run(["bconsole", "-?"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        found = re.search(r"Version: (\S+)", told.stdout + told.stderr)
        return found.group(1) if found else "unknown"

    def told(self, *lines: str, limit: float = _LIMIT_SECONDS) -> str:
        """What the director answers to lines, after its greeting; ``limit`` in seconds."""
        self._reach()
        try:
            done = subprocess.run(
                [b"bconsole", b"-n", b"-c", self.configuration],
                input="".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"),
                capture_output=True,
                timeout=limit,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ClientError("bconsole is not installed; install bacula-console") from error
        except subprocess.TimeoutExpired as error:
            raise ClientError(f"{self._director()} gave no answer within {limit:.0f} seconds to: {lines[0]}") from error
        out = done.stdout.decode("utf-8", "surrogateescape")
        greeting = _GREETING.search(out)
        if greeting is None:
            self._refused = self._unreached(out + done.stderr.decode("utf-8", "surrogateescape"))
            raise self._refused
        self._answered = True
        return out[greeting.end() :].partition("\n")[2].partition("\n")[2]

    def _reach(self) -> None:
        """Raise ClientError where nothing listens at the director's port: the console would try again for long."""
        if self._refused is not None:
            raise self._refused
        if self._answered:
            return
        try:
            with open(self.configuration, encoding="utf-8", errors="replace") as file:
                written = file.read()
        except OSError as error:
            raise ClientError(f"{text(self.configuration)} cannot be read: {error.strerror}") from error
        address, port = _ADDRESS.search(written), _PORT.search(written)
        if address is not None:
            try:
                where = (address.group(1), int(port.group(1)) if port else _DIRECTOR_PORT)
                socket.create_connection(where, timeout=_REACH_SECONDS).close()
            except OSError as error:
                why = error.strerror or str(error)
                raise ClientError(f"{self._director()} cannot be reached at {where[0]}:{where[1]}: {why}") from error

    def _director(self) -> str:
        return f"the director of {text(self.configuration)}"

    def _unreached(self, out: str) -> ClientError:
        if any(word in out for word in _REFUSED):
            return ClientError(f"{self._director()} refuses the console: name or password is wrong there")
        lines = [line.strip() for line in out.splitlines() if line.strip()]
        return ClientError(f"{self._director()} cannot be reached: {lines[-1] if lines else 'it says nothing'}")

    def lists(self, *commands: str) -> list[list[str]]:
        """The lines that each of several commands answers; the console prints every command before its answer."""
        answers: list[list[str]] = []
        for line in self.told(*commands).splitlines():
            if len(answers) < len(commands) and line == commands[len(answers)]:
                answers.append([])
            elif answers and line.strip():
                answers[-1].append(line.strip())
        if len(answers) < len(commands):
            raise ClientError(f"{self._director()} did not answer: {commands[len(answers)]}")
        return answers

    def rows(self, columns: Sequence[str], rest: str) -> list[tuple[str, ...]]:
        """The rows of the catalog for ``SELECT columns rest``; values that may be null need COALESCE.

        The console prints values without any escape: a word that nobody can know stands between them.
        """
        word = secrets.token_hex(12)
        wanted = "".join(f"{column},'{word}'," for column in columns).rstrip(",")
        out = self.told(f'.sql query="SELECT \'{word}\',{wanted} {rest}" client="{self._client}"')
        tokens = out.split(f"{word}\t")
        if len(tokens) == 1 and (failed := _FAILED.search(out.partition("\n")[2])):
            raise ClientError(f"{self._director()} does not answer from its catalog: {failed.group(0)}")
        width = len(columns) + 1
        return [
            tuple(value.removesuffix("\t") for value in tokens[at : at + width - 1])
            for at in range(1, len(tokens) - width + 1, width)
        ]

    def row(self, columns: Sequence[str], rest: str) -> tuple[str, ...]:
        """The one row that there has to be."""
        rows = self.rows(columns, rest)
        if len(rows) != 1:
            raise ClientError(f"{self._director()} has {len(rows)} answers, not one, to: SELECT {columns[0]} {rest}")
        return rows[0]


def literal(value: str) -> str:
    """A value as SQL writes it inside the console's own quotes. Raise ClientError for what cannot stand there."""
    if any(char in value for char in "\"'\\\n\r\0"):
        raise ClientError(
            f"{value!r} cannot be asked of Bacula's catalog: it has a quote, a backslash or a line's end in it"
        )
    return f"'{value}'"
