"""Owner, mode, extended attributes, flags and times: put on by descriptor, compared with what the file system kept.

The order matters: a change of owner clears set-id bits and capabilities, an ACL rewrites the mode, and a mode without
the right to write keeps its own owner from adding attributes. So: owner, attributes, mode, times. Flags that forbid
changes come last of all, by the caller.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from strongroom.model import Entry, FileType, Time
from strongroom.restores import flags
from strongroom.restores.remarks import Remarks

ORIGIN = b"trusted.overlay.origin"
_BILLION = 1_000_000_000
_NEEDS_ROOT = "not run as root: what belongs to other users comes back as this user's own"
_NEEDS_ROOT_XATTR = "not run as root: trusted.* and security.* attributes cannot be kept"
# What the kernel or a security module gives to every file by itself, and takes from nobody.
_AUTOMATIC = (b"security.selinux", b"security.ima", b"security.evm")


def nanoseconds(time: Time) -> int:
    """A time as one integer of nanoseconds since 1970, of any size."""
    return time.seconds * _BILLION + time.nanoseconds


def without_origin(entry: Entry) -> Entry:
    """The entry without the name of the lower inode it was copied up from: that is true of one inode, not of a copy."""
    if not any(name == ORIGIN for name, _ in entry.xattrs):
        return entry
    return msgspec.structs.replace(entry, xattrs=tuple(each for each in entry.xattrs if each[0] != ORIGIN))


def read_xattrs(at: int | bytes) -> dict[bytes, bytes]:
    """The extended attributes of an open file, or of what stands at a /proc/self/fd path (links not followed)."""
    follow = isinstance(at, int)
    try:
        names = [os.fsencode(name) for name in os.listxattr(at, follow_symlinks=follow)]
        return {name: os.getxattr(at, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA):
            return {}
        raise


def xattr_path(folder: int, name: bytes) -> bytes:
    """How attributes of what cannot be opened (links, pipes, devices) are reached in an open folder."""
    return b"/proc/self/fd/%d/%s" % (folder, name)


def same_attributes(status: os.stat_result, entry: Entry, *, times: bool = True) -> bool:
    """Whether mode, owner and time are an entry's; for a link, whose mode means nothing, owner and time."""
    if status.st_uid != entry.uid or status.st_gid != entry.gid:
        return False
    if entry.type is not FileType.SYMLINK and stat.S_IMODE(status.st_mode) != entry.mode:
        return False
    return not times or status.st_mtime_ns == nanoseconds(entry.mtime)


def same_xattrs(at: int | bytes, entry: Entry) -> bool:
    """Whether the extended attributes are an entry's; overlayfs's origin and labels given to all are not compared."""
    present = read_xattrs(at)
    left_out = (ORIGIN, *_AUTOMATIC)
    wanted = dict(entry.xattrs)
    return {k: v for k, v in present.items() if k not in left_out} == {
        k: v for k, v in wanted.items() if k not in left_out
    }


def same_flags(fd: int, entry: Entry) -> bool:
    """Whether the flags that a user may set are an entry's."""
    return (flags.get_flags(fd) ^ entry.flags) & flags.SETTABLE == 0


