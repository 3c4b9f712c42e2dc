"""The jobs that others made with the same Bacula client, as points: one for each account that such a job can bring back.

They are found in the catalog alone, and nothing of them is changed. What was found is kept, so that a director that is down
hides no point; as long as it has no other jobs than then, one question is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from blake3 import blake3

from strongroom.clients.bacula.console import Console, literal
from strongroom.clients.bacula.jobs import LEVELS
from strongroom.clients.bacula.places import Place, Places
from strongroom.clients.holdings import put
from strongroom.errors import ClientError
from strongroom.model import FileCounts, Frozen, Level, Point, Remark, Status

_WARNING = Remark(
    path=b"",
    message="adopted from a Bacula that Strongroom did not run: times in whole seconds, and whether files and databases "
    "are in step, and what was left out, nobody knows",
)
# Adopted points come before all of ours in order, and by their times among themselves.
_BEFORE_ALL = 1 << 40
_SCHEMAS = ("14", "15", "16")  # Bacula 5 to 9: names of files stand in a table of their own


class Link(Frozen):
    """A job that a restore reads."""

    id: int
    name: str
    level: Level


class Adopted(Frozen):
    """A point, and where it lies: its chain, the full job first, and the account's folders as that one names them."""

    point: Point
    chain: tuple[Link, ...]
    places: tuple[tuple[str, str], ...]


class _Kept(Frozen):
    """What was found, and the mark that the catalog had then."""

    mark: str
    found: tuple[Adopted, ...]


class _Job(NamedTuple):
    id: int
    name: str
    resource: str
    level: str
    ended: int
    seconds: int
    file_set: str


class Adoption:
    """All that can be adopted for one client's table; ``folder`` is its own in the state folder."""

    def __init__(self, console: Console, client: str, name: str, server: str, places: Places, folder: bytes) -> None:
        self._console, self._client, self._name = console, client, name
        self._server, self._places = server, places
        self._file = os.path.join(folder, b"adopted")
        self._known: dict[str, Adopted] | None = None

    def all(self) -> dict[str, Adopted]:
        """What there is, by the ids of the points; asked once."""
        if self._known is None:
            kept = self._read()
            try:
                kept = self._found(kept)
            except ClientError:
                # Whether Bacula answers matters when something is asked of it; what it holds is known.
                kept = kept or _Kept(mark="", found=())
            self._known = {each.point.id: each for each in kept.found}
        return self._known

    def _read(self) -> _Kept | None:
        with contextlib.suppress(OSError, msgspec.MsgspecError), open(self._file, "rb") as file:
            return msgspec.msgpack.decode(file.read(), type=_Kept)
        return None

    def _found(self, kept: _Kept | None) -> _Kept:
        wanted = self._wanted()
        count, last = self._console.row(("COUNT(*)", "COALESCE(MAX(Job.JobId),0)"), wanted)
        mark = f"{self._server} {count} {last}"
        if kept is not None and kept.mark == mark:
            return kept
        found = tuple(self._points()) if count != "0" else ()
        kept = _Kept(mark=mark, found=found)
        os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
        put(self._file, msgspec.msgpack.encode(kept))
        return kept

    def _wanted(self) -> str:
        return (
            "FROM Job JOIN Client ON Client.ClientId=Job.ClientId JOIN FileSet ON FileSet.FileSetId=Job.FileSetId "
            f"WHERE Job.Type='B' AND Job.JobStatus IN ('T','W') AND COALESCE(Job.PurgedFiles,0)=0 "
            f"AND Client.Name={literal(self._client)} AND FileSet.FileSet NOT LIKE 'strongroom-%'"
        )

    def _points(self) -> Iterator[Adopted]:
        (schema,) = self._console.row(("VersionId",), "FROM Version")
        if schema not in _SCHEMAS:
            return
        jobs = self._jobs()
        roots = self._roots()
        for chain in _chains(jobs):
            yield from self._of_chain(chain, roots)

    def _jobs(self) -> list[_Job]:
        stat = ("Job.JobTDate", "Job.StartTime", "Job.EndTime", "Job.FileSetId")
        rows = self._console.rows(
            ("Job.JobId", "Job.Job", "Job.Name", "Job.Level", *stat),
            f"{self._wanted()} ORDER BY Job.JobTDate, Job.JobId",
        )
        return [
            _Job(int(id), job, name, level, int(ended), _seconds(begun, end), file_set)
            for id, job, name, level, ended, begun, end, file_set in rows
        ]

    def _roots(self) -> dict[int, dict[Place, bool]]:
        """The accounts' folders that each job names, and whether it has them: one that vanished is named as gone."""
        rest = (
            "FROM File JOIN Path ON Path.PathId=File.PathId JOIN Filename ON Filename.FilenameId=File.FilenameId "
            f"WHERE Filename.Name='' AND File.JobId IN (SELECT Job.JobId {self._wanted()}) AND ({self._places.condition})"
        )
        found: dict[int, dict[Place, bool]] = defaultdict(dict)
        for job, index, path in self._console.rows(("File.JobId", "File.FileIndex", "Path.Path"), rest):
            place = self._places.of(path)
            if place is not None:
                found[int(job)][place] = int(index) > 0
        return found

    def _of_chain(self, chain: Sequence[_Job], roots: dict[int, dict[Place, bool]]) -> Iterator[Adopted]:
        there: dict[Place, bool] = {}
        for job in chain:
            there |= roots.get(job.id, {})
        accounts: dict[str, list[Place]] = defaultdict(list)
        for place, held in there.items():
            if held:
                accounts[place.account].append(place)
        links = tuple(Link(id=job.id, name=job.name, level=LEVELS[job.level]) for job in chain)
        for account, places in accounts.items():
            named = tuple(sorted((place.tree, place.path) for place in places))
            yield Adopted(point=self._point(account, chain[-1]), chain=links, places=named)

    def _point(self, account: str, job: _Job) -> Point:
        begun = datetime.fromtimestamp(job.ended - job.seconds, UTC)
        id = blake3(f"{self._name}/{job.name}/{account}".encode("utf-8", "surrogateescape")).hexdigest(8)
        return Point(
            id=id,
            account=account,
            time=_iso(begun),
            level=LEVELS[job.level],
            client=self._name,
            status=Status.INCOMPLETE,
            run=job.name,
            seq=job.ended - _BEFORE_ALL,
            server=self._server,
            started=_iso(begun),
            finished=_iso(datetime.fromtimestamp(job.ended, UTC)),
            files=FileCounts(),
            warnings=(_WARNING,),
            pinned=True,
        )


def _chains(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Each job with those that it is built on: as Bacula does, by name and file set; what has no full one is left out."""
    chains: dict[tuple[str, str], list[_Job]] = {}
    for job in jobs:
        key = (job.resource, job.file_set)
        if job.level == "F":
            chains[key] = [job]
        elif key not in chains or job.level not in LEVELS:
            continue
        else:
            chains[key] = [chains[key][0], job] if job.level == "D" else [*chains[key], job]
        yield chains[key]


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(begun: str, ended: str) -> int:
    """How long a job took, of two moments of the director's own clock."""
    with contextlib.suppress(ValueError):
        return max(int((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()), 0)
    return 0
