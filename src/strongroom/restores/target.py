"""The folders a restore writes to: those that stand are kept, those that miss are built beside and put in place whole.

A folder of the account may be in use, and in its owner's hands, while a restore is at work. So nothing is ever made in
it: what belongs there is made in staging (`staging.py`) and renamed to its place, and what it replaces changes
places with it, and so is kept in staging. A folder that is missing is built in staging with all it holds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from strongroom.errors import RestoreError
from strongroom.model import Entry, text
from strongroom.restores import flags
from strongroom.restores.beneath import FOLDER, Folder, Folders, lstat, mount_of, split, thaw
from strongroom.restores.exclusions import Exclusions
from strongroom.restores.ground import Ground, ground_of, trees_of
from strongroom.restores.mirror import Extra, survey
from strongroom.restores.remarks import Remarks
from strongroom.restores.renameat2 import exchange, rename_new
from strongroom.restores.request import RestoreRequest
from strongroom.restores.staging import Staging, clear_leftovers, staging_name
from strongroom.restores.syncfs import sync_file_system

_TRIES = 8


class Place(Folder):
    """A folder of this restore.

    ``entry`` is what it is to become in the end (None: it stays as it is), ``goes_to`` where a folder that is built on
    its own is put, ``names`` what the point has in it, ``frozen`` the flags that were taken off,
    ``logs`` the names in it that may be databases' logs (None: not looked at yet).
    """

    __slots__ = ("entry", "frozen", "goes_to", "logs", "mount", "names", "staging")

    def __init__(self, path: bytes, name: bytes, parent: Folder | None, *, built: bool = False) -> None:
        super().__init__(path, name, parent, built=built)
        self.entry: Entry | None = None
        self.goes_to: tuple[Place, bytes] | None = None
        self.mount = (0, 0)
        self.names: set[bytes] = set()
        self.staging: Staging | None = None
        self.frozen = 0
        self.logs: frozenset[bytes] | None = None


class Target:
    """The folders of one restore, open; and the staging folders beside them."""

    def __init__(self, request: RestoreRequest, exclusions: Exclusions, remarks: Remarks) -> None:
        """Nothing is opened or made before `open`."""
        self.folders = Folders()
        self.places: dict[bytes, Place] = {}
        self._request = request
        self._exclusions = exclusions
        self._remarks = remarks
        self._grounds: dict[bytes, Ground] = {}
        self._above: dict[bytes, Place] = {}
        self._stagings: dict[tuple[int, int], tuple[Staging, Place]] = {}
        self._made_destination = False

    def open(self) -> None:
        """Open or make the folders that the trees are in, and staging in each; raise RestoreError or BusyError."""
        for tree in trees_of(self._request):
            ground = self._grounds[tree] = ground_of(self._request, tree)
            if ground.above not in self._above:
                self._above[ground.above] = self._open_above(ground)

    def enter(self, entry: Entry) -> Place:
        """The folder of an entry: the one that stands in its place, else a new one in staging.

        Raises KeyError when the folder above is not one of this restore's, OSError when it cannot be made.
        """
        above, name = split(entry.path)
        parent = self.places[above] if above else self._parent_of_tree(entry.path)
        place = self._made(entry.path, name, parent) if parent.built else self._standing(entry.path, name, parent)
        self.places[entry.path] = place
        return place

    def spot(self, parent: Place) -> tuple[int, Staging | None]:
        """In which open folder something that belongs in ``parent`` is made, and the staging folder if that is one."""
        if parent.built:
            return self.folders.fd(parent), None
        staging = self.staging_for(parent)
        return staging.fd, staging

    def staging_for(self, parent: Place) -> Staging:
        """The staging folder on the mount of a folder."""
        if parent.staging is None:
            parent.staging = self._staging(parent)[0]
        return parent.staging

    def put(self, staging: Staging, made: bytes, parent: Place, name: bytes) -> bool:
        """Put what was made in staging where it belongs; say whether it took the place of something, which is kept.

        Raises RestoreError when what stands there must stay, or never stands still.
        """
        path = parent.path + b"/" + name if parent.path else name
        for _ in range(_TRIES):
            fd = self.folders.fd(parent)
            try:
                self._thawed(parent, name, partial(rename_new, staging.fd, made, fd, name))
                return False
            except FileExistsError:
                self._check_replaceable(parent, name)
            staging.will_keep(made, path)
            try:
                self._thawed(parent, name, partial(exchange, staging.fd, made, fd, name))
                return True
            except FileNotFoundError:
                continue
        raise RestoreError("what stands there changes all the time; stop what changes it and restore again")

    def take_away(self, parent: Place, extra: Extra, holder: Folder) -> bytes:
        """Move something extra from an open folder at or below ``parent`` into staging; returns its name there."""
        staging = self.staging_for(parent)
        name = staging.fresh()
        staging.will_keep(name, extra.path)
        fd = self.folders.fd(holder)
        self._thawed(parent, extra.name, partial(rename_new, fd, extra.name, staging.fd, name), at=fd)
        return name

    def bring_back(self, parent: Place, kept: bytes, name: bytes) -> None:
        """Put something that was taken away from a folder back. Raise OSError."""
        rename_new(self.staging_for(parent).fd, kept, self.folders.fd(parent), name)

    def settle(self, place: Place) -> None:
        """Put a folder that was built on its own, now complete, where it belongs."""
        if place.goes_to is None:
            return
        parent, name = place.goes_to
        self.put(self.staging_for(place), place.name, parent, name)
        place.parent, place.name, place.goes_to = parent, name, None

    @property
    def kept(self) -> list[bytes]:
        """The staging folders that hold something that was replaced."""
        return [staging.name for staging, _ in self._stagings.values() if staging.kept]

    def dissolve(self) -> None:
        """Remove the staging folders and what is in them, what was replaced once its successors are on disk."""
        for staging, _ in self._stagings.values():
            try:
                if staging.kept:
                    sync_file_system(staging.fd)
                staging.dissolve()
            except OSError as error:
                message = f"{text(staging.name)} beside the account cannot be removed: {error.strerror}; remove it"
                self._remarks.warn(b"", message, missing=False)

    def abandon(self) -> None:
        """After a failure: remove what was only built; what holds something that was replaced stays."""
        # What went wrong first is what the user has to hear of; leftovers are cleared by the next restore.
        with suppress(OSError):
            for staging, _ in self._stagings.values():
                if not staging.kept:
                    staging.dissolve()
            if self._made_destination and self._request.to is not None and not os.listdir(self._request.to):
                os.rmdir(self._request.to)

    def close(self) -> None:
        """Close every descriptor."""
        self.folders.close()
        for staging, _ in self._stagings.values():
            staging.close()

    def _open_above(self, ground: Ground) -> Place:
        if self._request.to is not None:
            if not os.path.isdir(ground.above):
                os.makedirs(os.path.dirname(ground.above), exist_ok=True)
                os.mkdir(ground.above, 0o700)
                self._made_destination = True
        elif not os.path.isdir(ground.above):
            # A panel's folder of an account lets others pass through and list nothing.
            os.makedirs(ground.above, 0o711)
        place = Place(b"", b"", None)
        self.folders.adopt(place, os.open(ground.above, FOLDER & ~os.O_NOFOLLOW))
        place.mount = mount_of(self.folders.fd(place))
        for leftover in clear_leftovers(place.fd, self._request.point.account):
            where = text(os.path.join(ground.above, leftover))
            message = f"{where} holds what an unfinished restore replaced; look at it, then remove it"
            self._remarks.warn(b"", message, missing=False)
        try:
            self._staging(place)
        except OSError as error:
            raise OSError(error.errno, error.strerror, ground.above) from error
        return place

    def _parent_of_tree(self, tree: bytes) -> Place:
        return self._above[self._grounds[tree].above]

    def _standing(self, path: bytes, name: bytes, parent: Place) -> Place:
        if not parent.path:
            name = self._grounds[path].name
        if not name:
            return self._top(path, parent)
        place = Place(path, name, parent)
        try:
            self.folders.open(place)
        except (FileNotFoundError, NotADirectoryError):
            return self._built_beside(path, name, parent)
        place.mount = mount_of(place.fd)
        place.staging = self.staging_for(parent) if place.mount == parent.mount else None
        return place

    def _top(self, path: bytes, above: Place) -> Place:
        place = Place(path, b"", None)
        self.folders.adopt(place, os.dup(self.folders.fd(above)))
        place.mount = above.mount
        return place

    def _built_beside(self, path: bytes, name: bytes, parent: Place) -> Place:
        staging, holder = self._staging(parent)
        place = self._made(path, staging.fresh(), holder)
        place.staging = staging
        place.goes_to = (parent, name)
        return place

    def _made(self, path: bytes, name: bytes, parent: Place) -> Place:
        os.mkdir(name, 0o700, dir_fd=self.folders.fd(parent))
        place = Place(path, name, parent, built=True)
        self.folders.open(place)
        place.staging = parent.staging
        return place

    def _staging(self, parent: Place) -> tuple[Staging, Place]:
        """The staging folder for a mount: beside the tree, or in the first folder of another mount that is met."""
        found = self._stagings.get(parent.mount)
        if found is None:
            name = staging_name(self._request.point.account, self._request.id)
            staging = Staging(self.folders.fd(parent), name)
            holder = Place(b"", name, None, built=True)
            self.folders.adopt(holder, os.dup(staging.fd))
            holder.staging = staging
            found = self._stagings[parent.mount] = (staging, holder)
        return found

    def _check_replaceable(self, parent: Place, name: bytes) -> None:
        status = lstat(self.folders.fd(parent), name)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return
        if survey(self.folders, parent, name, self._exclusions)[1]:
            raise RestoreError("a folder stands there that holds what no point has; move that away first")

    def _thawed(self, parent: Place, name: bytes, act: Callable[[], None], *, at: int | None = None) -> None:
        """Do something to a name, and if flags forbid it, take them off first; the folder's come back in the end."""
        try:
            act()
        except PermissionError:
            fd = self.folders.fd(parent)
            frozen = flags.get_flags(fd) & flags.FORBIDDING
            if frozen:
                flags.set_flags(fd, 0, frozen)
                parent.frozen |= frozen
            if not thaw(fd if at is None else at, name) and not frozen:
                raise
            act()
