"""An exact copy of a folder, by descriptors, so that the story can be told to its end without the program."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

from strongroom.demo import inode_flags

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
FILE = os.O_RDONLY | os.O_NOFOLLOW


def copy(source: str, target: str, left_out: Collection[str] = ()) -> None:
    """Copy a folder to a new one with everything but sockets and what is left out (paths relative to it)."""
    os.makedirs(target)
    first, second = os.open(source, FOLDER), os.open(target, FOLDER)
    try:
        _Copy(second, {os.fsencode(path) for path in left_out}).folder(first, second, b"")
        _attributes(os.fstat(first), f"/proc/self/fd/{first}/.".encode(), f"/proc/self/fd/{second}/.".encode())
    finally:
        os.close(first)
        os.close(second)


class _Copy:
    def __init__(self, top: int, left_out: set[bytes]) -> None:
        self.top, self.left_out = top, left_out
        self.names: dict[tuple[int, int], bytes] = {}

    def folder(self, first: int, second: int, prefix: bytes) -> None:
        for name in sorted(os.fsencode(name) for name in os.listdir(first)):
            info = os.stat(name, dir_fd=first, follow_symlinks=False)
            path = prefix + name
            if stat.S_ISSOCK(info.st_mode) or path in self.left_out:
                continue
            known = self.names.setdefault((info.st_dev, info.st_ino), path)
            if known != path:
                os.link(known, name, src_dir_fd=self.top, dst_dir_fd=second, follow_symlinks=False)
                continue
            ours, theirs = b"/proc/self/fd/%d/%b" % (first, name), b"/proc/self/fd/%d/%b" % (second, name)
            self._make(info, ours, theirs, path)
            _attributes(info, ours, theirs)

    def _make(self, info: os.stat_result, ours: bytes, theirs: bytes, path: bytes) -> None:
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(theirs)
            first, second = os.open(ours, FOLDER), os.open(theirs, FOLDER)
            self.folder(first, second, path + b"/")
            os.close(first)
            os.close(second)
        elif stat.S_ISREG(info.st_mode):
            _content(ours, theirs, info.st_size)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(ours), theirs)
        else:
            os.mknod(theirs, info.st_mode, info.st_rdev)


def _content(ours: bytes, theirs: bytes, size: int) -> None:
    first, second = os.open(ours, FILE), os.open(theirs, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(second, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(first, offset, os.SEEK_DATA)
        except OSError:
            break
        offset = os.lseek(first, start, os.SEEK_HOLE)
        os.pwrite(second, os.pread(first, offset - start, start), start)
    os.close(first)
    os.close(second)


def _attributes(info: os.stat_result, ours: bytes, theirs: bytes) -> None:
    os.chown(theirs, info.st_uid, info.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(theirs, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(ours, follow_symlinks=False):
        os.setxattr(theirs, name, os.getxattr(ours, name, follow_symlinks=False), follow_symlinks=False)
    os.utime(theirs, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
    if stat.S_ISREG(info.st_mode):
        fd = os.open(ours, FILE)
        flags = inode_flags.read(fd)
        os.close(fd)
        if flags:
            inode_flags.mark(theirs, flags)
