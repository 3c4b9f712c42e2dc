"""A point of another client as what the vault carries, and the point that comes of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from strongroom.clients.base import Client
from strongroom.clients.staging import batches, holes_of, readable, stage
from strongroom.clients.vault_feed import iso
from strongroom.clients.workroom import Workroom
from strongroom.model import Entry, FileType, Level, Origin, Point
from strongroom.vault.feed import CarriedEntry
from strongroom.vault.record import NOTHING, Defect, Extra, Row, Type
from strongroom.vault.series import Outcome

_TYPES = {
    FileType.FILE: Type.FILE,
    FileType.DIR: Type.DIR,
    FileType.SYMLINK: Type.SYMLINK,
    FileType.FIFO: Type.FIFO,
    FileType.CHAR: Type.CHAR,
    FileType.BLOCK: Type.BLOCK,
    FileType.SOCKET: Type.SOCKET,
}
TREES = ("data", "databases", "info")


def trees(client: Client, point: Point) -> tuple[str, ...]:
    """The names of the trees that a point has."""
    return tuple(tree for tree in TREES if client.lookup(point, tree.encode()) is not None)


def origin(point: Point) -> Origin:
    """What a copy of a point that is carried now names as its first."""
    first = point.origin or Origin(point=point.id, client=point.client, carried="")
    return msgspec.structs.replace(first, carried=iso(time.time_ns()))


class CarriedPoint:
    """The vault's port `strongroom.vault.feed.Carried` over a point of another client."""

    def __init__(self, point: Point, source: Client, room: Workroom) -> None:
        self._point, self._source, self._room = point, source, room
        self.names = trees(source, point)

    def entries(self) -> Iterator[CarriedEntry]:
        """See the port."""
        walked = self._source.walk(self._point, [name.encode() for name in self.names])
        for batch in batches(walked):
            with self._room.spare() as folder:
                yield from self._batch(batch, folder)

    def _batch(self, batch: list[Entry], folder: bytes) -> Iterator[CarriedEntry]:
        files = [entry for entry in batch if readable(entry)]
        staged = stage(self._source, self._point, files, lambda number: b"%s/%d" % (folder, number))
        numbers = {entry.path: number for number, entry in enumerate(files)}
        for entry in batch:
            number = numbers.get(entry.path)
            if number is None:
                yield CarriedEntry(entry.path, _row(entry), entry.xattrs)
                continue
            path = b"%s/%d" % (folder, number)
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield CarriedEntry(entry.path, _row(entry), entry.xattrs, fd, holes_of(entry, staged[number]))
            finally:
                os.close(fd)
            os.unlink(path)

    def release(self) -> None:
        """See the port: what the other client brought for this is not needed any more."""
        self._source.close()


def carried(outcome: Outcome, point: Point, client: str) -> Point:
    """The point that a carried one becomes: the same, but for what tells it apart and what it cost."""
    return msgspec.structs.replace(
        point,
        id=outcome.id,
        level=Level.FULL,
        client=client,
        seq=outcome.seq,
        parent=None,
        stored_bytes=outcome.stored,
        origin=origin(point),
    )


def _row(entry: Entry) -> Row:
    extra = Extra(
        target=entry.target,
        rdev=entry.rdev if entry.type in (FileType.CHAR, FileType.BLOCK) else None,
        flags=entry.flags,
        defect=_defect(entry),
        remark=entry.defect or "",
    )
    return Row(
        entry.path.rpartition(b"/")[2], _TYPES[entry.type], entry.mode, entry.uid, entry.gid, entry.size,
        entry.mtime.seconds, entry.mtime.nanoseconds, entry.ctime.seconds, entry.ctime.nanoseconds, entry.inode,
        entry.links, b"", NOTHING if extra == NOTHING else extra,
    )  # fmt: skip


def _defect(entry: Entry) -> str:
    if entry.defect is None:
        return ""
    return Defect.CHANGED if readable(entry) or entry.type is not FileType.FILE else Defect.UNREAD
