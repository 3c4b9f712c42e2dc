"""The stream of `mariadb-dump`, split into what comes before the rows, each table's rows, and what comes after them.

Between statements the text is read as MariaDB's own client reads it. A table's rows are a line each: the program writes a line
break inside a value as ``\\n``, and binary values in hexadecimal, so that a line break in the text is always a row's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from strongroom.exports.mysql_text import Statement, statements
from strongroom.exports.stream import Stream

# A date such as the 31st of February, which a server may have, is no zero.
MODE = b"'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"
# What each file begins with, so that each can be loaded by itself.
HEADER = (
    b"""\
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET UNIQUE_CHECKS=0, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET SQL_MODE=%s */;
"""
    % MODE
)
END = b"-- Dump completed"

_IDENTIFIER = rb"`((?:[^`]|``)+)`"
_ROWS = re.compile(rb"/\*!40000 ALTER TABLE " + _IDENTIFIER + rb" DISABLE KEYS \*/")
_ROWS_END = b"\n/*!40000 ALTER TABLE "
_CREATED = re.compile(rb"CREATE (?:TABLE|SEQUENCE) " + _IDENTIFIER)
_VIEW_STANDIN = re.compile(rb"/\*!50001 CREATE (?:VIEW|TABLE) " + _IDENTIFIER)
_VIEW_DROPPED = re.compile(rb"/\*!50001 DROP (?:VIEW|TABLE) IF EXISTS " + _IDENTIFIER)
_VIEW_FINAL = re.compile(rb"/\*!500(?:01|13) ")
_VIEW = re.compile(rb"\bVIEW " + _IDENTIFIER)
# Triggers, routines and events; what stands around them in their blocks too.
_PROGRAM = re.compile(
    rb"/\*!(?:50003|50106|50117|50017|50020) |CREATE (?:OR REPLACE )?(?:DEFINER|FUNCTION|PROCEDURE|PACKAGE)"
)
# The program's own beginning and end, which `HEADER` replaces.
_FRAME = re.compile(rb"/\*M?!\d+(?:\\-| SET (?:@OLD_\w+ ?=|\w+ ?= ?@OLD_|NAMES |TIME_ZONE ?=))")
_BINLOG = re.compile(rb"CHANGE MASTER TO MASTER_LOG_FILE='([^']*)', MASTER_LOG_POS=(\d+)")
_GTID = re.compile(rb"SET GLOBAL gtid_slave_pos='([^']*)'")


class Rows(NamedTuple):
    """A table whose rows are at hand: read ``pieces`` to the end before going on."""

    name: str
    pieces: Iterator[bytes]


class Split:
    """What a dump's stream holds. All but the rows is there once `tables` has come to its end.

    ``cut`` says that the rows of the latest table have no end, ``ended`` that the dump has its end mark.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._stream = Stream(blocks)
        self._seen: set[bytes] = set()
        self._before = [HEADER]
        self._after = [HEADER]
        self._delimiter = b";"
        self._binlog = self._gtid = b""
        self.rows = 0
        self.created: set[str] = set()
        self.views: set[str] = set()
        self.ended = False
        self.cut = False

    @property
    def before(self) -> bytes:
        """All that has to stand before any row: empty tables, sequences, stand-ins for views."""
        return b"".join(self._before)

    @property
    def after(self) -> bytes:
        """Triggers, routines, events and views."""
        return b"".join(self._after)

    @property
    def position(self) -> str:
        """Where the binary log stood when the transaction was opened; empty without one."""
        return (self._binlog + (b" gtid " + self._gtid if self._gtid else b"")).decode()

    def tables(self) -> Iterator[Rows]:
        """Each table's rows as they come; `rows` counts those of the latest."""
        for statement in statements(self._stream, self._comment):
            starts = _ROWS.match(statement.text)
            if starts:
                yield Rows(_name(starts), self._lines())
            elif not _FRAME.match(statement.text) and b"ENABLE KEYS" not in statement.text[-20:]:
                self._put(statement)

    def _lines(self) -> Iterator[bytes]:
        self.rows = 0
        yield HEADER
        first = True
        for piece in self._stream.until(_ROWS_END):
            self.rows += piece.count(b"\n")
            # The line break that ends the statement before belongs to no row; the last row's own stays with the mark.
            yield piece[1:] if first else piece
            first = False
        self.cut = self._stream.ended
        if self.rows:
            yield b"\n"

    def _put(self, statement: Statement) -> None:
        text, delimiter = statement.text, statement.delimiter
        if delimiter == b";" and not self._is_after(text):
            self._before.append(text + b";\n")
            return
        if delimiter != self._delimiter:
            self._after.append(b"DELIMITER " + delimiter + b"\n")
            self._delimiter = delimiter
        self._after.append(text + b" " + delimiter + b"\n")

    def _is_after(self, text: bytes) -> bool:
        created = _CREATED.match(text)
        if created:
            self.created.add(_name(created))
            return False
        if _PROGRAM.match(text):
            return True
        if _VIEW_STANDIN.match(text):
            return False
        dropped = _VIEW_DROPPED.match(text)
        if dropped:
            again = dropped.group(1) in self._seen
            self._seen.add(dropped.group(1))
            return again
        if not _VIEW_FINAL.match(text):
            return False
        view = _VIEW.search(text)
        if view:
            self.views.add(_name(view))
        return True

    def _comment(self, comment: bytes) -> None:
        if END in comment:
            self.ended = True
        if found := _BINLOG.search(comment):
            self._binlog = found.group(1) + b":" + found.group(2)
        if found := _GTID.search(comment):
            self._gtid = found.group(1)


def _name(found: re.Match[bytes]) -> str:
    return found.group(1).replace(b"``", b"`").decode("utf-8", "surrogateescape")
