"""A table of chunk ids in a file: one read for each question, whatever its size.

Buckets of 1 KiB, chosen by the id's first bytes (ids are keyed hashes, so uniform): a count, then entries of 32 bytes: id
(20), pack number u32, frame offset u32, frame size u32. A full bucket overflows into the next. At 60 % full the table is
copied to one of twice the size. Memory does not grow with the table: it is read by pread, never mapped.

Readers take no lock: an entry is written before the count that makes it visible.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
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


class Place(NamedTuple):
    """Where a chunk's frame lies: the pack's number in the index, offset and size in bytes."""

    pack: int
    offset: int
    size: int


Row = tuple[bytes, Place]


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
            at = self._position(data, id)
            if at:
                return Place(*_PLACE.unpack_from(data, at + ID_SIZE))
            if data[0] < _MOST:
                return None
            bucket = (bucket + 1) & self._mask

    def add(self, rows: Iterable[Row]) -> None:
        """Add entries, replacing those of the same id; many at a time is cheapest."""
        rows = iter(rows)
        # Of several entries of one id the last counts.
        while entries := {id: id + _PLACE.pack(*place) for id, place in islice(rows, _AT_ONCE)}:
            self._add(entries.values())

    def _add(self, entries: Collection[bytes]) -> None:
        if self._count + len(entries) > _FILL * (self._mask + 1) * _MOST:
            self._grow(self._count + len(entries))
        mask = self._mask
        ordered = sorted([(int.from_bytes(entry[:6], "little") & mask, entry) for entry in entries])
        for bucket, group in groupby(ordered, key=itemgetter(0)):
            self._fill(bucket, [entry for _, entry in group])

    def _fill(self, bucket: int, entries: list[bytes]) -> None:
        """Put entries into a bucket, and what does not fit into the next."""
        while entries:
            data = os.pread(self._fd, _BUCKET, bucket * _BUCKET)
            count = data[0]
            fresh: list[bytes] = []
            for entry in entries:
                at = self._position(data, entry[:ID_SIZE])
                if at:
                    os.pwrite(self._fd, entry, bucket * _BUCKET + at)
                else:
                    fresh.append(entry)
            fitting, entries = fresh[: _MOST - count], fresh[_MOST - count :]
            if fitting:
                os.pwrite(self._fd, b"".join(fitting), bucket * _BUCKET + _FIRST + count * _SIZE)
                os.pwrite(self._fd, bytes((count + len(fitting),)), bucket * _BUCKET)
                self._count += len(fitting)
            bucket = (bucket + 1) & self._mask

    @staticmethod
    def _position(data: bytes, id: bytes) -> int:
        """Where in a bucket's bytes the entry of an id begins, or 0."""
        end = _FIRST + data[0] * _SIZE
        at = data.find(id, _FIRST, end)
        while at >= 0 and (at - _FIRST) % _SIZE:
            at = data.find(id, at + 1, end)
        return max(at, 0)

    def rows(self) -> Iterator[Row]:
        """All entries, in the order of their buckets."""
        for bucket in range(self._mask + 1):
            data = os.pread(self._fd, _BUCKET, bucket * _BUCKET)
            for at in range(_FIRST, _FIRST + data[0] * _SIZE, _SIZE):
                yield data[at : at + ID_SIZE], Place(*_PLACE.unpack_from(data, at + ID_SIZE))

    def __len__(self) -> int:
        return self._count

    def recount(self) -> int:
        """Count the entries of a table that was there before."""
        self._count = sum(os.pread(self._fd, 1, bucket * _BUCKET)[0] for bucket in range(self._mask + 1))
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
        larger.add(self.rows())
        if self.path:
            os.rename(larger.path, self.path)
        os.close(self._fd)
        self._fd, self._mask, self._count = larger._fd, larger._mask, larger._count
        larger._fd = -1
