"""Content on its way into an archive: pieces that come in any order, kept until they can be written in theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Protocol

# A file's content as (offset, bytes), in order, without the holes.
Pieces = Iterator[tuple[int, bytes]]

_IN_MEMORY = 4 << 20
_ZEROS = bytes(1 << 16)


class Output(Protocol):
    """Where an archive goes: a file, or a pipe."""

    def write(self, data: bytes, /) -> object:
        """Take all of these bytes."""


def dense(pieces: Pieces, size: int) -> Iterator[bytes]:
    """All bytes of a file, holes as zeros."""
    position = 0
    for offset, data in pieces:
        yield from _zeros(offset - position)
        yield data
        position = offset + len(data)
    yield from _zeros(size - position)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[: min(count, len(_ZEROS))]
        count -= len(_ZEROS)


class Spool:
    """Pieces of one file: a little in memory, the rest in a file without a name that goes with it."""

    def __init__(self) -> None:
        self._memory: dict[int, bytes] = {}
        self._held = 0
        self._file: IO[bytes] | None = None
        self._places: dict[int, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def put(self, offset: int, data: bytes) -> None:
        """Keep one piece."""
        if self._held + len(data) <= _IN_MEMORY or not data:
            self._memory[offset] = data
            self._held += len(data)
            return
        if self._file is None:
            import tempfile  # late: what fits into memory has no need of it

            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        view, at = memoryview(data), self._end
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written
        self._places[offset] = (self._end, len(data))
        self._end = at

    def extents(self) -> list[tuple[int, int]]:
        """Where the pieces lie, as (offset, end), in order."""
        held = [(offset, offset + len(data)) for offset, data in self._memory.items()]
        return sorted(held + [(offset, offset + size) for offset, (_, size) in self._places.items()])

    def pieces(self) -> Pieces:
        """The pieces in order."""
        for offset, _ in self.extents():
            yield offset, self.at(offset) or b""

    def at(self, offset: int) -> bytes | None:
        """The piece that begins at an offset, if it is here."""
        if offset in self._memory:
            return self._memory[offset]
        if self._file is None or offset not in self._places:
            return None
        at, size = self._places[offset]
        return os.pread(self._file.fileno(), size, at)

    def clear(self) -> None:
        """Forget everything."""
        self._memory.clear()
        self._places.clear()
        self._held = self._end = 0
        if self._file is not None:
            self._file.close()
            self._file = None
