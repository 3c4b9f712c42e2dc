"""A long text looked at while it arrives: found marks and patterns, and what lies before them forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator

from strongroom.errors import ExportError

# One statement is held in memory as a whole; what a stranger supplies may not fill it.
MOST_STATEMENT = 256 << 20
# A pattern that may be absent is shorter than this.
_SHORT = 1 << 20


class Stream:
    """Bytes that arrive in blocks of any size, with a place in them. The blocks may raise ExportError."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._data = b""
        self._at = 0

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Match a pattern here. What touches the end of the data is tried again with more of it, until there is no more.
        A pattern that may be absent matches less than 1 MiB.

        Raise ExportError when the match has no end for `MOST_STATEMENT` bytes.
        """
        while True:
            found = pattern.match(self._data, self._at)
            if found.end() < len(self._data) if found else len(self._data) - self._at >= _SHORT:
                return found
            if not self._more():
                return found

    def take(self, found: re.Match[bytes]) -> bytes:
        """Go past a match, and return it."""
        self._at = found.end()
        return found.group()

    def line(self) -> bytes:
        """The next line with its end, and go past it; empty at the end of all."""
        return b"".join(self.until(b"\n")) + self.skip(1)

    def begins_with(self, mark: bytes) -> bool:
        """Whether this stands here."""
        while len(self._data) - self._at < len(mark) and self._more():
            pass
        return self._data.startswith(mark, self._at)

    def skip(self, count: int) -> bytes:
        """Go past some bytes, and return them; fewer at the end of all."""
        while len(self._data) - self._at < count and self._more():
            pass
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def until(self, mark: bytes, rare: bytes = b"") -> Iterator[bytes]:
        """What stands before a mark, in pieces, and go to the mark; to the end of all where there is none.

        ``rare`` is a byte of the mark that seldom stands elsewhere: where there is none, nobody looks for the mark.
        """
        while (found := self._find(mark, rare)) < 0:
            # The mark may lie across the end of what is here.
            end = max(self._at, len(self._data) - len(mark) + 1)
            if end > self._at:
                yield self._data[self._at : end]
            self._at = end
            if not self._more():
                yield self._data[self._at :]
                self._at = len(self._data)
                return
        if found > self._at:
            yield self._data[self._at : found]
        self._at = found

    def _find(self, mark: bytes, rare: bytes) -> int:
        # A single byte is found many times faster than several.
        near = self._data.find(rare, self._at)
        return self._data.find(mark, max(self._at, near - len(mark))) if near >= 0 else -1

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        while not self.ended:
            data, self._data, self._at = self._data[self._at :], b"", 0
            yield data

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data) and not self._more()

    def _more(self) -> bool:
        """Get at least as much again as waits here, so that trying again costs no more than having it all at once."""
        waiting = self._data[self._at :]
        if len(waiting) > MOST_STATEMENT:
            raise ExportError(f"a statement without an end in {MOST_STATEMENT >> 20} MiB; this is no SQL text")
        got, wanted = [waiting], max(1, len(waiting))
        while wanted > 0 and (block := next(self._blocks, None)) is not None:
            got.append(block)
            wanted -= len(block)
        self._data, self._at = b"".join(got), 0
        return len(got) > 1
