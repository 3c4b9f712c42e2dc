"""What a restore would do, without doing it: the dry run, and the counts that a confirmation shows."""

from __future__ import annotations

import os

from strongroom.clients.base import Readable
from strongroom.errors import RestoreError
from strongroom.model import Entry, FileType
from strongroom.restores.attributes import same_attributes, same_xattrs
from strongroom.restores.beneath import FOLDER, Folders, lstat, split
from strongroom.restores.companions import beside, may_be_database, standing
from strongroom.restores.contents import Batch
from strongroom.restores.exclusions import Exclusions
from strongroom.restores.ground import ground_of, parents_of
from strongroom.restores.mirror import extras
from strongroom.restores.policy import Policy, policy_of
from strongroom.restores.present import Verdict, identical, judge, open_identity
from strongroom.restores.recipients import Comparing, Wanted
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import RestoreForecast, RestoreRequest
from strongroom.restores.target import Place

_MOST = 100


def forecast(request: RestoreRequest, client: Readable) -> RestoreForecast:
    """Say what a restore would write, replace, take away and leave; files that need it are compared byte by byte.

    Reads only. Raises RestoreError when it is not known where a tree belongs.
    """
    seer = _Seer(request, client)
    try:
        return seer.run()
    finally:
        seer.close()


class _Seen:
    """An entry and its other names that share the inode which stands there."""

    def __init__(self, wanted: Wanted, identity: tuple[int, int]) -> None:
        self.wanted = wanted
        self.identity = identity
        self.verdict: Verdict | None = None
        self.others: list[Entry] = []


