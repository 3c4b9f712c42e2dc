"""The jobs that others made with the same Bacula client, as points: one for each account that such a job can bring back.

They are found in the catalog alone, and nothing of them is changed. What was found is kept, so that a director that is down
hides no point; as long as it has no other jobs than then, one question is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from strongroom.clients import adopted
from strongroom.clients.adopted import Adopted, Found, Link, by_account
from strongroom.clients.bacula import catalog_rows
from strongroom.clients.bacula.console import literal
from strongroom.clients.bacula.jobs import LEVELS
from strongroom.clients.bacula.tool import BaculaTool
from strongroom.clients.places import Place, Places
from strongroom.clients.sidecar import Row
from strongroom.errors import ClientError
from strongroom.model import FileType, Point, ReadPlan, ReadStep

_WARNING = (
    "adopted from a Bacula that Strongroom did not run: times in whole seconds, and whether files and databases "
    "are in step, and what was left out, nobody knows"
)
_SCHEMAS = ("14", "15", "16")  # Bacula 5 to 9: names of files stand in a table of their own
_SECONDS_PER_JOB, _BYTES_PER_SECOND = 3.0, 60_000_000


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

    driver = "bacula"

    def __init__(self, tool: BaculaTool, client: str, name: str, server: str, places: Places, folder: bytes) -> None:
        self._tool, self._console, self._client, self._name = tool, tool.console, client, name
        self._server, self._places, self._folder = server, places, folder
        self._known: dict[str, Adopted] | None = None

    def all(self) -> dict[str, Adopted]:
        """See the port."""
        if self._tool.version() is None:
            return {}
        if self._known is None:
            kept = adopted.read(self._folder)
            try:
                kept = self._found(kept)
            except ClientError:
                # Whether Bacula answers matters when something is asked of it; what it holds is known.
                kept = kept or Found(mark="")
            self._known = {each.point.id: each for each in kept.found}
        return self._known

    def _found(self, kept: Found | None) -> Found:
        wanted = self._wanted()
        count, last = self._console.row(("COUNT(*)", "COALESCE(MAX(Job.JobId),0)"), wanted)
        mark = f"{self._server} {count} {last}"
        if kept is not None and kept.mark == mark:
            return kept
        kept = Found(mark=mark, found=tuple(self._points()) if count != "0" else ())
        adopted.keep(self._folder, kept)
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
        links = tuple(Link(id=job.id, name=job.name, level=LEVELS[job.level]) for job in chain)
        for account, places in by_account(place for place, held in there.items() if held):
            yield Adopted(point=self._point(account, chain[-1]), chain=links, places=places)

    def _point(self, account: str, job: _Job) -> Point:
        begun, ended = job.ended - job.seconds, job.ended
        level, own = LEVELS[job.level], {"client": self._name, "server": self._server}
        return adopted.point(account, job.name, level, begun=begun, ended=ended, warning=_WARNING, **own)

    # --- what they hold -------------------------------------------------------------------------------------------

    def rows(self, adopted: Adopted) -> Iterator[Row]:
        """See the port: the newest row of each path that is not gone."""
        newest: dict[bytes, Row | None] = {}
        columns = ("File.FileId", "File.FileIndex", "Path.Path", "Filename.Name", "File.LStat", "File.MD5")
        for link in adopted.chain:
            for tree, place in adopted.places:
                rest = (
                    "FROM File JOIN Path ON Path.PathId=File.PathId JOIN Filename ON Filename.FilenameId=File.FilenameId "
                    f"WHERE File.JobId={link.id} AND Path.Path>='{_doubled(place)}/' AND Path.Path<'{_doubled(place)}0'"
                )
                for file, index, path, name, lstat, digest in self._console.rows(columns, rest):
                    below = os.fsencode(path + name)[len(os.fsencode(place)) + 1 :].rstrip(b"/")
                    stored = tree.encode() + (b"/" + below if below else b"")
                    found = catalog_rows.row(stored, lstat, digest, int(file), link.id) if int(index) > 0 else None
                    newest[stored] = found
        return (row for row in newest.values() if row is not None)

    def plan(self, adopted: Adopted, rows: Sequence[Row]) -> ReadPlan:
        """See the port: the job that has each, and the volumes that it lies on."""
        steps = []
        volumes = self._tool.jobs.volumes([link.id for link in adopted.chain])
        there = self._tool.jobs.named([link.name for link in adopted.chain])
        for link in adopted.chain:
            if link.name not in there:
                raise ClientError(
                    f"point {adopted.point.id} needs job {link.name}, which is purged from Bacula's catalog"
                )
            mine = [row for row in rows if row.place == link.id]
            if not mine:
                continue
            on = ", ".join(volumes.get(link.id, ())) or "none"
            size = sum(row.size for row in mine if row.kind == FileType.FILE)
            what = f"{len(mine):,} entries; job {link.id} on {on}"
            steps.append(ReadStep(run=link.name, level=link.level, what=what, bytes=size))
        total = sum(step.bytes for step in steps)
        return ReadPlan(reads=tuple(steps), bytes=total, seconds=round(_SECONDS_PER_JOB + total / _BYTES_PER_SECOND, 1))

    def bring(self, adopted: Adopted, places: Sequence[bytes], target: bytes) -> bytes:
        """See the port: in one job."""
        self._tool.director.need()
        wanted = sorted({_nameable(place, self._tool.holds) for place in places})
        self._tool.restore([link.id for link in adopted.chain], wanted, target)
        return target

    def is_content(self, row: Row, pieces: Iterable[bytes]) -> bool:
        """See the port."""
        return catalog_rows.is_content(row.digest, pieces)


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


def _seconds(begun: str, ended: str) -> int:
    """How long a job took, of two moments of the director's own clock."""
    with contextlib.suppress(ValueError):
        return max(int((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()), 0)
    return 0


def _nameable(path: bytes, holds: Callable[[bytes], bool]) -> bytes:
    """A path, or the nearest folder above it, that the console can be told."""
    while not holds(path):
        path = path.rpartition(b"/")[0]
    return path


def _doubled(path: str) -> str:
    """A path as it stands between SQL's quotes, inside the console's."""
    if any(char in path for char in '"\\\n\r\0'):
        raise ClientError(
            f"{path!r} cannot be asked of Bacula's catalog: it has a quote, a backslash or a line's end in it"
        )
    return path.replace("'", "''")
