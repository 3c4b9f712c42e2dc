"""What stands where an entry belongs, and whether it is that entry already."""

from __future__ import annotations

import errno
import math
import os
import stat
from datetime import datetime
from enum import Enum

from strongroom.model import Entry, FileType, Point
from strongroom.restores.attributes import (
    nanoseconds,
    same_attributes,
    same_flags,
    same_xattrs,
    xattr_path,
)
from strongroom.restores.beneath import LOOK

_BLOCK = 1 << 20
# Changed later than this before a backup began: a store through a mapped page may come without a new ctime (I11).
_FRESH = 60 * 1_000_000_000


class Verdict(Enum):
    """What has to be done for an entry: nothing, compare the content, put it in another's place, or put it there."""

    UNCHANGED = 0
    COMPARE = 1
    REPLACE = 2
    NEW = 3


def file_type(mode: int) -> FileType:
    """The kind of thing that a st_mode tells of."""
    return FileType.of(mode)


def identical(status: os.stat_result, entry: Entry) -> bool:
    """Whether it is the very inode of the backup, untouched since: nobody but the kernel sets a ctime."""
    return (
        status.st_ino == entry.inode
        and status.st_ctime_ns == nanoseconds(entry.ctime)
        and status.st_mtime_ns == nanoseconds(entry.mtime)
        and (status.st_size == entry.size or entry.type is not FileType.FILE)
        and status.st_nlink == entry.links
        and file_type(status.st_mode) is entry.type
    )


def settled_before(point: Point) -> float:
    """A moment (nanoseconds since 1970): of a file that is `identical`, an older ctime proves that its content is too.

    Any ctime does where a point says nothing of when it began: then its entries are of what was looked at just now.
    """
    return datetime.fromisoformat(point.started).timestamp() * 1_000_000_000 - _FRESH if point.started else math.inf


def doubtful(status: os.stat_result, entry: Entry, settled: float) -> bool:
    """Whether a file that is `identical` may have another content all the same: it was written to around the backup."""
    return entry.stored > 0 and status.st_ctime_ns >= settled


def judge(folder: int, name: bytes, status: os.stat_result | None, entry: Entry) -> Verdict:
    """Compare what stands at a name of an open folder with an entry that is no folder, as far as attributes tell."""
    if status is None:
        return Verdict.NEW
    if file_type(status.st_mode) is not entry.type or status.st_nlink != entry.links:
        return Verdict.REPLACE
    if not same_attributes(status, entry):
        return Verdict.REPLACE
    if entry.type is FileType.FILE:
        return _judge_file(folder, name, status, entry)
    if entry.type is FileType.SYMLINK:
        same = os.readlink(name, dir_fd=folder) == entry.target
    else:
        same = entry.type is FileType.FIFO or (os.major(status.st_rdev), os.minor(status.st_rdev)) == entry.rdev
    return Verdict.UNCHANGED if same and same_xattrs(xattr_path(folder, name), entry) else Verdict.REPLACE


def _judge_file(folder: int, name: bytes, status: os.stat_result, entry: Entry) -> Verdict:
    if status.st_size != entry.size:
        return Verdict.REPLACE
    fd = os.open(name, LOOK, dir_fd=folder)
    try:
        if os.fstat(fd).st_ino != status.st_ino or not same_flags(fd, entry) or not same_xattrs(fd, entry):
            return Verdict.REPLACE
        if entry.stored:
            return Verdict.COMPARE
        return Verdict.UNCHANGED if empty_between(fd, 0, entry.size) else Verdict.REPLACE
    finally:
        os.close(fd)


def open_identity(folder: int, name: bytes, identity: tuple[int, int]) -> int:
    """Open a regular file for reading, if it still is the one with this device and inode; else FileNotFoundError."""
    fd = os.open(name, LOOK, dir_fd=folder)
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != identity or not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "another file stands there now", name)
    return fd


def empty_between(fd: int, start: int, end: int) -> bool:
    """Whether a file reads as zeros from ``start`` to ``end``; holes are not read."""
    while start < end:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise
        if start >= end:
            return True
        data = os.pread(fd, min(_BLOCK, end - start), start)
        if not data or data.count(0) != len(data):
            return False
        start += len(data)
    return True


def same_everywhere_else(fd: int, size: int, pieces: list[tuple[int, int]]) -> bool:
    """Whether a file is empty outside the pieces (offset, end) that were compared."""
    position = 0
    for start, end in sorted(pieces):
        if not empty_between(fd, position, start):
            return False
        position = max(position, end)
    return empty_between(fd, position, size)
