"""A download: stored paths of a point, or what stands in the account now, as one archive on a stream.

Names are as the account's owner knows them: what is ``/var/www`` to the owner is ``var/www`` in the archive, metadata
is ``info/…`` (``info:/…`` when the account has a folder ``/info`` of its own and both are asked for).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from strongroom.clients.base import Client, Monitor
from strongroom.errors import UnknownError, UsageError
from strongroom.model import Account, Entry, FileType, Frozen, Point, Remark, Status, text
from strongroom.paths import owners
from strongroom.restores.attributes import without_origin
from strongroom.restores.contents import BATCH_FILES, deliver
from strongroom.restores.flags import SETTABLE
from strongroom.restores.live import LiveData
from strongroom.restores.pieces import Output, Pieces, Spool
from strongroom.restores.remarks import Remarks
from strongroom.restores.tar import TarWriter
from strongroom.restores.telling import Telling, expected_entries
from strongroom.restores.zip import ZipWriter

_LEVEL = 3
# All of a batch is held while it is fetched; a larger file has a temporary file of its own.
_BATCH_BYTES = 16 << 20


class ArchiveFormat(StrEnum):
    """The kinds of archive."""

    TAR = "tar"
    TAR_ZST = "tar.zst"
    ZIP = "zip"


class DownloadRequest(Frozen, frozen=True):
    """What to put in an archive: stored paths of ``point``, or live data of ``account`` when there is no point.

    No paths of live data: all that the account has to have.
    """

    paths: tuple[bytes, ...]
    format: ArchiveFormat
    point: Point | None = None
    account: Account | None = None
    excludes: tuple[str, ...] = ()


class DownloadResult(Frozen, frozen=True):
    """What is in the archive: its size, how many entries, and what could not be put in it."""

    status: Status
    bytes: int
    entries: int
    warnings: tuple[Remark, ...] = ()


class Archive(Protocol):
    """What writes one kind of archive."""

    def add(self, entry: Entry, name: bytes, pieces: Pieces) -> None:
        """Add an entry under a name, its content as (offset, bytes) in order."""

    def close(self) -> None:
        """Write the end of the archive."""


class LinkingArchive(Archive, Protocol):
    """What writes a kind of archive that has hard links; in others each name has its content."""

    def link(self, entry: Entry, name: bytes, first: bytes) -> None:
        """Add one more name of what was added under ``first``."""


def download(request: DownloadRequest, client: Client | None, out: Output, monitor: Monitor) -> DownloadResult:
    """Write an archive to a stream, which is neither sought nor closed.

    Raises UnknownError for a path that is not there, before anything is written; OSError when the stream takes no more.
    """
    remarks = Remarks()
    counted = _Counted(out)
    if request.point is not None and client is not None:
        told = _Told(Telling(monitor, request.point.account, expected_entries(request.point, request.paths)))
        entries = _of_point(request, request.point, client, counted, remarks, told)
    elif request.account is not None:
        told = _Told(Telling(monitor, request.account.name))
        entries = _of_live(request, request.account, counted, remarks, told)
    else:
        raise UsageError("a download needs a point, or an account of this server")
    return DownloadResult(status=remarks.status, bytes=counted.bytes, entries=entries, warnings=remarks.all())


def _of_point(
    request: DownloadRequest, point: Point, client: Client, out: _Counted, remarks: Remarks, told: _Told
) -> int:
    for path in request.paths:
        if client.lookup(point, path) is None:
            raise UnknownError(f"no '{owners(path)}' in point {point.id}; look with: strongroom ls {point.id[:12]}")
    names = _Names(request, lambda path: client.lookup(point, path) is not None)
    with _Packer(request.format, out, names, remarks, told) as packer:
        queue = _Queue(client, point, packer, told)
        for entry in client.walk(point, request.paths):
            if entry.defect:
                missing = point.status is not Status.COMPLETE
                remarks.warn(entry.path, f"suspect in the point: {entry.defect}", missing=missing)
            if not (entry.defect and entry.size and not entry.stored):
                queue.add(entry)
        queue.flush()
    return packer.entries


def _of_live(request: DownloadRequest, account: Account, out: _Counted, remarks: Remarks, told: _Told) -> int:
    if not request.paths:
        request = msgspec.structs.replace(request, paths=tuple(where.tree.encode() for where in account.locations))
        for tree, path in account.absent:
            remarks.warn(tree.encode(), f"there is no folder {text(path)}: nothing of it is in the archive")
    live = LiveData(account, request.excludes, remarks)
    try:
        for path in request.paths:
            if not live.has(path):
                raise UnknownError(f"no '{owners(path)}' in what {account.name} has now; look for it on the server")
            if live.leaves_out(path):
                raise UnknownError(
                    f"'{owners(path)}' of {account.name} is left out of backups and archives; "
                    "see: strongroom accounts --locations"
                )
        with _Packer(request.format, out, _Names(request, live.has), remarks, told) as packer:
            for entry, pieces in live.walk(request.paths):
                packer.awaits(entry)
                packer.pack(entry, told.passing(pieces))
        return packer.entries
    finally:
        live.close()


class _Names:
    """What stored paths are called in the archive."""

    def __init__(self, request: DownloadRequest, has: Callable[[bytes], bool]) -> None:
        both = {path.partition(b"/")[0] for path in request.paths} > {b"info"}
        self._info = b"info:" if both and has(b"data/info") else b"info"

    def of(self, path: bytes) -> bytes:
        """The name of a stored path; empty for the account's own folder, which an archive does not hold."""
        tree, _, below = path.partition(b"/")
        if tree == b"data":
            return below
        top = self._info if tree == b"info" else tree
        return top + b"/" + below if below else top


