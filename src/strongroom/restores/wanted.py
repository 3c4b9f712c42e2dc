"""An entry on its way to its place, and the names that it shares an inode with."""

from __future__ import annotations

import errno
import os

from strongroom.model import Entry
from strongroom.restores.staging import Staging
from strongroom.restores.target import Place, Target


class Wanted:
    """An entry that is no folder, on its way to its place; ``group`` holds its other names when it has any."""

    __slots__ = ("entry", "group", "name", "parent")

    def __init__(self, entry: Entry, parent: Place, name: bytes, group: Group | None) -> None:
        self.entry = entry
        self.parent = parent
        self.name = name
        self.group = group


class Group:
    """The names of one inode of a point.

    Its inode is either held in staging, where no tenant can exchange it, or stands in place unchanged and is known by
    device and inode. Names that come before it is there wait for it.
    """

    __slots__ = ("held", "identity", "lost", "name", "place", "staging", "waiting")

    def __init__(self) -> None:
        self.identity: tuple[int, int] | None = None
        self.lost = False
        self.waiting: list[Wanted] = []
        self.staging: Staging | None = None
        self.held = b""
        self.place: Place | None = None
        self.name = b""

    @property
    def settled(self) -> bool:
        """Whether it is known what the other names are linked to, or that they cannot be."""
        return self.lost or self.identity is not None

    def hold(self, target: Target, parent: Place, made: bytes, at: int, identity: tuple[int, int]) -> None:
        """Hold the new inode that stands at ``made`` in the open folder ``at`` in staging, for the other names."""
        self.staging = target.staging_for(parent)
        self.held = self.staging.fresh()
        os.link(made, self.held, src_dir_fd=at, dst_dir_fd=self.staging.fd, follow_symlinks=False)
        self.identity = identity

    def found(self, place: Place, name: bytes, identity: tuple[int, int]) -> None:
        """Remember an unchanged inode that stands in its place."""
        self.place, self.name, self.identity = place, name, identity

    def link(self, target: Target, at: int, name: bytes) -> None:
        """Give the inode one more name in the open folder ``at``; OSError when it cannot be, or is there no more."""
        if self.staging is not None:
            os.link(self.held, name, src_dir_fd=self.staging.fd, dst_dir_fd=at, follow_symlinks=False)
            return
        fd = self._open(target)
        try:
            os.link(b"/proc/self/fd/%d" % fd, name, dst_dir_fd=at, follow_symlinks=True)
        finally:
            os.close(fd)

    def _open(self, target: Target) -> int:
        if self.place is None:
            raise FileNotFoundError(errno.ENOENT, "nothing to link to")
        fd = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target.folders.fd(self.place))
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != self.identity:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "another file stands there now", self.name)
        return fd
