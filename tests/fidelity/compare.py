"""The independent comparer: two folders, by descriptors, in everything a backup must bring back.

It imports nothing of the program it judges. atime, ctime, inode numbers and allocation are not compared.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fidelity import flags

BLOCK = 1 << 20
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}
Extents = list[tuple[int, int]]


@dataclass(frozen=True)
class Ignore:
    """What is no difference: these xattrs, these paths with what is below, sockets, holes, flags, the top's own."""

    xattrs: frozenset[bytes] = frozenset()
    paths: frozenset[bytes] = frozenset()
    sockets: bool = False
    holes: bool = False
    flags: bool = False
    top: bool = False


@dataclass
class _Side:
    """One of the two trees while it is walked: its names by inode."""

    names: dict[tuple[int, int], list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def groups(self) -> set[tuple[bytes, ...]]:
        return {tuple(sorted(names)) for names in self.names.values() if len(names) > 1}


def compare(left: bytes, right: bytes, ignore: Ignore | None = None) -> list[str]:
    """Every difference between two folders, as lines ``PATH: WHAT: left, then right``; none when they are the same.

    WHAT is one of ``missing``, ``extra``, ``type``, ``content``, ``size``, ``holes``, ``dense`` (holes that were filled
    with zeros), ``mode``, ``owner``, ``mtime``, ``xattr``, ``flags``, ``target``, ``rdev``, ``links``.
    """
    comparison = _Comparison(ignore or Ignore())
    first, second = os.open(left, flags.FOLDER), os.open(right, flags.FOLDER)
    try:
        if not comparison.ignore.top:
            comparison.attributes(b".", os.fstat(first), os.fstat(second))
            comparison.opened(b".", first, second)
        comparison.folders(b"", first, second)
    finally:
        os.close(first)
        os.close(second)
    comparison.links()
    return comparison.found


class _Comparison:
    def __init__(self, ignore: Ignore) -> None:
        self.ignore = ignore
        self.found: list[str] = []
        self.left, self.right = _Side(), _Side()

    def say(self, path: bytes, what: str, detail: str) -> None:
        shown = path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        self.found.append(f"{shown}: {what}: {detail}")

    def folders(self, prefix: bytes, left: int, right: int) -> None:
        ours, theirs = self._listing(prefix, left), self._listing(prefix, right)
        for name in sorted(ours.keys() | theirs.keys()):
            path = prefix + name
            if name not in theirs:
                self.say(path, "missing", f"{_kind(ours[name])} is not on the right")
            elif name not in ours:
                self.say(path, "extra", f"{_kind(theirs[name])} is not on the left")
            else:
                self._pair(path, name, (left, ours[name]), (right, theirs[name]))

    def _listing(self, prefix: bytes, folder: int) -> dict[bytes, os.stat_result]:
        return {
            name: info
            for name, info in flags.entries(folder)
            if prefix + name not in self.ignore.paths and not (self.ignore.sockets and stat.S_ISSOCK(info.st_mode))
        }

    def _pair(
        self, path: bytes, name: bytes, left: tuple[int, os.stat_result], right: tuple[int, os.stat_result]
    ) -> None:
        (first, ours), (second, theirs) = left, right
        for side, info in ((self.left, ours), (self.right, theirs)):
            if not stat.S_ISDIR(info.st_mode):
                side.names[info.st_dev, info.st_ino].append(path)
        if _kind(ours) != _kind(theirs):
            self.say(path, "type", f"{_kind(ours)}, then {_kind(theirs)}")
            return
        self.attributes(path, ours, theirs)
        self._xattrs(path, f"/proc/self/fd/{first}/".encode() + name, f"/proc/self/fd/{second}/".encode() + name)
        kind = _kind(ours)
        if kind == "symlink":
            self._same(path, "target", os.readlink(name, dir_fd=first), os.readlink(name, dir_fd=second))
        elif kind in ("char", "block"):
            self._same(path, "rdev", _device(ours), _device(theirs))
        elif kind in ("file", "dir"):
            self._inside(path, name, first, second)

    def _inside(self, path: bytes, name: bytes, first: int, second: int) -> None:
        one = os.open(name, flags.FILE | os.O_NOATIME, dir_fd=first)
        two = os.open(name, flags.FILE | os.O_NOATIME, dir_fd=second)
        try:
            self.opened(path, one, two)
            if stat.S_ISDIR(os.fstat(one).st_mode):
                self.folders(path + b"/", one, two)
            else:
                self._content(path, one, two)
        finally:
            os.close(one)
            os.close(two)

    def attributes(self, path: bytes, ours: os.stat_result, theirs: os.stat_result) -> None:
        self._same(path, "mode", f"{stat.S_IMODE(ours.st_mode):04o}", f"{stat.S_IMODE(theirs.st_mode):04o}")
        self._same(path, "owner", (ours.st_uid, ours.st_gid), (theirs.st_uid, theirs.st_gid))
        self._same(path, "mtime", ours.st_mtime_ns, theirs.st_mtime_ns)

    def opened(self, path: bytes, first: int, second: int) -> None:
        """Compare what only an open descriptor shows: flags, and for the top folder its xattrs."""
        if path == b".":
            self._xattrs(path, f"/proc/self/fd/{first}/.".encode(), f"/proc/self/fd/{second}/.".encode())
        if not self.ignore.flags:
            self._same(path, "flags", _letters(flags.get(first)), _letters(flags.get(second)))

    def _xattrs(self, path: bytes, first: bytes, second: bytes) -> None:
        ours, theirs = self._attributes_of(first), self._attributes_of(second)
        for name in sorted(ours.keys() | theirs.keys()):
            self._same(path, "xattr", (name, ours.get(name)), (name, theirs.get(name)))

    def _attributes_of(self, path: bytes) -> dict[bytes, bytes]:
        names = {os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)} - self.ignore.xattrs
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}

    def _content(self, path: bytes, first: int, second: int) -> None:
        sizes = os.fstat(first).st_size, os.fstat(second).st_size
        if sizes[0] != sizes[1]:
            self.say(path, "size", f"{sizes[0]}, then {sizes[1]}")
        ours, theirs = extents(first), extents(second)
        offset = _unequal(first, second, ours + theirs, min(sizes))
        if offset is not None:
            self.say(path, "content", f"the first other byte is at {offset}")
        elif ours != theirs and not self.ignore.holes and not _same_room(first, second):
            what = "dense" if _within(ours, theirs) else "holes"
            self.say(path, what, f"{_length(ours)} bytes of data in {ours}, then {_length(theirs)} in {theirs}"[:400])

    def _same(self, path: bytes, what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            self.say(path, what, f"{_short(ours)}, then {_short(theirs)}")

    def links(self) -> None:
        ours, theirs = self.left.groups(), self.right.groups()
        for side, groups in (("left", ours - theirs), ("right", theirs - ours)):
            for group in sorted(groups):
                self.say(group[0], "links", f"one inode on the {side} only: {_short(group)}")


def extents(fd: int) -> Extents:
    """Where an open file has data: ``(start, end)`` pairs, what lies between being holes."""
    found: Extents = []
    offset, size = 0, os.fstat(fd).st_size
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            break
        offset = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, offset))
    return found


