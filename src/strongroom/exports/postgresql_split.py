"""What `pg_dump` writes, sorted: definitions, owners and privileges apart from them, each table's rows, large objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from strongroom.exports.postgresql_text import Statement, rows, statements
from strongroom.exports.stream import Stream

# What each file begins with, so that each can be loaded by itself.
HEADER = b"""\
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SELECT pg_catalog.set_config('search_path', '', false);
"""
END = b"-- PostgreSQL database dump complete"
CLUSTER_END = b"-- PostgreSQL database cluster dump complete"

_IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[a-z_\x80-\xff][a-z0-9_$\x80-\xff]*)'
_COPY = re.compile(rb"COPY (" + _IDENTIFIER + rb"\." + _IDENTIFIER + rb")\s")
_PRIVILEGE = re.compile(rb"GRANT\s|REVOKE\s|ALTER DEFAULT PRIVILEGES\s|ALTER\s.*\sOWNER TO\s+\S+\Z", re.DOTALL)
_FRAME = re.compile(
    rb"SET (?:statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout|client_encoding|"
    rb"standard_conforming_strings|check_function_bodies|xmloption|client_min_messages|row_security) = |"
    rb"SELECT pg_catalog\.set_config\('search_path', '', false\)"
)
_LARGE = b"BEGIN"
_LARGE_END = b"COMMIT"
_LARGE_MADE = re.compile(rb"SELECT pg_catalog\.lo_create\(")


class Part(NamedTuple):
    """A stretch of the data: one table's rows, or large objects where ``identity`` is empty. Read to the end."""

    identity: str
    pieces: Iterator[bytes]


class Tail:
    """Passes blocks on and remembers how they ended."""

    def __init__(self, blocks: Iterator[bytes], mark: bytes = END) -> None:
        self._blocks, self._mark = blocks, mark
        self._last = b""

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._last = (self._last + block)[-400:]
            yield block

    @property
    def ended(self) -> bool:
        """Whether the end mark was among the last that passed."""
        return self._mark in self._last


class Definitions:
    """The statements of one section, with owners and privileges apart."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        tail = Tail(blocks)
        self.statements: list[bytes] = []
        self.privileges: list[bytes] = []
        for statement in statements(Stream(iter(tail))):
            if not statement.command and not _FRAME.match(statement.text):
                kept = self.privileges if _PRIVILEGE.match(statement.text) else self.statements
                kept.append(statement.text)
        self.ended = tail.ended

    @property
    def large_objects(self) -> int:
        """How many large objects are made here."""
        return sum(1 for statement in self.statements if _LARGE_MADE.match(statement))


class Data:
    """The data section. `rows` counts those of the latest table; `rest` is what is neither rows nor large objects."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._tail = Tail(blocks)
        self._stream = Stream(iter(self._tail))
        self.rest: list[bytes] = []
        self.rows = 0
        self.cut = False

    @property
    def ended(self) -> bool:
        """Whether the end mark was there."""
        return self._tail.ended

    def parts(self) -> Iterator[Part]:
        """Each table's rows and the large objects, as they come."""
        found = statements(self._stream)
        for statement in found:
            table = _COPY.match(statement.text)
            if table and statement.copies:
                yield Part(table.group(1).decode(), self._rows(statement))
            elif statement.text == _LARGE:
                yield Part("", self._large(found))
            elif not statement.command and not _FRAME.match(statement.text):
                self.rest.append(statement.text)

    def _rows(self, statement: Statement) -> Iterator[bytes]:
        self.rows = 0
        yield HEADER + statement.text + b";\n"
        for piece in rows(self._stream):
            self.rows += piece.count(b"\n")
            yield piece
        self.cut = self._stream.ended
        yield b"\\.\n"

    def _large(self, found: Iterator[Statement]) -> Iterator[bytes]:
        yield HEADER + _LARGE + b";\n"
        self.cut = True
        for statement in found:
            yield statement.text + b";\n"
            if statement.text == _LARGE_END:
                self.cut = False
                return


def text(found: list[bytes]) -> bytes:
    """Statements as a file."""
    return HEADER + b"".join(b"\n" + statement + b";\n" for statement in found)
