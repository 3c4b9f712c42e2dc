"""SQL text of MariaDB and MySQL as statements: what is quoted, commented or delimited otherwise is not mistaken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from strongroom.exports.stream import Stream

_STRING = rb"""'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+'|"[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*+"|`[^`]*+`"""
# Comments that hold code for some versions (/*! and /*M!) are code here.
_COMMENT = rb"""--(?=[\s])[^\n]*+\n|\#[^\n]*+\n|/\*(?!!|M!).*?\*/"""
# What may become a comment when more of the text has come counts as one: who matches asks for more at the end.
_SPACE = re.compile(rb"(?:[\s]++|" + _COMMENT + rb"|--?\Z|(?:--\s|\#)[^\n]*+\Z|/\Z|/\*(?!!|M!).*+\Z)*+", re.DOTALL)
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
    delimiter, body = b";", _body(b";")
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
            body = _body(delimiter)
            continue
        found = stream.match(body)
        text = stream.take(found).strip() if found else b""
        ended = not stream.ended and stream.skip(len(delimiter)) == delimiter
        if text:
            yield Statement(text, delimiter, ended)


def _body(delimiter: bytes) -> re.Pattern[bytes]:
    """All up to a delimiter. A quote or comment that is never closed is taken to the end of all."""
    first = re.escape(delimiter[:1])
    plain = rb"""[^'"`#/\-""" + first + rb"]++"
    never_closed = rb"""['"`].*+\Z|/\*(?!!|M!).*+\Z|(?:--\s|\#)[^\n]*+\Z"""
    other = rb"[/\-" + first + rb"]"
    alternatives = b"|".join((plain, _STRING, _COMMENT, never_closed, other))
    return re.compile(rb"(?:(?!" + re.escape(delimiter) + rb")(?:" + alternatives + rb"))*+", re.DOTALL)
