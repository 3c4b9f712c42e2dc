"""A client that keeps points in memory, and a comparer that knows nothing of the program's own."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from strongroom.clients.base import Capabilities, Client, Failure, Monitor, RunHead, Task
from strongroom.errors import ClientError, UnknownError
from strongroom.model import (
    Entry,
    FileCounts,
    FileType,
    Level,
    Point,
    Pruned,
    ReadPlan,
    Remark,
    Status,
    Time,
    Verification,
)


class Quiet:
    """A monitor that nobody watches."""

    def progress(self, *, accounts: str, done: FileCounts, expected_entries: int) -> None:
        pass

    def read_back(self, done: int, expected: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass


class Memory:
    """A client with one point. ``hook`` is called before each piece, ``broken`` are paths whose content is damaged."""

    name = "memory"

    def __init__(self, piece: int = 1 << 20) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.piece = piece
        self.hook: Callable[[Entry, int], None] | None = None
        self.broken: set[bytes] = set()
        self.fetched: list[bytes] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(driver=self.name, version="1", levels=tuple(Level), divisible=True)

    def close(self) -> None:
        """Nothing is held."""

    def snapshot(self, tree: bytes, root: bytes) -> Memory:
        """Take a folder into the point as a tree."""
        for path, place in _paths(tree, root):
            self.entries[path] = entry_of(path, place)
        return self

    def add(self, entry: Entry) -> None:
        """Put an entry into the point that no file system made."""
        self.entries[entry.path] = entry

    def change(self, path: bytes, **fields: object) -> None:
        """Replace fields of an entry."""
        self.entries[path] = msgspec.structs.replace(self.entries[path], **fields)

    def point(self, account: str = "site1", status: Status = Status.COMPLETE, *warned: bytes) -> Point:
        return Point(
            id="p1",
            account=account,
            time="2026-11-22T00:00:00Z",
            # All files were made long before.
            started="2100-01-01T00:00:00Z",
            level=Level.FULL,
            client="memory",
            status=status,
            run="r1",
            seq=1,
            entries=len(self.entries),
            warnings=tuple(Remark(path=path, message="left out") for path in warned),
        )

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        return self.entries.get(path)

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        if path not in self.entries:
            raise UnknownError("no such folder")
        return [entry for name, entry in sorted(self.entries.items()) if name.rpartition(b"/")[0] == path]

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        for path, entry in self.entries.items():
            if any(path == wanted or path.startswith(wanted + b"/") for wanted in paths):
                yield entry

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        for number in reversed(range(len(entries))):
            entry = entries[number]
            self.fetched.append(entry.path)
            extents = entry.content
            assert isinstance(extents, tuple)
            for offset, data in extents:
                for start in range(0, len(data), self.piece):
                    if self.hook:
                        self.hook(entry, offset + start)
                    if entry.path in self.broken:
                        raise ClientError("chunk is not what was stored")
                    yield number, offset + start, data[start : start + self.piece]

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        raise NotImplementedError

    def unlock(self) -> None:
        raise NotImplementedError

    def points(self) -> list[Point]:
        return [self.point()]

    def ids(self) -> set[str]:
        return {"p1"}

    def load(self, ids: Iterable[str]) -> list[Point]:
        return self.points()

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        return ReadPlan(reads=(), bytes=0, seconds=0.0)

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        raise NotImplementedError

    def forget(self, ids: Sequence[str]) -> None:
        raise NotImplementedError

    def prune(self, *, dry_run: bool) -> Pruned:
        raise NotImplementedError

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        raise NotImplementedError


def _paths(tree: bytes, root: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield tree, root
    for name in sorted(os.listdir(root)):
        place = root + b"/" + name
        if stat.S_ISDIR(os.lstat(place).st_mode):
            yield from _paths(tree + b"/" + name, place)
        else:
            yield tree + b"/" + name, place


def entry_of(path: bytes, place: bytes) -> Entry:
    """The entry of what stands at a place."""
    status = os.lstat(place)
    kind = FileType.of(status.st_mode)
    content = extents_of(place) if kind is FileType.FILE else ()
    shared = kind is not FileType.DIR and status.st_nlink > 1
    return Entry(
        path=path,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=Time(*divmod(status.st_mtime_ns, 10**9)),
        ctime=Time(*divmod(status.st_ctime_ns, 10**9)),
        size=status.st_size if kind is FileType.FILE else 0,
        stored=sum(len(data) for _, data in content),
        inode=status.st_ino,
        links=status.st_nlink,
        link_group=b"%d" % status.st_ino if shared else b"",
        target=os.readlink(place) if kind is FileType.SYMLINK else b"",
        rdev=(os.major(status.st_rdev), os.minor(status.st_rdev)),
        flags=flags_of(place) if kind in (FileType.FILE, FileType.DIR) else 0,
        xattrs=tuple(sorted(xattrs_of(place).items())),
        content=content,
    )


def extents_of(place: bytes) -> tuple[tuple[int, bytes], ...]:
    """The pieces of a file that are not holes."""
    found: list[tuple[int, bytes]] = []
    with open(place, "rb", buffering=0) as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                assert error.errno == errno.ENXIO
                return tuple(found)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, os.pread(file.fileno(), end - start, start)))


def xattrs_of(place: bytes) -> dict[bytes, bytes]:
    names = [os.fsencode(name) for name in os.listxattr(place, follow_symlinks=False)]
    return {name: os.getxattr(place, name, follow_symlinks=False) for name in names}


def flags_of(place: bytes) -> int:
    """The flags that chattr sets: s u c S i a d A and no others of use here."""
    fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return int(struct.unpack("=I", fcntl.ioctl(fd, 0x80086601, bytes(8))[:4])[0]) & 0xFF
    finally:
        os.close(fd)


def picture(root: bytes, *, without: tuple[bytes, ...] = ()) -> dict[bytes, tuple[object, ...]]:
    """Everything that can be told of a tree, by path, so that two trees can be compared with ==."""
    seen: dict[tuple[int, int], bytes] = {}
    told: dict[bytes, tuple[object, ...]] = {}
    for path, place in _paths(b".", root):
        status = os.lstat(place)
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if kind == stat.S_IFREG:
            content = extents_of(place), status.st_size
        elif kind == stat.S_IFLNK:
            content = os.readlink(place)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            content = status.st_rdev
        shared = kind != stat.S_IFDIR and status.st_nlink > 1
        first = seen.setdefault((status.st_dev, status.st_ino), path) if shared else None
        xattrs = {name: value for name, value in xattrs_of(place).items() if name not in without}
        flags = flags_of(place) if kind in (stat.S_IFREG, stat.S_IFDIR) else 0
        owner = (status.st_uid, status.st_gid)
        links = status.st_nlink if shared else 1
        told[path] = (status.st_mode, owner, status.st_mtime_ns, content, first, links, xattrs, flags)
    return told
