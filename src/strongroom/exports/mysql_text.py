"""SQL text of MariaDB and MySQL as statements: what is quoted, commented or delimited otherwise is not mistaken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from strongroom.exports.stream import Stream

# In each kind of quotes, with and without backslashes that escape; doubled quotes end one and begin another.
_SINGLE = {True: rb"""'[^'\\]*+(?:\\.[^'\\]*+)*+'""", False: rb"""'[^']*+'"""}
_DOUBLE = {True: rb'''"[^"\\]*+(?:\\.[^"\\]*+)*+"''', False: rb'''"[^"]*+"'''}
_IDENTIFIER = rb"""`[^`]*+`"""
# Comments that hold code for some versions (/*! and /*M!) are code here.
_COMMENT = rb"""--(?=[\s])[^\n]*+\n|\#[^\n]*+\n|/\*(?!!|M!).*?\*/"""
# What may become a comment when more of the text has come counts as one: who matches asks for more at the end.
_SPACE = re.compile(rb"(?:[\s]++|" + _COMMENT + rb"|--?\Z|(?:--\s|\#)[^\n]*+\Z|/\Z|/\*(?!!|M!).*+\Z)*+", re.DOTALL)
# The server escapes by the session's mode, which a text may change, as dumps do for each routine.
_SETS = re.compile(rb"(?:/\*M?!\d*\s*)?SET\b", re.IGNORECASE)
_MODE = re.compile(rb"(?<!\w)sql_mode\s*:?=\s*('[^']*'|\"[^\"]*\"|[^,;]*)", re.IGNORECASE)
_QUOTES_NAMES = re.compile(rb"ANSI\b|ANSI_QUOTES|ORACLE|MSSQL|DB2|MAXDB|POSTGRESQL")
_DELIMITER = re.compile(rb"delimiter[ \t]{1,9}\S{1,99}[^\n]{0,99}(?:\n|\Z)", re.IGNORECASE)


class Statement(NamedTuple):
    """One statement without the delimiter that ends it."""

    text: bytes
    delimiter: bytes
    ended: bool


def statements(stream: Stream, comments: Callable[[bytes], None] | None = None) -> Iterator[Statement]:
    """The statements from here on; ``comments`` gets what stands between them.

    ``ended`` is False for a last statement without its delimiter.
    """
    delimiter, mode, body = b";", b"", _body(b";", b"")
    while True:
        space = stream.match(_SPACE)
        if space:
            between = stream.take(space)
            if comments and between:
                comments(between)
        if stream.ended:
            return
        changed = stream.match(_DELIMITER)
        if changed:
            delimiter = stream.take(changed).split(None, 2)[1]
            body = _body(delimiter, mode)
            continue
        found = stream.match(body)
        text = stream.take(found).strip() if found else b""
        ended = not stream.ended and stream.skip(len(delimiter)) == delimiter
        if text:
            yield Statement(text, delimiter, ended)
        if _SETS.match(text) and (modes := _MODE.findall(text)):
            mode = modes[-1].upper()
            body = _body(delimiter, mode)


def _body(delimiter: bytes, mode: bytes) -> re.Pattern[bytes]:
    """All up to a delimiter. A quote or comment that is never closed is taken to the end of all."""
    escapes = b"NO_BACKSLASH_ESCAPES" not in mode
    # With ANSI_QUOTES, which ORACLE and others imply, double quotes hold identifiers, where nothing escapes.
    strings = _SINGLE[escapes], _DOUBLE[escapes and not _QUOTES_NAMES.search(mode)], _IDENTIFIER
    first = re.escape(delimiter[:1])
    plain = rb"""[^'"`#/\-""" + first + rb"]++"
    never_closed = rb"""['"`].*+\Z|/\*(?!!|M!).*+\Z|(?:--\s|\#)[^\n]*+\Z"""
    other = rb"[/\-" + first + rb"]"
    alternatives = b"|".join((plain, *strings, _COMMENT, never_closed, other))
    return re.compile(rb"(?:(?!" + re.escape(delimiter) + rb")(?:" + alternatives + rb"))*+", re.DOTALL)