class _Packer:
    """Puts entries into an archive, the names of one inode as links where the format has them."""

    def __init__(self, format: ArchiveFormat, out: _Counted, names: _Names, remarks: Remarks, told: _Told) -> None:
        self._compressed: _Compressed | None = None
        self._linking: LinkingArchive | None = None
        self._archive = self._open(format, out, remarks)
        self._names = names
        self._remarks = remarks
        self._told = told
        # For each inode the first name that came, and which of them are in the archive.
        self._first: dict[bytes, bytes] = {}
        self._packed: set[bytes] = set()
        self.entries = 0

    def __enter__(self) -> _Packer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._archive.close()
            if self._compressed is not None:
                self._compressed.finish()

    def awaits(self, entry: Entry) -> bool:
        """Whether an entry becomes a link, so that its content is not needed; the first name of an inode does not."""
        if not entry.link_group or self._linking is None:
            return False
        return self._first.setdefault(entry.link_group, entry.path) != entry.path

    def pack(self, entry: Entry, pieces: Pieces) -> None:
        """Put one entry into the archive, as a link when the first name of its inode is there."""
        name = self._names.of(entry.path)
        self._told.entry()
        if not name or entry.type is FileType.SOCKET:
            return
        if entry.flags & SETTABLE:
            self._remarks.warn(entry.path, "its inode flags are not kept in an archive", missing=False)
        if self._linking is not None and self.awaits(entry):
            self._link(self._linking, entry)
            return
        self._archive.add(without_origin(entry), name, pieces)
        self.entries += 1
        if entry.link_group:
            self._packed.add(entry.link_group)

    def lose(self, entry: Entry, why: str) -> None:
        """Leave an entry out whose content does not come, and its other names when they come."""
        self._remarks.warn(entry.path, f"left out: {why}")

    def _link(self, archive: LinkingArchive, entry: Entry) -> None:
        if entry.link_group not in self._packed:
            self._remarks.warn(entry.path, "left out: another name of a file whose content cannot be read")
            return
        archive.link(entry, self._names.of(entry.path), self._names.of(self._first[entry.link_group]))
        self.entries += 1

    def _open(self, format: ArchiveFormat, out: _Counted, remarks: Remarks) -> Archive:
        if format is ArchiveFormat.ZIP:
            return ZipWriter(out, remarks)
        if format is ArchiveFormat.TAR_ZST:
            self._compressed = _Compressed(out)
        self._linking = TarWriter(self._compressed or out, remarks)
        return self._linking


class _Queue:
    """Entries on their way into an archive, in the order of the walk: tar gives a folder its time when it leaves it."""

    def __init__(self, client: Client, point: Point, packer: _Packer, told: _Told) -> None:
        self._client = client
        self._point = point
        self._packer = packer
        self._told = told
        self._waiting: list[_Collected] = []
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        """Add an entry, and pack all that wait when they are many."""
        linked = self._packer.awaits(entry)
        self._waiting.append(_Collected(entry, 0 if linked else entry.stored, self._told))
        self._bytes += entry.stored
        if len(self._waiting) >= BATCH_FILES or self._bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Fetch the content of all that wait, then pack them."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        deliver(self._client, self._point, [each for each in waiting if not each.done])
        for each in waiting:
            if each.failure is not None:
                self._packer.lose(each.entry, each.failure)
                continue
            with each.spool as spool:
                self._packer.pack(each.entry, spool.pieces())


class _Collected:
    """Takes the pieces of one file, so that no half file is in an archive."""

    def __init__(self, entry: Entry, wanted: int, told: _Told) -> None:
        """``wanted`` is how many bytes are to come."""
        self.entry = entry
        self._told = told
        self.spool = Spool()
        self.failure: str | None = None
        self._left = wanted

    def take(self, offset: int, data: bytes) -> None:
        """Keep one piece."""
        self._left -= len(data)
        self._told.read(len(data))
        self.spool.put(offset, data)

    @property
    def done(self) -> bool:
        """Whether all pieces came, or none is wanted any more."""
        return self._left <= 0

    def restart(self) -> None:
        """Begin anew."""
        self.spool.clear()
        self._left = self.entry.stored

    def fail(self, why: str) -> None:
        """Remember why the file is left out."""
        self._left = 0
        self.spool.clear()
        self.failure = why


class _Told:
    """Counts what was read and packed, and has it told."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._entries = 0
        self._bytes = 0

    def entry(self) -> None:
        """One more entry comes to the archive."""
        self._entries += 1
        self._telling.tell(written=self._entries, read=self._bytes)

    def read(self, count: int) -> None:
        """So many bytes more were read."""
        self._bytes += count
        self._telling.tell(written=self._entries, read=self._bytes)

    def passing(self, pieces: Pieces) -> Pieces:
        """Pieces of content, counted as they pass."""
        for offset, data in pieces:
            self.read(len(data))
            yield offset, data


class _Counted:
    """A stream that counts what goes into it."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.bytes = 0

    def write(self, data: bytes) -> int:
        """Pass bytes on."""
        self._out.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here."""


class _Compressed:
    """A stream that compresses with zstd."""

    def __init__(self, out: _Counted) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._out = out
        self._zstd = zstd.ZstdCompressor(level=_LEVEL)

    def write(self, data: bytes) -> None:
        """Compress bytes and pass on what is ready."""
        ready = self._zstd.compress(data)
        if ready:
            self._out.write(ready)

    def finish(self) -> None:
        """Pass on the rest."""
        self._out.write(self._zstd.flush())
