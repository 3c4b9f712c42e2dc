"""Bacula's jobs: started, followed to their end, and looked up in the catalog.

A set of ours is one job, found by its unique name (``NAME.DATE_TIME_NUMBER``), which a catalog that was built anew from the
volumes has as well; the numbers of jobs are another matter.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from strongroom.clients.bacula.console import Console, literal
from strongroom.clients.tool import Trouble
from strongroom.errors import ClientError
from strongroom.model import Level

LEVELS = {"F": Level.FULL, "D": Level.DIFFERENTIAL, "I": Level.INCREMENTAL}
WORDS = {level: level.value.capitalize() for level in Level}
_COLUMNS = ("JobId", "Job", "Level", "JobStatus", "JobErrors", "JobFiles", "JobBytes", "COALESCE(PurgedFiles,0)")
_DONE, _FAILED = frozenset("TW"), frozenset("EefAI")
_QUEUED = re.compile(r"^Job queued\. JobId=(\d+)", re.MULTILINE)
# What a daemon says that waits for a person, or tries again for hours: nobody will come, so that such a job is ended.
_WAITS = re.compile(
    r"^.*?(?:Please mount|Please use the .label|Cannot find any appendable|Could not connect to|"
    r"Failed to connect to|Error connecting to|Unable to (?:connect|authenticate)|No space left).*$",
    re.MULTILINE,
)
_FULL = re.compile(r"No space left on device|Disk full|wrote only|Write error.*ERR=", re.IGNORECASE)
_WHY = re.compile(r"(?:Fatal error|Error|Warning): (?:\S+\.c:\d+ )?(.+)")
# What the file daemon says of what it did not read: with the path in quotes, or to the line's end.
_UNREAD = re.compile(
    r'(?:Could not (?:access|follow link|stat|open directory)|Cannot open) "(.*)": ERR=(.*?)\.?$', re.DOTALL
)
_BROKEN = re.compile(r"Read error on file (.*)\. ERR=(.*)$", re.DOTALL)
# What a restore of a million files takes until it is a job: a tree of them is built first.
_STARTING_SECONDS = 3600.0
_SHORTEST, _LONGEST, _SLOWER = 0.2, 2.0, 1.08
# A look at what its daemons say of a running job, and at how far it is, comes with each so many looks at the catalog.
_EVERY = 5


class Job(NamedTuple):
    """A job of the catalog. ``purged``: its files are not in the catalog any more."""

    id: int
    name: str
    level: str
    status: str
    errors: int
    files: int
    bytes: int
    purged: bool

    @property
    def done(self) -> bool:
        """Whether it ended well; with warnings too."""
        return self.status in _DONE

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status not in _DONE | _FAILED


class Jobs:
    """The jobs of one Bacula client."""

    def __init__(self, console: Console, client: str) -> None:
        self._console, self._client = console, client

    # --- the catalog ----------------------------------------------------------------------------------------------

    def select(self, condition: str, order: str = "JobId") -> list[Job]:
        """The jobs that a condition in SQL is true of, oldest first."""
        rows = self._console.rows(_COLUMNS, f"FROM Job WHERE {condition} ORDER BY {order}")
        return [
            Job(int(id), name, level, status, int(errors), int(files), int(size), purged not in ("", "0"))
            for id, name, level, status, errors, files, size, purged in rows
        ]

    def of(self, job: str) -> list[Job]:
        """All jobs of one resource, oldest first."""
        return self.select(f"Name={literal(job)} AND Type='B'")

    def named(self, handles: Sequence[str]) -> dict[str, Job]:
        """The jobs with these unique names that can be restored from."""
        found: dict[str, Job] = {}
        for at in range(0, len(handles), 100):
            names = ",".join(literal(handle) for handle in handles[at : at + 100])
            found |= {job.name: job for job in self.select(f"Job IN ({names})") if job.done and not job.purged}
        return found

    def one(self, handle: str) -> Job:
        """The job of a set. Raise ClientError where Bacula has it no more."""
        job = self.named([handle]).get(handle)
        if job is None:
            raise ClientError(f"job {handle} is not in Bacula's catalog any more, or its files were purged from it")
        return job

    def chain(self, job: Job) -> list[int]:
        """The numbers of the jobs that a restore of one reads, itself among them, oldest first. Raise ClientError.

        As Bacula does: its resource's and file set's, by the moment that they stand for, since the last full one.
        """
        resource, file_set = self._console.row(("Name", "FileSetId"), f"FROM Job WHERE JobId={job.id}")
        chain: list[int] = []
        same = f"Type='B' AND Name={literal(resource)} AND FileSetId={file_set}"
        for each in self.select(same, order="JobTDate,JobId"):
            if not each.done or each.purged:
                continue
            if each.level == "F":
                chain = [each.id]
            elif chain:
                chain = [chain[0], each.id] if each.level == "D" else [*chain, each.id]
            if each.id == job.id:
                break
        if job.id not in chain:
            raise ClientError(f"Bacula has no full job any more that {job.name} is built on")
        return chain

    def volumes(self, jobs: Sequence[int]) -> dict[int, list[str]]:
        """The volumes that jobs lie on."""
        found: dict[int, list[str]] = {}
        if jobs:
            numbers = ",".join(map(str, jobs))
            rest = f"FROM JobMedia JOIN Media ON Media.MediaId=JobMedia.MediaId WHERE JobMedia.JobId IN ({numbers})"
            for id, volume in self._console.rows(("JobMedia.JobId", "Media.VolumeName"), rest):
                if volume not in found.setdefault(int(id), []):
                    found[int(id)].append(volume)
        return found

    def log(self, id: int) -> list[str]:
        """What the daemons said of a job, in order."""
        return [said for (said,) in self._console.rows(("LogText",), f"FROM Log WHERE JobId={id} ORDER BY LogId")]

    # --- running --------------------------------------------------------------------------------------------------

    def run(self, *lines: str, progress: Callable[[int, int], None] | None = None) -> Job:
        """Start a job by lines of the console, and follow it; ``progress`` is told its files and bytes.

        Raise ClientError where it did not end well. Whatever ends the wait ends the job.
        """
        told = self._console.told(*lines, limit=_STARTING_SECONDS)
        queued = _QUEUED.search(told)
        if queued is None:
            said = [line.strip() for line in told.splitlines() if line.strip() and line not in lines]
            raise ClientError(f"Bacula did not start the job: {said[-1] if said else 'it says nothing'}")
        id = int(queued.group(1))
        try:
            job = self._followed(id, progress)
        except BaseException:
            self.cancel([id])
            raise
        if not job.done:
            raise ClientError(f"Bacula's job {job.name} failed: {self._why(id)}")
        return job

    def _followed(self, id: int, progress: Callable[[int, int], None] | None) -> Job:
        pause = _SHORTEST
        for look in itertools.count(1):
            found = self.select(f"JobId={id}")
            if not found:
                raise ClientError(f"Bacula's job {id} was deleted from the catalog while it ran")
            job = found[0]
            if not job.running:
                return job
            if look % _EVERY == 0:
                self._waiting(job)
                if progress is not None and job.status == "R":
                    progress(*self._copied(id))
            time.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST)
        raise AssertionError  # the count has no end

    def _waiting(self, job: Job) -> None:
        """Raise ClientError where a job waits for what will not come."""
        for said in self.log(job.id):
            if waits := _WAITS.search(said):
                raise ClientError(
                    f"Bacula's job {job.name} cannot go on: {self._why(job.id) or waits.group(0).strip()}"
                )

    def _copied(self, id: int) -> tuple[int, int]:
        told = self._console.told(f'.status client="{self._client}" running')
        found = re.search(rf"^JobId={id}$(.*?)(?=^JobId=|\Z)", told, re.MULTILINE | re.DOTALL)
        numbers = dict(re.findall(r"^Job(Files|Bytes)=(\d+)$", found.group(1), re.MULTILINE)) if found else {}
        return int(numbers.get("Files", 0)), int(numbers.get("Bytes", 0))

    def _why(self, id: int) -> str:
        """What the daemons said of a job that failed, as one line."""
        log = self.log(id)
        if any(_FULL.search(said) for said in log):
            return "there is no room left where its volumes are; make room there"
        reasons = [found.group(1).strip() for said in log for found in _WHY.finditer(said)]
        waits = [found.group(0).strip() for said in log for found in _WAITS.finditer(said)]
        chosen = reasons[-1:] or waits[-1:]
        return " ".join(chosen[0].split()) if chosen else "it does not say why"

    def cancel(self, ids: Sequence[int]) -> None:
        """End running jobs, and wait until they have ended."""
        if not ids:
            return
        self._console.told(*(f"cancel jobid={id}" for id in ids))
        until = time.monotonic() + 60
        numbers = ",".join(map(str, ids))
        while any(job.running for job in self.select(f"JobId IN ({numbers})")) and time.monotonic() < until:
            time.sleep(_SHORTEST)

    def troubles(self, job: Job) -> Iterator[Trouble]:
        """What a job did not read; where it only counts errors, that."""
        found = list(troubles(self.log(job.id)))
        if job.errors and not found:
            found.append(Trouble(path=b"", message=f"job {job.name} counts {job.errors} errors: {self._why(job.id)}"))
        yield from found


def troubles(log: Sequence[str]) -> Iterator[Trouble]:
    """What a log names as not read, by path."""
    for said in log:
        for pattern in (_UNREAD, _BROKEN):
            if found := pattern.search(said.rstrip("\\\n ")):
                yield Trouble(path=found.group(1).encode("utf-8", "surrogateescape"), message=found.group(2).strip())
