"""Puts files, folders and odd things below an account's folder, fast, with owners, times and attributes from a seed."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

APACHE = 48
START, SPAN = 1_672_531_200, 120_000_000  # modification times: from 2023 on, below four years
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Writer:
    """Makes entries for one owner and counts them; `finish` gives folders their attributes, when all is in them.

    ``rng`` decides about times and attributes. A tenth of the files and folders gets an ACL, another tenth a user
    attribute.
    """

    def __init__(self, root: bytes, uid: int, rng: Random) -> None:
        self.entries = 0
        self._root = root
        self._uid = uid
        self._rng = rng
        self._access = acl(uid, folder=False)
        self._inherited = acl(uid, folder=True)
        self._folders: list[bytes] = []

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """A descriptor of the folder at `path` below the root, which is made with those above it where missing."""
        full = self._root + b"/" + path
        self._ensure(full)
        fd = os.open(full, FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)

    def _ensure(self, full: bytes) -> None:
        try:
            os.mkdir(full, 0o755)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._ensure(os.path.dirname(full))
            os.mkdir(full, 0o755)
        self.entries += 1
        os.chown(full, self._uid, self._uid)
        self._folders.append(full)

    def file(self, fd: int, name: bytes, data: bytes, mode: int = 0o644, moment: int | None = None) -> None:
        """A file in the folder `fd`; `moment` is its modification time in nanoseconds, or None for any."""
        out = os.open(name, NEW, mode, dir_fd=fd)
        try:
            done = os.write(out, data)
            if done != len(data):
                raise OSError(f"{name!r}: only {done} of {len(data)} bytes were written")
            self._dress(out, mode, moment)
        finally:
            os.close(out)
        self.entries += 1

    def sparse(self, fd: int, name: bytes, data: bytes, size: int) -> None:
        """A file of `size` bytes that is a hole but for `data` in its middle."""
        out = os.open(name, NEW, 0o600, dir_fd=fd)
        try:
            os.truncate(out, size)
            os.pwrite(out, data, size // 2 // 4096 * 4096)
            self._dress(out, 0o600, None)
        finally:
            os.close(out)
        self.entries += 1

    def symlink(self, fd: int, name: bytes, target: bytes) -> None:
        """A symbolic link, owned and timed like everything else."""
        os.symlink(target, name, dir_fd=fd)
        os.chown(name, self._uid, self._uid, dir_fd=fd, follow_symlinks=False)
        moment = self._moment()
        os.utime(name, ns=(moment, moment), dir_fd=fd, follow_symlinks=False)
        self.entries += 1

    def link(self, fd: int, name: bytes, other: bytes) -> None:
        """A second name in the same folder for the file `other`."""
        os.link(other, name, src_dir_fd=fd, dst_dir_fd=fd)
        self.entries += 1

    def node(self, fd: int, name: bytes, kind: int, device: int = 0) -> None:
        """A pipe or a device (`kind` is `stat.S_IFIFO` or `stat.S_IFCHR`; device 0 is an overlay's whiteout)."""
        os.mknod(name, kind | 0o600, device, dir_fd=fd)
        if kind == stat.S_IFIFO:
            os.chown(name, self._uid, self._uid, dir_fd=fd)
        moment = self._moment()
        os.utime(name, ns=(moment, moment), dir_fd=fd)
        self.entries += 1

    def finish(self, *, plain: bool = False) -> None:
        """Sets times and, unless `plain`, attributes of all folders made: what comes later would inherit their ACLs."""
        for path in self._folders:
            chance = 1.0 if plain else self._rng.random()
            if chance < 0.1:
                os.setxattr(path, "system.posix_acl_default", self._inherited)
                os.setxattr(path, "system.posix_acl_access", self._inherited)
            elif chance < 0.2:
                os.setxattr(path, "user.origin", b"%016x" % self._rng.getrandbits(64))
            moment = self._moment()
            os.utime(path, ns=(moment, moment))
        self._folders.clear()

    def _dress(self, fd: int, mode: int, moment: int | None) -> None:
        os.fchown(fd, self._uid, self._uid)
        if mode & 0o7000:
            os.fchmod(fd, mode)
        chance = self._rng.random()
        if chance < 0.1:
            os.setxattr(fd, "system.posix_acl_access", self._access)
        elif chance < 0.2:
            os.setxattr(fd, "user.origin", b"%016x" % self._rng.getrandbits(64))
        moment = self._moment() if moment is None else moment
        os.utime(fd, ns=(moment, moment))

    def _moment(self) -> int:
        return moment_of(self._rng)


def moment_of(rng: Random) -> int:
    """Some modification time, in nanoseconds since 1970."""
    return int((START + rng.random() * SPAN) * 1e9)


def acl(uid: int, *, folder: bool) -> bytes:
    """The value of ``system.posix_acl_access`` that lets the web server and `uid` write, as panels set it.

    Format: ``struct posix_acl_xattr_header`` and ``posix_acl_xattr_entry`` in Linux' ``uapi/linux/posix_acl_xattr.h``:
    version 2, then tag, permissions and id for each entry, in the order of tags and ids.
    """
    nobody, user_object, user, group_object, mask, other = 0xFFFFFFFF, 1, 2, 4, 16, 32
    execute = 1 if folder else 0
    entries = [
        (user_object, 6 | execute, nobody),
        *sorted([(user, 6 | execute, APACHE), (user, 6 | execute, uid)], key=lambda entry: entry[2]),
        (group_object, 4 | execute, nobody),
        (mask, 6 | execute, nobody),
        (other, 4 | execute, nobody),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