def _settled(fd: int) -> Extents:
    """The same when nobody has just read the file.

    Of room that was only set aside, the kernel takes for data what the page cache has of it, so a file is seen in two ways,
    and whoever copied it may have seen either.
    """
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return extents(fd)


def _same_room(first: int, second: int) -> bool:
    """Whether two files have data at the same places, but for room that one has set aside: a copy may have zeros there."""
    ours, theirs = _settled(first), _settled(second)
    if ours == theirs:
        return True
    return (_set_aside(first, ours) and _within(ours, theirs)) or (_set_aside(second, theirs) and _within(theirs, ours))


def _set_aside(fd: int, data: Extents) -> bool:
    """Whether a file has more room than its data fill; a little more is the file system's own."""
    return os.fstat(fd).st_blocks * 512 > _length(data) + BLOCK // 4


def _unequal(first: int, second: int, where: Extents, size: int) -> int | None:
    for offset, length in _blocks(where, size):
        ours, theirs = os.pread(first, length, offset), os.pread(second, length, offset)
        if ours != theirs:
            return offset + next(n for n in range(length) if ours[n : n + 1] != theirs[n : n + 1])
    return None


def _blocks(where: Extents, size: int) -> Iterator[tuple[int, int]]:
    """Cut the union of extents, up to a size, into blocks to read; each byte once."""
    done = 0
    for start, end in sorted(where):
        offset = max(start, done)
        while offset < min(end, size):
            length = min(BLOCK, min(end, size) - offset)
            yield offset, length
            offset += length
        done = max(done, end)


def _within(inner: Extents, outer: Extents) -> bool:
    """Whether every byte of data of the one is data of the other too."""
    return _length(outer) == sum(length for _, length in _blocks(inner + outer, 1 << 62))


def _length(where: Extents) -> int:
    return sum(end - start for start, end in where)


def _kind(info: os.stat_result) -> str:
    return KINDS[stat.S_IFMT(info.st_mode)]


def _device(info: os.stat_result) -> tuple[int, int]:
    return os.major(info.st_rdev), os.minor(info.st_rdev)


def _letters(bits: int | None) -> str:
    return "none" if bits is None else "".join(letter for letter, bit in flags.LETTERS.items() if bits & bit) or "-"


def _short(value: object) -> str:
    shown = value if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 160 else shown[:157] + "..."
