"""What a snapshot of the vault holds, as entries of a point."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from strongroom.clients.sidecar import outermost
from strongroom.errors import UnknownError
from strongroom.model import Entry, FileType, Time, text
from strongroom.vault.reader import Reader, stored_size
from strongroom.vault.record import NOTHING, Record, Row, Type, content_references, sort_key
from strongroom.vault.snapshot import Snapshot

_TYPES = {
    Type.FILE: FileType.FILE,
    Type.DIR: FileType.DIR,
    Type.SYMLINK: FileType.SYMLINK,
    Type.FIFO: FileType.FIFO,
    Type.CHAR: FileType.CHAR,
    Type.BLOCK: FileType.BLOCK,
    Type.SOCKET: FileType.SOCKET,
}
_GROUP = struct.Struct("<QqIQ")


class StoredContent:
    """A file's content in the vault; equal where the chunks and the holes are."""

    __slots__ = ("row",)

    def __init__(self, row: Row) -> None:
        self.row = row

    @property
    def _identity(self) -> tuple[bytes, object]:
        return content_references(self.row), self.row.extra.extents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredContent) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


def row_entry(reader: Reader, path: bytes, row: Row) -> Entry:
    """The entry of a row that is not a folder."""
    extra = row.extra
    group = b""
    if row.links > 1:
        group = _GROUP.pack(row.inode, row.ctime_s, row.ctime_ns, row.size)
    return Entry(
        path=path,
        type=_TYPES[Type(row.type)],
        mode=row.mode,
        uid=row.uid,
        gid=row.gid,
        mtime=Time(row.mtime_s, row.mtime_ns),
        ctime=Time(row.ctime_s, row.ctime_ns),
        size=row.size if row.type in (Type.FILE, Type.SYMLINK) else 0,
        stored=stored_size(row),
        inode=row.inode,
        links=row.links,
        link_group=group,
        target=extra.target,
        rdev=extra.rdev or (0, 0),
        flags=extra.flags,
        xattrs=reader.xattrs(extra, row.references) if extra.xattrs else (),
        defect=(extra.remark or extra.defect) if extra.defect else None,
        content=StoredContent(row) if row.type == Type.FILE else None,
    )


def folder_entry(reader: Reader, path: bytes, record: Record) -> Entry:
    """The entry of a folder."""
    own = record.own
    return Entry(
        path=path,
        type=FileType.DIR,
        mode=own.mode,
        uid=own.uid,
        gid=own.gid,
        mtime=Time(own.mtime_s, own.mtime_ns),
        ctime=Time(own.ctime_s, own.ctime_ns),
        inode=own.inode,
        flags=own.extra.flags,
        xattrs=reader.xattrs(own.extra, record.own_references) if own.extra is not NOTHING else (),
        defect=next((message for name, message in record.remarks if not name), None),
    )


class Tree:
    """The folders and files of one snapshot."""

    def __init__(self, reader: Reader, snapshot: Snapshot) -> None:
        self._reader, self._snapshot = reader, snapshot

    def lookup(self, path: bytes) -> Entry | None:
        """The entry at a stored path."""
        record_id = self._reader.record_id(self._snapshot, path)
        if record_id is not None:
            return folder_entry(self._reader, path, self._reader.record(record_id))
        row = self._reader.row(self._snapshot, path)
        return row_entry(self._reader, path, row) if row is not None else None

    def ls(self, path: bytes) -> list[Entry]:
        """What a folder holds, sorted by name. Raise UnknownError."""
        record_id = self._reader.record_id(self._snapshot, path)
        if record_id is None:
            raise UnknownError(f"the point holds no folder {text(path)!r}")
        return [self._child(path, row) for row in self._reader.record(record_id).rows]

    def _child(self, path: bytes, row: Row) -> Entry:
        below = path + b"/" + row.name
        if row.type != Type.DIR:
            return row_entry(self._reader, below, row)
        record_id = self._reader.record_id(self._snapshot, below)
        if record_id is None:
            return _nameless_folder(below)
        return folder_entry(self._reader, below, self._reader.record(record_id))

    def walk(self, paths: Sequence[bytes]) -> Iterator[Entry]:
        """The entries at and below paths, folders first, siblings sorted; none twice. Raise UnknownError."""
        for path in outermost(paths):
            if self._reader.record_id(self._snapshot, path) is not None:
                yield from self._walk_folder(path)
                continue
            row = self._reader.row(self._snapshot, path)
            if row is None:
                raise UnknownError(f"the point holds no {text(path)!r}")
            yield row_entry(self._reader, path, row)

    def _walk_folder(self, top: bytes) -> Iterator[Entry]:
        """Folders come from the directory map in the very order in which their parents' rows name them."""
        reader = self._reader
        folders = reader.directories(self._snapshot, top)
        ahead = next(folders, None)
        levels: list[tuple[bytes, Iterator[Row]]] = []

        def enter(path: bytes) -> Entry:
            nonlocal ahead
            # A folder that no row names is not part of the point; it must not hide those behind it.
            while ahead is not None and sort_key(ahead[0]) < sort_key(path):
                ahead = next(folders, None)
            if ahead is None or ahead[0] != path:
                levels.append((path, iter(())))
                return _nameless_folder(path)
            record = reader.record(ahead[1])
            ahead = next(folders, None)
            levels.append((path, iter(record.rows)))
            return folder_entry(reader, path, record)

        yield enter(top)
        while levels:
            path, rows = levels[-1]
            row = next(rows, None)
            if row is None:
                levels.pop()
            elif row.type == Type.DIR:
                yield enter(path + b"/" + row.name)
            else:
                yield row_entry(reader, path + b"/" + row.name, row)

    def rows(self, paths: Sequence[bytes]) -> Iterator[Row]:
        """The rows of files at and below paths, without entries being made of them."""
        for path in outermost(paths):
            found = False
            for _, record_id in self._reader.directories(self._snapshot, path):
                found = True
                yield from (row for row in self._reader.record(record_id).rows if row.type == Type.FILE)
            if not found and (row := self._reader.row(self._snapshot, path)) is not None:
                yield row


def _nameless_folder(path: bytes) -> Entry:
    """A folder that was gone, or swapped, when its own turn came: only its name is known."""
    return Entry(
        path=path, type=FileType.DIR, mode=0o700, uid=0, gid=0, mtime=Time(0), defect="it vanished before it could be read"
    )  # fmt: skip
