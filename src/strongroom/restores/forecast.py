"""What a restore would do, without doing it: the dry run, and the counts that a confirmation shows."""

from __future__ import annotations

import os

from strongroom.clients.base import Readable
from strongroom.errors import RestoreError
from strongroom.model import Entry, FileType
from strongroom.restores.attributes import same_attributes, same_xattrs
from strongroom.restores.beneath import FOLDER, Folders, lstat, split
from strongroom.restores.companions import beside, may_be_database, standing, stands_database
from strongroom.restores.contents import Batch
from strongroom.restores.exclusions import Exclusions
from strongroom.restores.ground import ground_of, parents_of
from strongroom.restores.mirror import extras
from strongroom.restores.policy import Policy, policy_of
from strongroom.restores.present import Verdict, doubtful, identical, judge, open_identity, settled_before
from strongroom.restores.recipients import Comparing
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import RestoreForecast, RestoreRequest
from strongroom.restores.target import Place
from strongroom.restores.wanted import Wanted

_MOST = 100


def forecast(request: RestoreRequest, client: Readable, remarks: Remarks) -> RestoreForecast:
    """Say what a restore would write, replace, take away and leave; files that need it are compared byte by byte.

    Reads only; ``remarks`` hears what would be left out. Raises RestoreError when it is not known where a tree belongs.
    """
    seer = _Seer(request, client, remarks)
    try:
        return seer.run()
    finally:
        seer.close()


class _Seen:
    """An entry, what stands in its place, and its other names that share that inode."""

    def __init__(self, wanted: Wanted, status: os.stat_result) -> None:
        self.wanted = wanted
        self.status = status
        self.verdict: Verdict | None = None
        self.others: list[Entry] = []


class _Seer:
    def __init__(self, request: RestoreRequest, client: Readable, remarks: Remarks) -> None:
        self._request = request
        self._client = client
        self._folders = Folders()
        self._places: dict[bytes, Place] = {}
        self._policy: Policy = policy_of(request, client)
        self._remarks = remarks
        self._batch = Batch(client, request.point)
        self._groups: dict[bytes, _Seen | None] = {}
        self._settled = settled_before(request.point)
        self._lost: set[bytes] = set()
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
        group = entry.link_group
        if group in self._lost:
            return
        status = None if parent.built else lstat(self._folders.fd(parent), name)
        if group and group in self._groups:
            self._other_name(self._groups[group], entry, status)
            return
        logged = status is not None and may_be_database(entry) and bool(beside(self._folders, parent, name))
        same = status is not None and not logged and identical(status, entry)
        admitted = entry if same else self._policy.admit(entry, self._remarks)
        if admitted is None:
            self._lost.update({group} - {b""})
            return
        seen = _Seen(Wanted(admitted, parent, name, None), status) if status is not None else None
        if group:
            self._groups[group] = seen
        if seen is None:
            self._count("written", admitted)
        elif logged:
            self._deleted(seen.wanted)
            self._decide(seen, Verdict.REPLACE)
        elif same:
            doubt = doubtful(seen.status, entry, self._settled)
            if doubt and not stands_database(self._folders, parent, name, entry):
                self._compare(seen)
            else:
                self._decide(seen, Verdict.UNCHANGED)
        else:
            self._judge(seen)

    def _other_name(self, first: _Seen | None, entry: Entry, status: os.stat_result | None) -> None:
        """Count one more name of an inode; ``first`` is what stands at its first name."""
        if first is None or status is None or not os.path.samestat(first.status, status):
            self._count("written" if status is None else "replaced", entry)
        else:
            self._follow(first, entry)

    def _judge(self, seen: _Seen) -> None:
        wanted, status = seen.wanted, seen.status
        verdict = judge(self._folders.fd(wanted.parent), wanted.name, status, wanted.entry)
        if verdict is Verdict.COMPARE:
            self._compare(seen)
        else:
            self._decide(seen, verdict)

    def _compare(self, seen: _Seen) -> None:
        self._pending[seen.wanted.entry.path] = seen
        self._batch.add(Comparing(self, seen.wanted, (seen.status.st_dev, seen.status.st_ino)))

    def _deleted(self, wanted: Wanted) -> None:
        """Count what belongs to a database that is replaced; a mirror finds it among what is extra."""
        if self._request.mirrors:
            return
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