class _Seer:
    def __init__(self, request: RestoreRequest, client: Readable) -> None:
        self._request = request
        self._client = client
        self._folders = Folders()
        self._places: dict[bytes, Place] = {}
        self._policy: Policy = policy_of(request, client)
        self._unheard = Remarks()
        self._batch = Batch(client, request.point)
        self._groups: dict[bytes, _Seen | None] = {}
        self._pending: dict[bytes, _Seen] = {}
        self._counts: dict[str, int] = {"written": 0, "replaced": 0, "deleted": 0, "unchanged": 0, "bytes": 0}
        self._lists: dict[str, list[bytes]] = {"written": [], "replaced": [], "deleted": []}

    def run(self) -> RestoreForecast:
        """Look at every entry, then at what is extra."""
        for entry in parents_of(self._request, self._client):
            self._take(entry, asked=False)
        for entry in self._client.walk(self._request.point, self._request.paths):
            self._take(entry, asked=True)
        self._batch.flush()
        if self._request.mirrors:
            self._extras()
        return RestoreForecast(
            **self._counts,
            writes=tuple(self._lists["written"]),
            replaces=tuple(self._lists["replaced"]),
            deletes=tuple(self._lists["deleted"]),
        )

    def close(self) -> None:
        """Close every descriptor."""
        self._folders.close()

    # What the recipient of content asks for.

    def open_standing(self, wanted: Wanted, identity: tuple[int, int]) -> int:
        """Open the file that stands in an entry's place, if it still is the same."""
        return open_identity(self._folders.fd(wanted.parent), wanted.name, identity)

    def compared(self, wanted: Wanted, identity: tuple[int, int] | None) -> None:
        """Count a file by what the comparison of its content says."""
        self._decide(self._pending.pop(wanted.entry.path), Verdict.UNCHANGED if identity else Verdict.REPLACE)

    def give_up(self, wanted: Wanted, why: str | OSError) -> None:
        """Count a file whose content does not come as one that stays."""
        self._decide(self._pending.pop(wanted.entry.path), Verdict.UNCHANGED)

    def _take(self, entry: Entry, *, asked: bool) -> None:
        try:
            above, name = split(entry.path)
            parent = self._places.get(above) if above else self._above(entry.path)
            if parent is None:
                return
            parent.names.add(name)
            if entry.type is FileType.DIR:
                self._folder(entry, parent, name, asked=asked)
            elif entry.type is not FileType.SOCKET and not (entry.defect and entry.size and not entry.stored):
                self._thing(entry, parent, name)
        except (OSError, RestoreError):
            self._count("replaced", entry)

    def _above(self, tree: bytes) -> Place:
        """The folder that a tree is in, or one that does not stand when that is missing."""
        place = Place(b"", b"", None, built=True)
        try:
            fd = os.open(ground_of(self._request, tree).above, FOLDER & ~os.O_NOFOLLOW)
        except FileNotFoundError:
            return place
        place.built = False
        self._folders.adopt(place, fd)
        return place

    def _folder(self, entry: Entry, parent: Place, name: bytes, *, asked: bool) -> None:
        if not parent.path:
            name = ground_of(self._request, entry.path).name
        place = Place(entry.path, name, parent, built=True)
        place.entry = entry if asked else None
        stands = not parent.built and lstat(self._folders.fd(parent), name or b".") is not None
        if stands:
            try:
                if name:
                    self._folders.open(place)
                else:
                    place.parent = None
                    self._folders.adopt(place, os.dup(self._folders.fd(parent)))
                place.built = False
            except NotADirectoryError:
                self._count("replaced", entry)
        self._places[entry.path] = place
        if asked and not stands:
            self._count("written", entry)
        elif asked and not place.built:
            fd = self._folders.fd(place)
            same = same_attributes(os.fstat(fd), entry, times=False) and same_xattrs(fd, entry)
            self._count("unchanged" if same or self._request.point.account == "server" else "replaced", entry)

    def _thing(self, entry: Entry, parent: Place, name: bytes) -> None:
        status = None if parent.built else lstat(self._folders.fd(parent), name)
        first = self._groups.get(entry.link_group)
        if status is None or (entry.link_group in self._groups and not _shares(first, status)):
            if entry.link_group:
                self._groups.setdefault(entry.link_group, None)
            self._count("written" if status is None else "replaced", entry)
            return
        if first is not None:
            self._follow(first, entry)
            return
        identity = (status.st_dev, status.st_ino)
        seen = _Seen(Wanted(entry, parent, name, None), identity)
        if entry.link_group:
            self._groups[entry.link_group] = seen
        self._judge(seen, status)

    def _judge(self, seen: _Seen, status: os.stat_result) -> None:
        wanted = seen.wanted
        if may_be_database(wanted.entry) and beside(self._folders, wanted.parent, wanted.name):
            if not self._request.mirrors:
                self._deleted(wanted)
            self._decide(seen, Verdict.REPLACE)
            return
        if identical(status, wanted.entry):
            self._decide(seen, Verdict.UNCHANGED)
            return
        admitted = self._policy.admit(wanted.entry, self._unheard)
        if admitted is None:
            return
        wanted.entry = admitted
        verdict = judge(self._folders.fd(wanted.parent), wanted.name, status, admitted)
        if verdict is Verdict.COMPARE:
            self._pending[admitted.path] = seen
            self._batch.add(Comparing(self, wanted, (status.st_dev, status.st_ino)))
        else:
            self._decide(seen, verdict)

    def _deleted(self, wanted: Wanted) -> None:
        """Count what belongs to a database that is replaced; a mirror finds it among what is extra."""
        for name in standing(self._folders, wanted.parent, wanted.name):
            self._counts["deleted"] += 1
            self._note("deleted", wanted.parent.path + b"/" + name)

    def _decide(self, seen: _Seen, verdict: Verdict) -> None:
        seen.verdict = verdict
        self._count("unchanged" if verdict is Verdict.UNCHANGED else "replaced", seen.wanted.entry)
        others, seen.others = seen.others, []
        for other in others:
            self._follow(seen, other)

    def _follow(self, first: _Seen, entry: Entry) -> None:
        if first.verdict is None:
            first.others.append(entry)
        else:
            self._count("unchanged" if first.verdict is Verdict.UNCHANGED else "replaced", entry)

    def _extras(self) -> None:
        exclusions = Exclusions(self._request.account, self._request.excludes, self._request.point)
        for place in self._places.values():
            entry = place.entry
            if place.built or entry is None or entry.defect or exclusions.holds(place.path, folder=True):
                continue
            for _, extra in extras(self._folders, place, place.names, exclusions):
                self._counts["deleted"] += extra.entries
                self._note("deleted", extra.path)

    def _count(self, what: str, entry: Entry) -> None:
        self._counts[what] += 1
        if what != "unchanged":
            self._counts["bytes"] += entry.stored
            self._note(what, entry.path)

    def _note(self, what: str, path: bytes) -> None:
        if len(self._lists[what]) < _MOST:
            self._lists[what].append(path)


def _shares(first: _Seen | None, status: os.stat_result) -> bool:
    """Whether what stands there is the inode that stands at a group's first name."""
    return first is not None and first.identity == (status.st_dev, status.st_ino)
