"""A table of chunk ids in a file: one read for each question, whatever its size.

Buckets of 1 KiB, chosen by the id's first bytes (ids are keyed hashes, so uniform): a count, then entries of 32 bytes: id
(20), pack number u32, frame offset u32, frame size u32. A full bucket overflows into the next. At 60 % full the table is
copied to one of twice the size. Memory does not grow with the table: it is read by pread, never mapped.

Readers take no lock: an entry is written before the count that makes it visible. Buckets near one another are written
together, once with their entries and once with their counts.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from strongroom.vault.keys import ID_SIZE

_BUCKET = 1024
_ENTRY = struct.Struct(f"<{ID_SIZE}sIII")
_PLACE = struct.Struct("<III")
_SIZE = _ENTRY.size
_FIRST = 32
_MOST = (_BUCKET - _FIRST) // _SIZE
_FILL = 0.6
_SMALLEST = 64
# Entries sorted at a time: memory does not grow with what is added.
_AT_ONCE = 50_000
# Buckets read and written together at the most, and how many untouched ones between two are not worth another write.
_STRETCH = 256
_NEAR = 8


class Place(NamedTuple):
    """Where a chunk's frame lies: the pack's number in the index, offset and size in bytes."""

    pack: int
    offset: int
    size: int


Row = tuple[bytes, Place]
# An entry and the bucket that it is bound for.
_Bound = tuple[int, bytes]


class Table:
    """Chunk ids and their places, in a file that is made where it is missing."""

    def __init__(self, path: str, *, buckets: int = _SMALLEST) -> None:
        self.path = path
        self._fd = -1
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        if size < _BUCKET or size % _BUCKET:
            os.ftruncate(self._fd, buckets * _BUCKET)
            size = buckets * _BUCKET
        self._mask = size // _BUCKET - 1
        self._count = 0
        self._folder = ""

    @classmethod
    def scratch(cls, folder: str, *, buckets: int = _SMALLEST) -> Table:
        """A table without a name, gone with the process that made it."""
        path = f"{folder}/scratch.{os.getpid()}.{os.urandom(4).hex()}"
        table = cls(path, buckets=buckets)
        os.unlink(path)
        table.path = ""
        table._folder = folder
        return table

    @property
    def inode(self) -> int:
        """The file's inode: another process may have put a new table in its place."""
        return os.fstat(self._fd).st_ino

    def __del__(self) -> None:
        self.close()

    def sync(self) -> None:
        """Make the entries durable."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def get(self, id: bytes) -> Place | None:
        """Where a chunk lies, or None."""
        bucket = int.from_bytes(id[:6], "little") & self._mask
        while True:
            data = os.pread(self._fd, _BUCKET, bucket * _BUCKET)
            at = _position(data, 0, data[0], id)
            if at:
                return Place(*_PLACE.unpack_from(data, at + ID_SIZE))
            if data[0] < _MOST:
                return None
            bucket = (bucket + 1) & self._mask

    def reserve(self, entries: int) -> None:
        """Make room for so many more at once: growing by and by copies each time all that is there."""
        if self._count + entries > _FILL * (self._mask + 1) * _MOST:
            self._grow(self._count + entries)

    def add(self, rows: Iterable[Row]) -> None:
        """Add entries, replacing those of the same id; many at a time is cheapest."""
        rows = iter(rows)
        # Of several entries of one id the last counts.
        while entries := {id: id + _PLACE.pack(*place) for id, place in islice(rows, _AT_ONCE)}:
            self._add(entries.values())

    def _add(self, entries: Collection[bytes]) -> None:
        self.reserve(len(entries))
        mask = self._mask
        waiting = [(int.from_bytes(entry[:6], "little") & mask, entry) for entry in entries]
        while waiting:
            waiting.sort()
            waiting = [later for stretch in _stretches(waiting) for later in self._fill(stretch)]

    def _fill(self, entries: Sequence[_Bound]) -> list[_Bound]:
        """Put entries into buckets near one another; returns those whose bucket is full, bound for the next."""
        first, last = entries[0][0], entries[-1][0]
        data = bytearray(os.pread(self._fd, (last + 1 - first) * _BUCKET, first * _BUCKET))
        counts: dict[int, int] = {}
        later: list[_Bound] = []
        for bucket, entry in entries:
            start = (bucket - first) * _BUCKET
            count = counts.get(start, data[start])
            at = _position(data, start, count, entry[:ID_SIZE])
            if not at and count == _MOST:
                later.append(((bucket + 1) & self._mask, entry))
                continue
            if not at:
                at = start + _FIRST + count * _SIZE
                counts[start] = count + 1
                self._count += 1
            data[at : at + _SIZE] = entry
        self._write(data, first * _BUCKET)
        if counts:
            for start, count in counts.items():
                data[start] = count
            self._write(data, first * _BUCKET)
        return later

    def _write(self, data: bytearray, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def rows(self) -> Iterator[Row]:
        """All entries, in the order of their buckets."""
        for entry in self._entries():
            yield entry[:ID_SIZE], Place(*_PLACE.unpack_from(entry, ID_SIZE))

    def _entries(self) -> Iterator[bytes]:
        for data in self._stretch_by_stretch():
            for start in range(0, len(data), _BUCKET):
                for at in range(start + _FIRST, start + _FIRST + data[start] * _SIZE, _SIZE):
                    yield data[at : at + _SIZE]

    def _stretch_by_stretch(self) -> Iterator[bytes]:
        for bucket in range(0, self._mask + 1, _STRETCH):
            yield os.pread(self._fd, _STRETCH * _BUCKET, bucket * _BUCKET)

    def __len__(self) -> int:
        return self._count

    def recount(self) -> int:
        """Count the entries of a table that was there before."""
        self._count = sum(sum(data[::_BUCKET]) for data in self._stretch_by_stretch())
        return self._count

    def _larger(self, buckets: int) -> Table:
        if self.path:
            new = f"{self.path}.new"  # one process at a time changes a table that has a name
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            return Table(new, buckets=buckets)
        return Table.scratch(self._folder, buckets=buckets)

    def _grow(self, entries: int) -> None:
        buckets = _SMALLEST
        while entries > _FILL * buckets * _MOST:
            buckets *= 2
        larger = self._larger(max(buckets, 2 * (self._mask + 1)))
        present = self._entries()
        while some := list(islice(present, _AT_ONCE)):
            larger._add(some)
        if self.path:
            os.rename(larger.path, self.path)
        os.close(self._fd)
        self._fd, self._mask, self._count = larger._fd, larger._mask, larger._count
        larger._fd = -1


def _position(data: bytes | bytearray, start: int, count: int, id: bytes) -> int:
    """Where the entry of an id begins in the bucket at ``start`` of some bytes, among its first ``count``; or 0."""
    first = start + _FIRST
    end = first + count * _SIZE
    at = data.find(id, first, end)
    while at >= 0 and (at - first) % _SIZE:
        at = data.find(id, at + 1, end)
    return max(at, 0)


def _stretches(entries: Sequence[_Bound]) -> Iterator[Sequence[_Bound]]:
    """Sorted entries, parted where their buckets are far from one another."""
    begin = 0
    for at, (bucket, _) in enumerate(entries):
        if bucket - entries[at - 1][0] > _NEAR or bucket - entries[begin][0] >= _STRETCH:
            yield entries[begin:at]
            begin = at
    yield entries[begin:]
