"""Extended attributes and inode flags, as a row has them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterable

from strongroom.vault.cutting import Keep
from strongroom.vault.record import INLINE_XATTR

_GETFLAGS = 0x80086601  # FS_IOC_GETFLAGS of linux/fs.h
# Flags that a restore could set again (s u c S i a d A, m j t D T C x P of chattr); the rest say how a file is stored.
_FLAGS_KEPT = 0xFF | 0x400 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x80_0000 | 0x200_0000 | 0x2000_0000
_NO_XATTRS = (errno.ENOTSUP, errno.EPERM, errno.EACCES)

# Names and values; of large values the number among the references, which come with them.
Xattrs = tuple[tuple[tuple[bytes, bytes | int], ...], bytes]


class AttributeReader:
    """Reads attributes; large values go to what keeps chunks."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._device = 0
        self._flags_supported = True

    def enter(self, device: int) -> None:
        """Begin with a folder on this device: whether it keeps inode flags is found out anew."""
        if device != self._device:
            self._device, self._flags_supported = device, True

    def xattrs(self, where: int | str) -> Xattrs:
        """Names and values; of large values the number among the references that are returned with them."""
        follow = isinstance(where, int)
        try:
            names = os.listxattr(where) if follow else os.listxattr(where, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return (), b""
            raise
        if not names:
            return (), b""
        return self.kept(
            (os.fsencode(name), os.getxattr(where, name, follow_symlinks=follow)) for name in sorted(names)
        )

    def kept(self, xattrs: Iterable[tuple[bytes, bytes]]) -> Xattrs:
        """Attributes as a row has them, large values handed over."""
        found: list[tuple[bytes, bytes | int]] = []
        large: list[bytes] = []
        for name, value in xattrs:
            if len(value) > INLINE_XATTR:
                large.append(self._keep.data(value))
                found.append((name, len(large) - 1))
            else:
                found.append((name, value))
        return tuple(found), b"".join(large)

    def flags(self, fd: int) -> int:
        """Those of an open file; 0 where its file system has none."""
        flags = inode_flags(fd) if self._flags_supported else None
        self._flags_supported = flags is not None
        return flags or 0


def inode_flags(fd: int) -> int | None:
    """The flags of an open file that a restore could set again; None where the file system has none."""
    try:
        answer = fcntl.ioctl(fd, _GETFLAGS, b"\0\0\0\0\0\0\0\0")
    except OSError:
        return None
    return int(struct.unpack_from("<I", answer)[0]) & _FLAGS_KEPT
