"""Inode flags (``chattr``), as the FS_IOC_GETFLAGS and FS_IOC_SETFLAGS requests of ioctl_iflags(2) hold them."""

from __future__ import annotations

import errno
import fcntl
import struct

_GET = 0x80086601
_SET = 0x40086602
_WORD = struct.Struct("=I")

IMMUTABLE = 0x10
APPEND = 0x20
# These two forbid links, renames and writes, so they are taken off first and put on last.
FORBIDDING = IMMUTABLE | APPEND
# Compression and no-copy-on-write concern how content is laid out: a file gets them while it is empty.
LAYOUT = 0x4 | 0x400 | 0x800000
# s u c S i a d A, j t D T, m, C, x, P: what a user may set. The others (extents, indexed folder, inline data) are the
# file system's own record of how it stores the file, and mean nothing in another place.
SETTABLE = 0xFF | 0x400 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x2000000 | 0x20000000

_UNSUPPORTED = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def get_flags(fd: int) -> int:
    """All flags of an open file or folder; 0 where the file system has none."""
    try:
        return int(_WORD.unpack(fcntl.ioctl(fd, _GET, bytes(_WORD.size + 4))[: _WORD.size])[0])
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return 0
        raise


def set_flags(fd: int, wanted: int, among: int) -> int:
    """Give the flags of the mask ``among`` the values in ``wanted``, and return those the file system did not take.

    Raises OSError when the caller may not (EPERM).
    """
    present = get_flags(fd)
    target = (present & ~among) | (wanted & among)
    if target == present:
        return 0
    if not _put(fd, target):
        for bit in (1 << number for number in range(32)):
            if (present ^ target) & bit:
                _put(fd, get_flags(fd) ^ bit)
    return (get_flags(fd) ^ target) & among


def _put(fd: int, flags: int) -> bool:
    try:
        fcntl.ioctl(fd, _SET, _WORD.pack(flags) + bytes(4))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True
