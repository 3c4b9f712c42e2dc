"""Names of one inode: the first is made, the others are linked to it and to nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from strongroom.errors import RestoreError
from strongroom.model import Entry
from strongroom.restores.beneath import lstat
from strongroom.restores.making import Maker
from strongroom.restores.recipients import Wanted
from strongroom.restores.remarks import Remarks
from strongroom.restores.staging import Staging
from strongroom.restores.target import Place, Target


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


class Links:
    """The groups of one restore, and how many names were made or found as they should be.

    ``failed`` is told of a name that cannot be made.
    """

    def __init__(
        self, target: Target, maker: Maker, remarks: Remarks, failed: Callable[[Entry, str | OSError], None]
    ) -> None:
        self._target, self._maker, self._remarks, self._failed = target, maker, remarks, failed
        self._groups: dict[bytes, Group] = {}
        self.made = self.unchanged = 0

    def known(self, entry: Entry) -> Group | None:
        """The group of an entry some other name of which came before."""
        return self._groups.get(entry.link_group) if entry.link_group else None

    def begin(self, entry: Entry) -> Group | None:
        """The new group of an entry that has other names; None where it has none."""
        if not entry.link_group:
            return None
        group = self._groups[entry.link_group] = Group()
        return group

    def hold(self, wanted: Wanted, made: bytes, staging: Staging | None, identity: tuple[int, int]) -> None:
        """Hold what was made for its other names, where it has any."""
        if wanted.group is not None:
            at = self._target.folders.fd(wanted.parent) if staging is None else staging.fd
            wanted.group.hold(self._target, wanted.parent, made, at, identity)

    def found(self, wanted: Wanted, identity: tuple[int, int]) -> None:
        """What stands in an entry's place is what it should be: its other names are linked to that."""
        if wanted.group is not None:
            wanted.group.found(wanted.parent, wanted.name, identity)
            self.settle(wanted)

    def lose(self, wanted: Wanted) -> None:
        """An entry does not come back, nor do its other names."""
        if wanted.group is not None and not wanted.group.settled:
            wanted.group.lost = True
            self.settle(wanted)

    def settle(self, wanted: Wanted) -> None:
        """Give the names that waited for this one what they waited for."""
        if wanted.group is None:
            return
        waiting, wanted.group.waiting = wanted.group.waiting, []
        for other in waiting:
            try:
                self.join(wanted.group, other)
            except OSError as error:
                self._failed(other.entry, error)
            except RestoreError as error:
                self._failed(other.entry, str(error))

    def join(self, group: Group, wanted: Wanted) -> None:
        """One more name of an inode: made now, or once that inode is there. Raise OSError, RestoreError."""
        if not group.settled:
            group.waiting.append(wanted)
        elif group.lost:
            self._remarks.warn(wanted.entry.path, "it is another name of a file that did not come back", missing=False)
        else:
            self._link(group, wanted)

    def _link(self, group: Group, wanted: Wanted) -> None:
        parent, name = wanted.parent, wanted.name
        if not parent.built:
            status = lstat(self._target.folders.fd(parent), name)
            if status is not None and (status.st_dev, status.st_ino) == group.identity:
                self.unchanged += 1
                return
        at, staging = self._target.spot(parent)
        made = name if staging is None else staging.fresh()
        group.link(self._target, at, made)
        if staging is not None:
            self._maker.put(wanted, made, staging)
        self.made += 1
