"""Names of one inode: the first is made, the others are linked to it and to nothing else."""

from __future__ import annotations

from collections.abc import Callable

from strongroom.errors import RestoreError
from strongroom.model import Entry
from strongroom.restores.beneath import lstat
from strongroom.restores.making import Maker
from strongroom.restores.remarks import Remarks
from strongroom.restores.staging import Staging
from strongroom.restores.target import Target
from strongroom.restores.wanted import Group, Wanted


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
