"""Storing a large file's new chunks against those of its last version: frames that rest on others.

A few changed rows leave no chunk of a table as it was, and yet nearly all bytes of each. So what is new is gathered into
windows, and each is compressed against what stood there last time. A frame rests on chunks of plain frames alone: where
the last version's chunk is in a prefixed frame itself, on what that one rests on, so that a frame is read with those of
one step, however many nights lie between. Once too much has changed, a window is stored plain again.

Where a new chunk belongs in the last version is followed along the file: a chunk that is there says it exactly, and where
one ends close to where one of the last version ends, it is taken to be the same place, since cuts are made by content.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from strongroom.vault.codec import zstd
from strongroom.vault.errors import VaultError
from strongroom.vault.frame import MOST_WINDOW, Chunk, Kind, compress_against
from strongroom.vault.index import FramePlace
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.reader import Reader

# Files of fewer bytes are stored plain.
LEAST = 256 << 10
# New bytes of one frame, and how far around their place the last version is taken.
_WINDOW = 4 << 20
_MARGIN = 1 << 20
# Ends of chunks that lie no farther apart are taken for the same place.
_SAME_PLACE = 64 << 10
# How many of the last version's chunks a known one is looked for in, from where it should be.
_SOUGHT = 4096
_MOST_BASES = 4096
# A window is worth it up to this share of its own size, and of what plain compression would leave of it: all that has changed
# since the plain frames is stored each night, so that beginning anew pays off within as many nights as this is of one.
_OF_RAW, _OF_PLAIN = 0.3, 0.25
_SAMPLE = 256 << 10


class Spot(NamedTuple):
    """Where a chunk belongs in a file's last version: the offsets there."""

    version: LastVersion
    start: int
    end: int


