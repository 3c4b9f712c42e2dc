"""The sidecar: the metadata of every entry of a point, as one file that lies in the set beside the data.

What a tool loses is not lost: names, kinds, modes, owners, times, attributes, links, holes and a hash of every content come
from here, and of the tool only bytes are wanted. Sorted by path, in compressed frames with an index at the end, so that one
entry is found, and a folder listed, without the rest being read.
"""

from __future__ import annotations

import hashlib
import os
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Protocol, TypeVar

import msgspec

from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Frozen, Time, text

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"SRSIDE01"
_FRAME_ROWS = 512
_OPTIONS: dict[int, int] = {zstd.CompressionParameter.compression_level: 3, zstd.CompressionParameter.checksum_flag: 1}
# More than any frame of so many rows; what is larger is no sidecar of ours, and gets no memory.
_LARGEST_FRAME = 256 << 20
GONE = "gone"


class Row(Frozen, array_like=True, omit_defaults=False):
    """One entry. ``place`` says where a file's content is: 0 under its own path in the set, N in the set's file
    ``apart/N``, -N in ``late/N`` of the set's second part. ``digest`` is its `ContentHash`.
    ``extents`` are its data as (offset, length), or None for a file without holes. The kind ``gone`` takes a path back.
    ``wanted``: it is one that a substitute copies, each time anew.
    """

    path: bytes
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: tuple[int, int] = (0, 0)
    ctime: tuple[int, int] = (0, 0)
    size: int = 0
    inode: int = 0
    links: int = 1
    extents: tuple[tuple[int, int], ...] | None = None
    target: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    flags: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    defect: str = ""
    digest: bytes = b""
    place: int = 0
    wanted: bool = False

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Where a file has data, as (offset, length)."""
        if self.extents is not None:
            return self.extents
        return ((0, self.size),) if self.size else ()

    @property
    def stored(self) -> int:
        """How many bytes of a file are not holes, as far as they could be read."""
        return sum(length for _, length in self.pieces) if self.digest else 0

    @property
    def identity(self) -> tuple[object, ...]:
        """What the kernel changes whenever the entry changes."""
        return (self.kind, self.inode, self.ctime, self.mtime, self.size, self.mode, self.uid, self.gid, self.links)


class Content:
    """A file's content in a foreign client's point; equal where the bytes are, however the holes are laid out."""

    __slots__ = ("_identity", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self._identity = (row.digest, row.size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


def digest(path: bytes) -> bytes:
    """The BLAKE2b hash of a sidecar as a file. Raise ClientError where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise ClientError(f"{text(path)} cannot be read: {error.strerror}; check the client's storage") from error


def entry(row: Row) -> Entry:
    """The entry of a row."""
    kind = FileType(row.kind)
    group = b""
    if row.links > 1 and kind is not FileType.DIR:
        group = repr((row.inode, row.ctime, row.size)).encode()
    return Entry(
        path=row.path,
        type=kind,
        mode=row.mode,
        uid=row.uid,
        gid=row.gid,
        mtime=Time(*row.mtime),
        ctime=Time(*row.ctime),
        size=row.size,
        stored=row.stored if kind is FileType.FILE else 0,
        inode=row.inode,
        links=row.links,
        link_group=group,
        target=row.target,
        rdev=row.rdev,
        flags=row.flags,
        xattrs=row.xattrs,
        defect=row.defect or None,
        content=Content(row) if kind is FileType.FILE and row.digest else None,
    )


def sort_key(path: bytes) -> bytes:
    """What rows are sorted by: a folder directly before all that is below it."""
    return path.replace(b"/", b"\0")


