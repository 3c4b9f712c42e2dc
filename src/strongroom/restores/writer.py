"""Makes the entries of a point: folders, files, links, pipes, devices, each complete before it is in its place."""

from __future__ import annotations

import errno
import os

from strongroom.clients.base import Readable
from strongroom.errors import RestoreError
from strongroom.model import Entry, FileType, Status
from strongroom.paths import owners
from strongroom.restores import flags
from strongroom.restores.attributes import Keeper, same_attributes, same_xattrs
from strongroom.restores.beneath import lstat, split
from strongroom.restores.companions import beside, may_be_database, stands_database, taken_away
from strongroom.restores.contents import Batch
from strongroom.restores.links import Links
from strongroom.restores.making import Maker
from strongroom.restores.policy import Policy
from strongroom.restores.porters import Outcome, Porters
from strongroom.restores.present import Verdict, doubtful, identical, judge, open_identity, settled_before
from strongroom.restores.recipients import Comparing, Writing
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import RestoreCounts, RestoreRequest
from strongroom.restores.staging import Staging
from strongroom.restores.target import Place, Target
from strongroom.restores.wanted import Wanted

# These stop a restore: the next file would meet the same.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class StoppedError(RestoreError):
    """The restore cannot go on at all."""


class Writer:
    """Takes the entries of a walk, folders before what they hold; `flush` fetches what content is still to come, `close` ends
    whoever is still at work.

    ``places`` are the folders in the order they came, ``frozen`` the files that get flags which forbid changes last.
    """

    def __init__(
        self,
        request: RestoreRequest,
        client: Readable,
        target: Target,
        policy: Policy,
        remarks: Remarks,
        porters: int | None,
    ) -> None:
        self._target = target
        self._folders = target.folders
        self._policy = policy
        self._remarks = remarks
        self._keeper = Keeper(remarks)
        self._maker = Maker(target, self._keeper)
        self._batch = Batch(client, request.point)
        self._settled = settled_before(request.point)
        self._porters = Porters(client, request.point, self._maker, remarks, self._carried, _FATAL, porters)
        self._links = Links(target, self._maker, remarks, self._failed)
        self._lost_folders: set[bytes] = set()
        self._sound = request.point.status is Status.COMPLETE
        # Folders of the server itself are everybody's: what stands is left as it is.
        self._mends_folders = request.point.account != "server"
        self._written = self._unchanged = self._deleted = self._bytes = 0
        self.places: list[Place] = []
        self.frozen: list[tuple[Wanted, tuple[int, int]]] = []

    @property
    def counts(self) -> RestoreCounts:
        """What was made and found so far."""
        return RestoreCounts(
            written=self._written + self._links.made,
            unchanged=self._unchanged + self._links.unchanged,
            deleted=self._deleted,
            bytes=self._bytes,
        )

    def take(self, entry: Entry, *, asked: bool = True) -> None:
        """Bring one entry back; ``asked`` is False for folders that are only on the way to what was asked for."""
        try:
            if entry.type is FileType.DIR:
                self._folder(entry, asked=asked)
            else:
                self._thing(entry)
        except OSError as error:
            self._failed(entry, error)
        except StoppedError:
            raise
        except RestoreError as error:
            self._failed(entry, str(error))

    def flush(self) -> None:
        """Fetch and write what content is still to come."""
        for wanted in self._porters.rest():
            self._batch.add(Writing(self, wanted))
        self._batch.flush()
        self._porters.wait()

    def close(self) -> None:
        """End what was begun beside; harmless where all is done."""
        self._porters.close()

    # What the recipients of content ask for.

    def begin(self, wanted: Wanted) -> tuple[int, bytes, Staging | None]:
        """Create an empty file for an entry, in staging or in a folder that is being built."""
        return self._maker.begin(wanted)

    def complete(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        """Finish a file whose content is there, close it and put it in its place."""
        try:
            with self._maker.finished(wanted, fd, made, staging) as status:
                self._arrived(wanted, made, staging, (status.st_dev, status.st_ino))
                if staging is not None:
                    with taken_away(self._target, self._remarks, wanted, fd) as gone:
                        self._target.put(staging, made, wanted.parent, wanted.name)
                    self._deleted += gone
        except RestoreError as error:
            self.give_up(wanted, str(error))
            return
        self._bytes += wanted.entry.stored
        self._made(wanted)

    def _carried(self, wanted: Wanted, outcome: Outcome) -> None:
        """A porter made a file in a folder that is being built, or could not."""
        if outcome.identity is None:
            self.give_up(wanted, outcome.failure)
            return
        try:
            self._arrived(wanted, wanted.name, None, outcome.identity)
        except OSError as error:
            self._maker.discard(wanted, wanted.name, None)
            self.give_up(wanted, error)
            return
        self._bytes += wanted.entry.stored
        self._made(wanted)

    def _arrived(self, wanted: Wanted, made: bytes, staging: Staging | None, identity: tuple[int, int]) -> None:
        """A file is whole: hold it for its other names, and remember the flags that it gets last."""
        self._links.hold(wanted, made, staging, identity)
        if wanted.entry.flags & flags.FORBIDDING:
            self.frozen.append((wanted, identity))

    def drop(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        """Close and remove a file that was begun."""
        os.close(fd)
        self._maker.discard(wanted, made, staging)

    def give_up(self, wanted: Wanted, why: str | OSError) -> None:
        """Say that an entry does not come back; its other names do not either."""
        self._failed(wanted.entry, why)
        self._links.lose(wanted)

    def open_standing(self, wanted: Wanted, identity: tuple[int, int]) -> int:
        """Open the file that stands in an entry's place, if it still is the same."""
        return open_identity(self._folders.fd(wanted.parent), wanted.name, identity)

    def compared(self, wanted: Wanted, identity: tuple[int, int] | None) -> None:
        """Count a file that has its content already, or fetch it again to write it."""
        if identity is not None:
            self._found(wanted, identity)
        elif admitted := self._policy.admit(wanted.entry, self._remarks):
            wanted.entry = admitted
            self._batch.add(Writing(self, wanted))

    # Entries.

    def _folder(self, entry: Entry, *, asked: bool) -> None:
        above, name = split(entry.path)
        parent = self._target.places.get(above)
        if above and parent is None:
            self._orphan(entry)
            return
        if parent is not None:
            parent.names.add(name)
        place = self._target.enter(entry)
        self.places.append(place)
        if entry.defect and asked:
            self._remarks.warn(entry.path, f"not all of it is in the point: {entry.defect}", missing=not self._sound)
        if place.built:
            place.entry = self._policy.admit(entry, self._remarks)
            self._written += asked
            return
        if asked and self._mends_folders:
            place.entry = entry
            fd = self._folders.fd(place)
            same = same_attributes(os.fstat(fd), entry, times=False) and same_xattrs(fd, entry)
            self._written += not same
            self._unchanged += same
        else:
            self._unchanged += asked

    def _thing(self, entry: Entry) -> None:
        above, name = split(entry.path)
        parent = self._target.places.get(above)
        if parent is None:
            self._orphan(entry)
            return
        parent.names.add(name)
        if entry.type is FileType.SOCKET:
            return
        group = self._links.known(entry)
        if group is not None:
            self._links.join(group, Wanted(entry, parent, name, group))
            return
        wanted = Wanted(entry, parent, name, self._links.begin(entry))
        if not self._has_content(wanted):
            return
        try:
            self._judge(wanted)
        except (OSError, RestoreError):
            self._links.lose(wanted)
            raise

    def _judge(self, wanted: Wanted) -> None:
        """Decide what an entry needs, and do it or queue it."""
        parent, name = wanted.parent, wanted.name
        status = None if parent.built else lstat(self._folders.fd(parent), name)
        # What was written to a database since may stand in its log alone.
        logged = may_be_database(wanted.entry) and beside(self._folders, parent, name)
        if status is not None and not logged and identical(status, wanted.entry):
            identity = (status.st_dev, status.st_ino)
            doubt = doubtful(status, wanted.entry, self._settled)
            if doubt and not stands_database(self._folders, parent, name, wanted.entry):
                self._batch.add(Comparing(self, wanted, identity))
            else:
                self._found(wanted, identity)
            return
        admitted = self._policy.admit(wanted.entry, self._remarks)
        if admitted is None:
            self._links.lose(wanted)
            return
        wanted.entry = admitted
        verdict = Verdict.NEW if status is None else judge(self._folders.fd(parent), name, status, admitted)
        if status is not None and verdict is Verdict.UNCHANGED:
            self._found(wanted, (status.st_dev, status.st_ino))
        elif status is not None and verdict is Verdict.COMPARE and not logged:
            self._batch.add(Comparing(self, wanted, (status.st_dev, status.st_ino)))
        elif admitted.type is not FileType.FILE:
            self._node(wanted)
        elif admitted.stored and parent.built and self._porters.hired:
            self._porters.add(wanted)
        elif admitted.stored:
            self._batch.add(Writing(self, wanted))
        else:
            Writing(self, wanted).finish_empty()

    def _node(self, wanted: Wanted) -> None:
        """Make a link, a pipe or a device."""
        node = self._maker.node(wanted)
        if node is None:
            self._remarks.warn_once("not run as root: device nodes cannot be made")
            self._links.lose(wanted)
            return
        made, staging, status = node
        self._links.hold(wanted, made, staging, (status.st_dev, status.st_ino))
        if staging is not None:
            self._maker.put(wanted, made, staging)
        self._made(wanted)

    def _has_content(self, wanted: Wanted) -> bool:
        entry = wanted.entry
        if entry.defect is None:
            return True
        missing = entry.type is FileType.FILE and entry.size > 0 and not entry.stored
        how = "its content is not in the point" if missing else "it is in the point, but suspect"
        self._remarks.warn(entry.path, f"{how}: {entry.defect}", missing=not self._sound)
        if missing:
            self._links.lose(wanted)
        return not missing

    def _made(self, wanted: Wanted) -> None:
        self._written += 1
        self._links.settle(wanted)

    def _found(self, wanted: Wanted, identity: tuple[int, int]) -> None:
        self._unchanged += 1
        self._links.found(wanted, identity)

    # Failures.

    def _failed(self, entry: Entry, why: str | OSError) -> None:
        if isinstance(why, OSError):
            if why.errno in _FATAL:
                message = f"stopped at '{owners(entry.path)}': {why.strerror}; make room and restore again"
                raise StoppedError(message) from why
            why = f"cannot be restored: {why.strerror or why}"
        if entry.type is FileType.DIR:
            self._lost_folders.add(entry.path)
        self._remarks.warn(entry.path, why)

    def _orphan(self, entry: Entry) -> None:
        """Leave out what a folder holds that did not come back; that folder was named already."""
        above = entry.path.rpartition(b"/")[0]
        if above not in self._lost_folders:
            self._remarks.warn(entry.path, "left out: its folder is not a folder of the point")
        if entry.type is FileType.DIR:
            self._lost_folders.add(entry.path)
