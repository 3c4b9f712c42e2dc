"""SQL text of PostgreSQL as statements and blocks of rows: what is quoted or commented is not mistaken.

Commands of the client program (a backslash where a statement would begin) are handed out as such; nothing here carries
them out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from strongroom.exports.stream import Stream

# What may become a comment when more of the text has come counts as one: who matches asks for more at the end.
_SPACE = re.compile(rb"(?:[\s]++|--[^\n]*+(?:\n|\Z)|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)|[-/]\Z)*+", re.DOTALL)
_COMMAND = re.compile(rb"\\[^\n]{0,1000}(?:\n|\Z)")
_ATOMIC = re.compile(rb"\A\s*create\s+(?:or\s+replace\s+)?(?:function|procedure)\b", re.IGNORECASE)
_COPY = re.compile(rb"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
# What can stand in a statement; a thing without an end reaches to the end of all.
_PARTS = (
    rb"""[^'"$;/\-a-zA-Z0-9_\x80-\xff]++""",
    rb"""[eE]'(?:[^'\\]++|\\.|'')*+(?:'|\Z)""",
    rb"""[a-zA-Z_\x80-\xff][a-zA-Z0-9_$\x80-\xff]*+""",
    rb"""[0-9]++""",
    rb"""'(?:[^']++|'')*+(?:'|\Z)""",
    rb""""(?:[^"]++|"")*+(?:"|\Z)""",
    rb"""--[^\n]*+(?:\n|\Z)""",
    rb"""/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)""",
    rb"""\$(?P<tag>(?:[a-zA-Z_\x80-\xff][a-zA-Z0-9_\x80-\xff]*+)?)\$.*?(?:\$(?P=tag)\$|\Z)""",
    rb"""[$/\-]""",
)
_BODY = re.compile(rb"(?:" + b"|".join(_PARTS) + rb")*+", re.DOTALL)
_BLOCK = rb"(?P<word>[bB][eE][gG][iI][nN]|[cC][aA][sS][eE]|[eE][nN][dD])\b"
_WORD = re.compile(rb"|".join((_BLOCK, *_PARTS)), re.DOTALL)
_ROWS_END = b"\n\\."


class Statement(NamedTuple):
    """One statement without its semicolon, or a ``command`` of the client program."""

    text: bytes
    command: bool = False
    ended: bool = True

    @property
    def copies(self) -> bool:
        """Whether rows follow, to be read with `rows` before going on."""
        return not self.command and _COPY.match(self.text) is not None


def statements(stream: Stream) -> Iterator[Statement]:
    """The statements from here on, comments between them gone."""
    while True:
        space = stream.match(_SPACE)
        if space:
            stream.take(space)
        if stream.ended:
            return
        command = stream.match(_COMMAND)
        if command:
            yield Statement(stream.take(command).strip(), command=True)
            continue
        text, ended = _statement(stream)
        if text:
            yield Statement(text, ended=ended)


def rows(stream: Stream) -> Iterator[bytes]:
    """The rows that follow a COPY, to their end mark, which is gone past; each row with its line break."""
    stream.line()
    if stream.begins_with(_ROWS_END[1:]):
        stream.line()
        return
    yield from stream.until(_ROWS_END, b"\\")
    if not stream.ended:
        yield stream.skip(1)
        stream.line()


def _statement(stream: Stream) -> tuple[bytes, bool]:
    text = b""
    while True:
        found = stream.match(_BODY)
        text += stream.take(found) if found else b""
        ended = stream.skip(1) == b";"
        # The body of a function in SQL has semicolons of its own, between BEGIN ATOMIC and END.
        if ended and _ATOMIC.match(text) and _depth(text) > 0:
            text += b";"
            continue
        return text.strip(), ended


def _depth(text: bytes) -> int:
    """How many BEGIN and CASE wait for their END; 0 where there is no BEGIN ATOMIC."""
    if not re.search(rb"\bbegin\s+atomic\b", text, re.IGNORECASE):
        return 0
    depth = 0
    for found in _WORD.finditer(text):
        word = found.group("word")
        if word:
            depth += -1 if word.lower() == b"end" else 1
    return depth
