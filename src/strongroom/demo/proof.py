"""The proof: what a folder held, written down before it is destroyed, against what came back.

Code of its own, which knows nothing of any backup software: it walks by descriptors, hashes with SHA-256, and compares
everything. What cannot be brought back by design is not written down: atime, ctime, inode numbers, sockets.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator

from strongroom.demo import inode_flags
from strongroom.model import FileType, Frozen

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_READ = 1 << 20


class Record(Frozen):
    """All that one name must come back with. ``mtime`` in nanoseconds since 1970; ``data`` where a file is no hole."""

    type: FileType
    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int = 0
    sha256: str = ""
    data: tuple[tuple[int, int], ...] = ()
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    flags: int = 0
    links: tuple[bytes, ...] = ()


class Manifest(Frozen):
    """Everything a folder held, by path relative to it; ``.`` is the folder itself."""

    records: dict[bytes, Record]

    @property
    def bytes(self) -> int:
        """The size of all files together, holes included, several names of one file each counted."""
        return sum(record.size for record in self.records.values())

    @property
    def attributes(self) -> int:
        """How many attributes a comparison looks at: mode, owner, group, time, flags, and each extended one."""
        return sum(5 + len(record.xattrs) for record in self.records.values())


def take(folder: bytes, leave_out: Collection[bytes] = ()) -> Manifest:
    """Write down a folder, without these paths (relative to it) and what is below them. Raise OSError if unreadable."""
    inodes: dict[tuple[int, int], list[bytes]] = {}
    records: dict[bytes, Record] = {}
    fd = os.open(folder, _FOLDER)
    try:
        records[b"."] = _record(os.fstat(fd), b"/proc/self/fd/%d/." % fd, fd)
        for path, info, record in _walk(fd, b"", frozenset(leave_out)):
            records[path] = record
            if record.type is not FileType.DIR:
                inodes.setdefault((info.st_dev, info.st_ino), []).append(path)
    finally:
        os.close(fd)
    for names in inodes.values():
        if len(names) > 1:
            for name in names:
                records[name] = _linked(records[name], tuple(sorted(names)))
    return Manifest(records=records)


def differences(before: Manifest, after: Manifest) -> list[str]:
    """Every difference as a line ``path: what: before, then after``; empty when the proof holds."""
    found = []
    for path in sorted(before.records.keys() | after.records.keys()):
        shown = path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        if path not in after.records:
            found.append(f"{shown}: missing")
        elif path not in before.records:
            found.append(f"{shown}: was not there before")
        else:
            found += [f"{shown}: {what}" for what in _unequal(before.records[path], after.records[path])]
    return found


def record_of(path: bytes) -> Record:
    """The record of a single file, folder or link."""
    folder = os.open(os.path.dirname(path) or b".", _FOLDER)
    try:
        return _entry(folder, os.path.basename(path))[1]
    finally:
        os.close(folder)


def _unequal(before: Record, after: Record) -> Iterator[str]:
    for name in Record.__struct_fields__:
        ours, theirs = getattr(before, name), getattr(after, name)
        if ours != theirs:
            yield f"{name}: {_shown(name, ours)}, then {_shown(name, theirs)}"


def _shown(name: str, value: object) -> str:
    text = f"{value:04o}" if name == "mode" and isinstance(value, int) else str(value)
    most = 12 if name == "sha256" else 100
    return text if len(text) <= most else text[:most] + "…"


def _walk(folder: int, prefix: bytes, leave_out: frozenset[bytes]) -> Iterator[tuple[bytes, os.stat_result, Record]]:
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        path = prefix + name
        if path in leave_out:
            continue
        info, record = _entry(folder, name)
        if record.type is FileType.SOCKET:
            continue
        yield path, info, record
        if record.type is FileType.DIR:
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _walk(below, path + b"/", leave_out)
            finally:
                os.close(below)


def _entry(folder: int, name: bytes) -> tuple[os.stat_result, Record]:
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    reach = b"/proc/self/fd/%d/%b" % (folder, name)
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        return info, _record(info, reach, None)
    fd = os.open(name, _FILE | os.O_NOATIME, dir_fd=folder)
    try:
        return info, _record(info, reach, fd)
    finally:
        os.close(fd)


def _record(info: os.stat_result, reach: bytes, fd: int | None) -> Record:
    kind = FileType.of(info.st_mode)
    size = info.st_size if kind is FileType.FILE else 0
    data = tuple(_data(fd, size)) if fd is not None else ()
    return Record(
        type=kind,
        mode=stat.S_IMODE(info.st_mode),
        owner=(info.st_uid, info.st_gid),
        mtime=info.st_mtime_ns,
        size=size,
        sha256=_sha256(fd, size, data) if fd is not None and kind is FileType.FILE else "",
        data=data,
        target=os.readlink(reach) if kind is FileType.SYMLINK else b"",
        device=(os.major(info.st_rdev), os.minor(info.st_rdev)) if kind in (FileType.CHAR, FileType.BLOCK) else (0, 0),
        xattrs=_xattrs(reach),
        flags=inode_flags.read(fd) if fd is not None else 0,
    )


def _linked(record: Record, names: tuple[bytes, ...]) -> Record:
    fields = {name: getattr(record, name) for name in Record.__struct_fields__}
    return Record(**{**fields, "links": names})


def _sha256(fd: int, size: int, data: tuple[tuple[int, int], ...]) -> str:
    """The hash of all bytes, holes as the zeros they read as; only data is read."""
    digest = hashlib.sha256()
    done = 0
    for start, end in (*data, (size, size)):
        for offset in range(done, start, _READ):
            digest.update(bytes(min(_READ, start - offset)))
        for offset in range(start, end, _READ):
            digest.update(os.pread(fd, min(_READ, end - offset), offset))
        done = end
    return digest.hexdigest()


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            return
        offset = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, offset


def _xattrs(reach: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = sorted(os.fsencode(name) for name in os.listxattr(reach, follow_symlinks=False))
    except OSError:
        return ()
    return tuple((name, os.getxattr(reach, name, follow_symlinks=False)) for name in names)