def outermost(paths: Sequence[bytes]) -> list[bytes]:
    """The paths without those that lie below another, in their order."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=sort_key):
        if not kept or not path.startswith(kept[-1] + b"/"):
            kept.append(path)
    return kept


def write(path: bytes, rows: Iterable[Row]) -> int:
    """Write rows, sorted, into a new file, durably; returns how many there were."""
    index: list[tuple[bytes, int, int]] = []
    waiting: list[Row] = []
    total = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(_MAGIC)

        def flush() -> None:
            frame = zstd.compress(msgspec.msgpack.encode(waiting), options=_OPTIONS)
            index.append((sort_key(waiting[0].path), file.tell(), len(frame)))
            file.write(frame)
            waiting.clear()

        for row in rows:
            waiting.append(row)
            total += 1
            if len(waiting) >= _FRAME_ROWS:
                flush()
        if waiting:
            flush()
        at = file.tell()
        file.write(zstd.compress(msgspec.msgpack.encode(index), options=_OPTIONS))
        file.write(at.to_bytes(8, "big") + _MAGIC)
        file.flush()
        os.fsync(file.fileno())
    return total


class Sidecar:
    """A sidecar that is read. Raise ClientError where it is damaged."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        try:
            self._file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - for as long as it is read from
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(size - 16, 0))
            tail = self._file.read(16)
            at = int.from_bytes(tail[:8], "big")
            if tail[8:] != _MAGIC or at > size - 16:
                raise ValueError("it has no end")
            self._index = msgspec.msgpack.decode(self._piece(at, size - 16 - at), type=list[tuple[bytes, int, int]])
        except (OSError, ValueError, zstd.ZstdError, msgspec.MsgspecError) as error:
            raise self._damaged(error) from error
        self._keys = [key for key, _, _ in self._index]
        self._last: tuple[int, list[Row], list[bytes]] = (-1, [], [])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _damaged(self, error: Exception) -> ClientError:
        return ClientError(f"the sidecar {text(self._path)} cannot be read ({error}); check the client's storage")

    def _piece(self, at: int, length: int) -> bytes:
        self._file.seek(at)
        reader = zstd.ZstdDecompressor()
        plain = reader.decompress(self._file.read(length), max_length=_LARGEST_FRAME)
        if not reader.eof:
            raise ValueError("a part of it is cut, or larger than any of ours")
        return plain

    def _frame(self, number: int) -> tuple[list[Row], list[bytes]]:
        """The rows of a frame, and their sort keys: long chains look up every file in every link."""
        if self._last[0] != number:
            _, at, length = self._index[number]
            try:
                rows = msgspec.msgpack.decode(self._piece(at, length), type=list[Row])
            except (OSError, ValueError, zstd.ZstdError, msgspec.MsgspecError) as error:
                raise self._damaged(error) from error
            self._last = (number, rows, [sort_key(row.path) for row in rows])
        return self._last[1], self._last[2]

    def rows(self, start: bytes = b"") -> Iterator[Row]:
        """The rows from a sort key on."""
        number = max(bisect_right(self._keys, start) - 1, 0)
        while number < len(self._index):
            rows, keys = self._frame(number)
            yield from rows[bisect_left(keys, start) :]
            number += 1

    def lookup(self, path: bytes) -> Row | None:
        """The row of a path."""
        found = next(self.rows(sort_key(path)), None)
        return found if found is not None and found.path == path else None

    def below(self, path: bytes) -> Iterator[Row]:
        """The rows at and below a path."""
        for row in self.rows(sort_key(path)):
            if row.path != path and not row.path.startswith(path + b"/"):
                return
            yield row

    def children(self, path: bytes) -> Iterator[Row]:
        """The rows directly in a folder; what lies deeper is passed over unread."""
        key = sort_key(path) + b"\0"
        while True:
            row = next(self.rows(key), None)
            if row is None or not row.path.startswith(path + b"/"):
                return
            yield row
            # All that is below a path sorts between it with a zero and it with a one.
            key = sort_key(row.path) + (b"\1" if row.kind == FileType.DIR else b"\0")


def corrected(rows: Iterable[Row], corrections: Iterable[Row]) -> Iterator[Row]:
    """The rows with those of a second part in their places, new ones among them, and without those that are gone."""
    for _, row, other in joined(rows, corrections):
        chosen = other or row
        if chosen is not None and chosen.kind != GONE:
            yield chosen


class Pathed(Protocol):
    """Something at a path."""

    @property
    def path(self) -> bytes:
        """Where it is."""


Left = TypeVar("Left", bound=Pathed)
Right = TypeVar("Right", bound=Pathed)


def joined(left: Iterable[Left], right: Iterable[Right]) -> Iterator[tuple[bytes, Left | None, Right | None]]:
    """Two sorted sequences side by side: each path of either, with what each has of it."""
    ours, theirs = iter(left), iter(right)
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        if two is None or (one is not None and sort_key(one.path) < sort_key(two.path)):
            assert one is not None  # noqa: S101  (one of the two is there)
            yield one.path, one, None
            one = next(ours, None)
        elif one is None or sort_key(two.path) < sort_key(one.path):
            yield two.path, None, two
            two = next(theirs, None)
        else:
            yield one.path, one, two
            one, two = next(ours, None), next(theirs, None)
