"""Inode flags, as ``lsattr`` knows them, through FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (linux/fs.h)."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Iterator

GET, SET = 0x80086601, 0x40086602
LETTERS = {
    "u": 0x02,
    "c": 0x04,
    "S": 0x08,
    "i": 0x10,
    "a": 0x20,
    "d": 0x40,
    "A": 0x80,
    "t": 0x8000,
    "D": 0x10000,
    "x": 0x02000000,
}
LOCKS = LETTERS["i"] | LETTERS["a"]
# What a file system sets by itself (extents, indexed folder, inline data, …) is no attribute of the file.
SETTABLE = sum(LETTERS.values())

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def get(fd: int) -> int | None:
    """The flags of an open file or folder that a user can set, or None where the file system has none."""
    try:
        raw = fcntl.ioctl(fd, GET, bytes(8))
    except OSError:
        return None
    return int(struct.unpack("i", raw[:4])[0]) & SETTABLE


def put(fd: int, flags: int) -> None:
    """Set the flags a user can set to exactly these; OSError when the file system will not."""
    raw = struct.unpack("i", fcntl.ioctl(fd, GET, bytes(8))[:4])[0]
    fcntl.ioctl(fd, SET, struct.pack("q", raw & ~SETTABLE | flags))


def add(path: bytes, flags: int) -> bool:
    """Add flags to a file or folder; False when they did not stay."""
    fd = os.open(path, FILE)
    try:
        put(fd, (get(fd) or 0) | flags)
        return (get(fd) or 0) & flags == flags
    except OSError:
        return False
    finally:
        os.close(fd)


def unlock(folder: int) -> None:
    """Take +i and +a off everything below an open folder, and off itself."""
    _loosen(folder)
    for name, info in entries(folder):
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            continue
        fd = os.open(name, FILE, dir_fd=folder)
        try:
            if stat.S_ISDIR(info.st_mode):
                unlock(fd)
            else:
                _loosen(fd)
        finally:
            os.close(fd)


def entries(folder: int) -> Iterator[tuple[bytes, os.stat_result]]:
    """Name and own stat of everything in an open folder, sorted."""
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        yield name, os.stat(name, dir_fd=folder, follow_symlinks=False)


def _loosen(fd: int) -> None:
    flags = get(fd)
    if flags is not None and flags & LOCKS:
        put(fd, flags & ~LOCKS)
