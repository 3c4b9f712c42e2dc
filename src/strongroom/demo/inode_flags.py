"""Inode flags (``chattr``), read and set on open descriptors: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

IMMUTABLE, APPEND_ONLY, NO_DUMP, NO_ATIME = 0x10, 0x20, 0x40, 0x80
# What a user sets; the others (extents, indexed folder …) belong to the file system.
SETTABLE = 0x02000000 | 0x10000 | 0x8000 | 0xFF
_GET, _SET = 0x80086601, 0x40086602
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read(fd: int) -> int:
    """The settable flags of an open file or folder; 0 where the file system has none."""
    try:
        return int(struct.unpack("I", fcntl.ioctl(fd, _GET, bytes(8))[:4])[0]) & SETTABLE
    except OSError:
        return 0


def write(fd: int, flags: int) -> None:
    """Set an open file's or folder's settable flags; raise OSError when the file system will not."""
    raw = struct.unpack("I", fcntl.ioctl(fd, _GET, bytes(8))[:4])[0]
    fcntl.ioctl(fd, _SET, struct.pack("Q", raw & ~SETTABLE | flags))


def mark(path: bytes, flags: int) -> None:
    """Set the flags of the file or folder at a path; raise OSError when the file system will not."""
    fd = os.open(path, _ANY)
    try:
        write(fd, flags)
    finally:
        os.close(fd)


def release(folder: bytes) -> None:
    """Take what hinders deletion (+i, +a) off a folder and everything in it, so that ``rm -rf`` works."""
    fd = os.open(folder, _FOLDER)
    try:
        _release(fd)
    finally:
        os.close(fd)


def _release(fd: int) -> None:
    flags = read(fd)
    if flags & (IMMUTABLE | APPEND_ONLY):
        write(fd, flags & ~(IMMUTABLE | APPEND_ONLY))
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        return
    with os.scandir(fd) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
        ]
    for name in names:
        below = os.open(name, _ANY, dir_fd=fd)
        try:
            _release(below)
        finally:
            os.close(below)