class Keeper:
    """Gives things their attributes, and warns of each one that the file system did not keep."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._uid = os.geteuid()
        self._gid = os.getegid()

    def finish_file(self, fd: int, entry: Entry) -> os.stat_result:
        """Put the attributes of a new, complete file or folder on its descriptor, but for flags that forbid changes.

        Returns what it is now.
        """
        if entry.uid != self._uid or entry.gid != self._gid:
            self._own(fd, entry)
        if entry.xattrs:
            self._set_xattrs(fd, entry)
        os.fchmod(fd, entry.mode)
        if entry.flags & flags.SETTABLE & ~flags.FORBIDDING:
            self.set_flags(fd, entry, flags.SETTABLE & ~flags.FORBIDDING)
        time = nanoseconds(entry.mtime)
        os.utime(fd, ns=(time, time))
        status = os.fstat(fd)
        self._verify(status, entry)
        return status

    def finish_node(self, folder: int, name: bytes, entry: Entry) -> os.stat_result:
        """The same for a link, pipe or device that was just made in an open folder which nobody else can reach."""
        if entry.uid != self._uid or entry.gid != self._gid:
            try:
                os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
            except PermissionError:
                self._remarks.warn_once(_NEEDS_ROOT)
        if entry.xattrs:
            self._set_xattrs(xattr_path(folder, name), entry)
        if entry.type is not FileType.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=folder)
        time = nanoseconds(entry.mtime)
        os.utime(name, ns=(time, time), dir_fd=folder, follow_symlinks=False)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        self._verify(status, entry)
        return status

    def mend_folder(self, fd: int, entry: Entry) -> None:
        """Make the attributes of an existing folder an entry's: what it has besides is taken away."""
        status = os.fstat(fd)
        if status.st_uid != entry.uid or status.st_gid != entry.gid:
            self._own(fd, entry)
        if status.st_ino != entry.inode:
            entry = without_origin(entry)
        present = read_xattrs(fd)
        wanted = dict(entry.xattrs)
        for name in present.keys() - wanted.keys() - {ORIGIN, *_AUTOMATIC}:
            self._drop_xattr(fd, name, entry)
        if present != wanted:
            self._set_xattrs(fd, entry)
        os.fchmod(fd, entry.mode)
        self.set_flags(fd, entry, flags.SETTABLE & ~flags.FORBIDDING)
        time = nanoseconds(entry.mtime)
        os.utime(fd, ns=(time, time))
        self._verify(os.fstat(fd), entry)

    def set_flags(self, fd: int, entry: Entry, among: int) -> None:
        """Set the flags among a mask as the entry has them, and warn of those that are not kept."""
        try:
            lost = flags.set_flags(fd, entry.flags, among)
        except PermissionError:
            self._remarks.warn_once("not run as root: inode flags cannot be kept")
            return
        if lost:
            self._remarks.warn(entry.path, f"the file system does not keep its flags {lost:#x}")

    def _own(self, fd: int, entry: Entry) -> None:
        try:
            os.fchown(fd, entry.uid, entry.gid)
        except PermissionError:
            self._remarks.warn_once(_NEEDS_ROOT)

    def _set_xattrs(self, at: int | bytes, entry: Entry) -> None:
        follow = isinstance(at, int)
        for name, value in entry.xattrs:
            try:
                os.setxattr(at, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno == errno.EPERM and self._uid != 0:
                    self._remarks.warn_once(_NEEDS_ROOT_XATTR)
                    continue
                shown = name.decode("utf-8", "backslashreplace")
                self._remarks.warn(
                    entry.path, f"its attribute {shown} ({len(value)} bytes) is not kept: {error.strerror}"
                )

    def _drop_xattr(self, fd: int, name: bytes, entry: Entry) -> None:
        try:
            os.removexattr(fd, name)
        except OSError as error:
            shown = name.decode("utf-8", "backslashreplace")
            self._remarks.warn(entry.path, f"its attribute {shown} cannot be taken away: {error.strerror}")

    def _verify(self, status: os.stat_result, entry: Entry) -> None:
        if same_attributes(status, entry):
            return
        if status.st_mtime_ns != nanoseconds(entry.mtime):
            kept = divmod(status.st_mtime_ns, _BILLION)
            wanted = (entry.mtime.seconds, entry.mtime.nanoseconds)
            self._remarks.warn(entry.path, f"its time (mtime) {_seconds(wanted)} is kept as {_seconds(kept)}")
        if entry.type is not FileType.SYMLINK and stat.S_IMODE(status.st_mode) != entry.mode:
            self._remarks.warn(entry.path, f"its mode {entry.mode:#o} is kept as {stat.S_IMODE(status.st_mode):#o}")
        if self._uid == 0 and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
            self._remarks.warn(
                entry.path, f"its owner {entry.uid}:{entry.gid} is kept as {status.st_uid}:{status.st_gid}"
            )


def _seconds(time: tuple[int, int]) -> str:
    return f"{time[0]} s + {time[1]} ns"
