"""Producers of files for the vault, in memory: what a series' databases might export."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

# Rows as an exporter writes them: a line each, mostly text, about 230 bytes.
ROW = b"(%d,'%s','a title of this and that',%d,'and some words that are much alike in all of them, row by row'),\n"


class MadeFile:
    """A file of the pieces given; ``failure`` is told at their end."""

    def __init__(self, path: bytes, pieces: Iterable[bytes], failure: str = "") -> None:
        self.path = path
        self.failure = ""
        self._failure = failure
        self.pieces = self._read(pieces)

    def _read(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        yield from pieces
        self.failure = self._failure


class MadeFeed:
    """A feed of what a function makes, each time anew. ``ended`` is called when all was read, for what it knows then."""

    def __init__(
        self,
        make: Callable[[], Iterable[MadeFile]],
        *,
        name: str = "databases",
        ended: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self.name = name
        self.opened_ns: int | None = None
        self.roots: Mapping[str, bytes] = {}
        self.released = 0
        self.ended = ended
        self._make = make

    def files(self) -> Iterator[MadeFile]:
        yield from self._make()

    def result(self) -> bytes:
        return self.ended()

    def release(self) -> None:
        self.released += 1


def feed_of(content: Mapping[bytes, bytes], piece: int = 50_000) -> MadeFeed:
    """A feed of these files, in pieces."""
    return MadeFeed(
        lambda: (
            MadeFile(path, (data[at : at + piece] for at in range(0, len(data), piece)))
            for path, data in content.items()
        )
    )


def rows(count: int, *, seed: int = 0) -> list[bytes]:
    """Rows of a table; those of one seed are the same each time."""
    return [ROW % (number, _words(seed, number), number * 7919 % 1000) for number in range(count)]


def _words(seed: int, number: int) -> bytes:
    mixed = (number * 2654435761 + seed * 40503) % (1 << 64)
    return b"%032x%032x" % (mixed * mixed % (1 << 128), (mixed ^ 0x5DEECE66D) ** 3 % (1 << 128))


def changed(table: list[bytes], every: int, *, seed: int) -> list[bytes]:
    """A table of which each so many-th row was changed."""
    new = rows(len(table), seed=seed)
    return [new[number] if number % every == seed % every else row for number, row in enumerate(table)]


def noise(size: int) -> Iterator[bytes]:
    """Pieces of so many bytes together that nothing compresses."""
    for at in range(0, size, 1 << 16):
        yield os.urandom(min(1 << 16, size - at))