class LastVersion:
    """The chunks of a file as it was, and how far its new content has been followed along them."""

    def __init__(self, ids: bytes, lengths: Sequence[int]) -> None:
        self._ids = ids
        self.ends = array("Q", accumulate(lengths))
        self._at = 0

    def spot(self, id: bytes, size: int) -> Spot:
        """Where the next chunk of the new content belongs."""
        start = self._at
        there = self._end_of(id, start)
        if there is not None:
            self._at = there
            return Spot(self, there - size, there)
        self._at = max(self._close_to(start + size), start)
        return Spot(self, start, self._at)

    def _end_of(self, id: bytes, near: int) -> int | None:
        """Where a chunk that the last version has ends in it."""
        first = max(bisect_right(self.ends, near) - 1, 0)
        from_, to = first * ID_SIZE, (first + _SOUGHT) * ID_SIZE
        found = self._ids.find(id, from_, to)
        while found >= 0 and found % ID_SIZE:
            found = self._ids.find(id, found + 1, to)
        return self.ends[found // ID_SIZE] if found >= 0 else None

    def _close_to(self, expected: int) -> int:
        """The end of the last version's chunk that is meant, or the offset itself where none is close."""
        after = bisect_right(self.ends, expected)
        ends = self.ends[max(after - 1, 0) : after + 1]
        nearest = min(ends, key=lambda end: abs(end - expected), default=expected)
        return nearest if abs(nearest - expected) <= _SAME_PLACE else expected

    def ids(self, start: int, end: int) -> list[bytes]:
        """The chunks that have any of these bytes, in order."""
        first = bisect_right(self.ends, max(start, 0))
        last = min(bisect_right(self.ends, max(end - 1, 0)), len(self.ends) - 1)
        return [self._ids[at * ID_SIZE : (at + 1) * ID_SIZE] for at in range(first, last + 1)]

    def at(self, offset: int) -> bytes | None:
        """The chunk at an offset."""
        number = bisect_right(self.ends, offset)
        return self._ids[number * ID_SIZE : (number + 1) * ID_SIZE] if number < len(self.ends) else None


class Prefixed(NamedTuple):
    """What a window became: the ids that it rests on, one after another, and its body."""

    bases: bytes
    body: bytes


class Windows:
    """Gathers new chunks into windows, and finds out what each can rest on.

    ``rely``: which of these ids can be relied on; ``submit`` takes the chunks of a window and the ids that it may rest on.
    """

    def __init__(
        self,
        reader: Reader,
        rely: Callable[[list[bytes]], list[bytes]],
        submit: Callable[[list[Chunk], list[bytes]], None],
    ) -> None:
        self._reader, self._rely, self._submit = reader, rely, submit
        self._chunks: list[Chunk] = []
        self._size = 0
        self._first: Spot | None = None
        self._last: Spot | None = None
        self._frame: FramePlace | None = None

    def takes(self, id: bytes) -> bool:
        """Whether a new chunk may rest on others: not one that was there before, which others may rest on."""
        return self._reader.index.find(id) is None

    def add(self, chunk: Chunk, spot: Spot) -> None:
        """Take the next new chunk of a file."""
        frame = self._frame_at(spot)
        last = self._last
        goes_on = last is not None and last.version is spot.version and self._frame == frame
        far = last is not None and spot.start > last.end + _MARGIN
        if not goes_on or far or self._size + len(chunk.data) > (_WINDOW if frame is None else _WINDOW + _WINDOW // 2):
            self.close()
            self._frame = frame
        self._first = self._first or spot
        self._last = spot
        self._chunks.append(chunk)
        self._size += len(chunk.data)

    def _frame_at(self, spot: Spot) -> FramePlace | None:
        """The prefixed frame that holds the last version there. Windows follow these, so that each rests on one of them."""
        id = spot.version.at((spot.start + spot.end) // 2)
        place = self._reader.index.find(id) if id is not None else None
        return place if place is not None and place.pack.kind == Kind.PREFIXED else None

    def close(self) -> None:
        """Submit the window that was begun."""
        if self._first is not None and self._last is not None:
            self._submit(self._chunks, self._rely(self._bases(self._first, self._last)))
        self._chunks, self._size = [], 0
        self._first = self._last = self._frame = None

    def _bases(self, first: Spot, last: Spot) -> list[bytes]:
        """What stood where a window belongs, as chunks of plain frames: what last time's frame rests on, or that itself."""
        if self._frame is None:
            ids = first.version.ids(first.start - _MARGIN, last.end + _MARGIN)
        else:
            try:
                ids = list(self._reader.bases(self._frame))
            except VaultError:
                return []  # what cannot be read is rested on by nothing new
        return list(filter(self._is_plain, dict.fromkeys(ids)))[:_MOST_BASES]

    def _is_plain(self, id: bytes) -> bool:
        place = self._reader.index.find(id)
        return place is not None and place.pack.kind == Kind.DATA


class Prefixer:
    """Compresses windows, in the thread that writes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def compress(self, chunks: Sequence[Chunk], ids: Sequence[bytes]) -> Prefixed | None:
        """Compress a window; None where plain frames are better."""
        raw = b"".join([chunk.data for chunk in chunks])
        used: list[bytes] = []
        parts: list[bytes] = []
        room = MOST_WINDOW - len(raw)
        try:
            for id, data in self._read(ids):
                room -= len(data)
                if room < 0:
                    break
                used.append(id)
                parts.append(data)
        except VaultError:
            return None
        if not parts:
            return None
        body = compress_against(b"".join(parts), raw)
        most = min(_OF_RAW, _OF_PLAIN * _plainly(raw)) * len(raw)
        return Prefixed(b"".join(used), body) if len(body) <= most else None

    def _read(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for id in ids:
            yield id, self._reader.chunk(id)


def _plainly(raw: bytes) -> float:
    """What plain compression would leave of it, by a sample from its middle."""
    middle = max(len(raw) - _SAMPLE, 0) // 2
    sample = raw[middle : middle + _SAMPLE]
    return min(len(zstd.compress(sample, 3)) / len(sample), 1.0)
