"""A point of another client as what the vault carries, and the point that comes of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from strongroom.clients.base import Client, Monitor
from strongroom.clients.staging import batches, holes_of, readable, stage
from strongroom.clients.vault_feed import counts_of, iso
from strongroom.clients.workroom import Workroom
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Level, Origin, Point
from strongroom.vault.feed import CarriedEntry
from strongroom.vault.messages import Counts
from strongroom.vault.record import NOTHING, Defect, Extra, Row, Type
from strongroom.vault.run import Progress
from strongroom.vault.series import Outcome, Request
from strongroom.vault.vault import Vault

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


def carry(vault: Vault, room: Workroom, point: Point, source: Client, client: str, monitor: Monitor) -> Point:
    """Carry a point of another client into a vault, whose name as a client is ``client``; returns it as it is there.

    Raise ClientError where there is none afterwards, and the vault's own errors.
    """
    made: list[Point] = []

    def describe(outcome: Outcome) -> bytes:
        made.append(_carried(outcome, counted(point, outcome.counts), client))
        return msgspec.msgpack.encode(made[-1])

    def progress(done: Progress) -> None:
        monitor.progress(accounts=point.account, done=counts_of(done.counts), expected_entries=point.entries)

    feed = CarriedPoint(point, source, room)
    series = f"{point.server}/{point.account}"
    request = Request(series=series, level=Level.FULL.value, sources=(), owners=frozenset(), feed=feed)
    for outcome in vault.backup([request], workers=1, describe=describe, progress=progress):
        if not isinstance(outcome, Outcome):
            raise ClientError(f"point {point.id} cannot be copied: {outcome.message}")
    return made[-1]


def counted(point: Point, counts: Counts) -> Point:
    """A point with its own counts, or with these where others made it, and nobody counted."""
    if point.entries:
        return point
    return msgspec.structs.replace(point, entries=counts.entries, bytes=counts.size, files=counts_of(counts))


def _carried(outcome: Outcome, point: Point, client: str) -> Point:
    """The point that a carried one becomes: the same, but for what tells it apart and what it cost."""
    return msgspec.structs.replace(
        point,
        id=outcome.id,
        level=Level.FULL,
        client=client,
        seq=outcome.seq,
        parent=None,
        pinned=False,
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
