"""The port `Tool` over Bacula: what the running file daemon is shown, copied by a job of each account.

The daemon sees the account through a process of ours (`box.shown`); the paths in Bacula's catalog lead through a link in the
state folder to it, and are the same in each run. What a restore brings goes into a folder of root's alone; the tree that
Bacula builds of what is to be restored has one thing at each path, so that none of them leads through a link.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence

from strongroom.clients import box
from strongroom.clients.bacula.console import Console, literal
from strongroom.clients.bacula.director import Director
from strongroom.clients.bacula.jobs import LEVELS, WORDS, Job, Jobs
from strongroom.clients.bacula.resources import Names
from strongroom.clients.bacula.volumes import Volumes
from strongroom.clients.sidecar import Row
from strongroom.clients.tool import Held, Order, Saved, Trouble
from strongroom.config import Bacula
from strongroom.errors import ClientError
from strongroom.model import Damage, Level, Pruned, Verification, text

# What means something to the console's patterns, quotes and commands.
_SPECIAL = frozenset('*?[]{}\\"')


class BaculaTool:
    """A set's handle is the unique name of its job."""

    driver = "bacula"
    levels: tuple[Level, ...] = tuple(Level)
    alone = False
    replays = False
    merges = True
    partial = True
    keeps: tuple[str, ...] = ("acl", "xattr", "devices")
    # Both are the daemons' own affair: TLS and keys stand in their configuration, and hosts too.
    encrypted = False
    remote = True

    def __init__(self, settings: Bacula, table: str, folder: bytes) -> None:
        self.settings, self._folder = settings, folder
        self.names = Names(table=table, client=settings.client)
        self.console = Console(settings.console, settings.client)
        self.jobs = Jobs(self.console, settings.client)
        self.volumes = Volumes(self.console, self.jobs, settings.storage)
        self.director = Director(settings, self.names, self.console, self._top)

    @property
    def _link(self) -> bytes:
        """The link that leads to what is shown, where something is."""
        return self._folder + b"/now"

    @property
    def _top(self) -> bytes:
        """The view, as the file daemon sees it."""
        return self._link + b"/view"

    def version(self) -> str | None:
        """See the port: the console's."""
        return self.console.version()

    def prepare(self, *, make: bool) -> None:
        """See the port."""
        self.director.ready(make=make)

    def holds(self, path: bytes) -> bool:
        """See the port. Other names are kept by Bacula, but cannot be asked for one by one."""
        try:
            name = path.decode()
        except UnicodeDecodeError:
            return False
        return (
            name.isprintable()
            and not _SPECIAL & set(name)
            and not any(part != part.strip() for part in name.split("/"))
        )

    def overlooks(self, before: Row, now: Row) -> bool:
        """See the port: Bacula compares the size, and the seconds of both times."""
        looks = [(row.size, row.mtime[0], row.ctime[0]) for row in (before, now)]
        return looks[0] == looks[1]

    # --- backing up -----------------------------------------------------------------------------------------------

    def save(self, order: Order) -> Saved:
        """See the port. Bacula falls back to a full one by itself where it has none to compare with; that is told."""
        job = self.names.tails if order.tail else self.names.job(order.series)
        self.director.need(job)
        level = self._level(job, order)
        line = f'run job="{job}" level={WORDS[level]} pool="{self.settings.pool}" comment="{order.name}" yes'
        with self._shown(order.view):
            done = self.jobs.run(line, progress=order.progress)
        if done.level not in LEVELS:
            raise ClientError(f"Bacula's job {done.name} is of a level {done.level!r} that nobody asked for")
        if not self._has(done, order):
            raise ClientError(
                f"the file daemon {self.settings.client} did not find what it was to copy: it has to run on this machine as root"
            )
        return Saved(
            handle=done.name, bytes=done.bytes, troubles=tuple(self._troubles(done, order)), level=LEVELS[done.level]
        )

    def _troubles(self, done: Job, order: Order) -> Iterator[Trouble]:
        """What was not read, with the paths that we know: the daemon saw them through our link."""
        for trouble in self.jobs.troubles(done):
            below = trouble.path.removeprefix(self._top)
            yield Trouble(path=order.view.folder + below if below != trouble.path else b"", message=trouble.message)

    def _level(self, job: str, order: Order) -> Level:
        """The level to ask for: a full one where the base is gone. What still runs is nobody's."""
        self.jobs.cancel([each.id for each in self.jobs.of(job) if each.running])
        return order.level if order.base and self.jobs.named([order.base]) else Level.FULL

    def _has(self, done: Job, order: Order) -> bool:
        """Whether a set has what is in every one: a folder of ours."""
        place = literal(f"{text(self._top)}/{order.series}/strongroom/")
        rest = f"FROM File JOIN Path ON Path.PathId=File.PathId WHERE File.JobId={done.id} AND File.FileIndex>0"
        return bool(self.console.rows(("File.FileId",), f"{rest} AND Path.Path={place} LIMIT 1"))

    @contextlib.contextmanager
    def _shown(self, view: box.View) -> Iterator[None]:
        """Let the link lead to a view; afterwards it leads nowhere."""
        with box.shown(view) as path:
            new = self._link + b".new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            os.symlink(os.path.dirname(path), new)
            os.rename(new, self._link)
            try:
                yield
            finally:
                os.unlink(self._link)

    # --- bringing back --------------------------------------------------------------------------------------------

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """See the port: what a set and those that it is built on have, merged by Bacula, in one job."""
        self.director.need()
        job = self.jobs.one(handle)
        chain = [job.id] if tail else self.jobs.chain(job)
        self.restore(chain, [self._top + b"/" + place for place in places], target)
        return target + self._top

    def restore(self, chain: Sequence[int], paths: Sequence[bytes], target: bytes) -> Job | None:
        """Bring paths (none: all) of a chain of jobs back below a folder; None where it has none of them."""
        marks = list(_marks(path for path in paths if self.holds(path))) if paths else ["mark *"]
        return (
            self.jobs.run(f"{self._restore(target)} jobid={_numbers(chain)}", *marks, "done", "yes") if marks else None
        )

    def _restore(self, target: bytes) -> str:
        """The beginning of a line that restores below a folder; Bacula takes no path that leads through a link."""
        where = os.fsdecode(os.path.realpath(target))
        return f'restore restorejob="{self.names.restore}" client="{self.settings.client}" where="{where}"'

    def tails(self) -> list[str] | None:
        """See the port."""
        return [job.name for job in self.jobs.of(self.names.tails) if job.done and not job.purged]

    # --- care -----------------------------------------------------------------------------------------------------

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """See the port: jobs leave the catalog, and volumes that have no other are emptied."""
        names = [name for held in gone for name in (held.data, held.tail) if name]
        ids = [job.id for job in self.jobs.named(names).values()]
        if dry_run:
            return Pruned(freed_bytes=0, held_bytes=0, objects=len(ids)), []
        self.director.ready(make=False)
        freed = self.volumes.remove(ids) + self.remove(unfinished)
        return Pruned(freed_bytes=freed, held_bytes=0, objects=len(ids)), [held.point.id for held in gone]

    def remove(self, unfinished: Sequence[str]) -> int:
        """Take sets by name that were never finished away; returns how many bytes that freed."""
        if not unfinished:
            return 0
        named = " OR ".join(f"Comment='{name}'" for name in unfinished)
        left = self.jobs.select(f"Type='B' AND ({named})")
        self.jobs.cancel([job.id for job in left if job.running])
        return self.volumes.remove([job.id for job in left])

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """See the port: every job is in the catalog, and a file of each is read from its volumes; with data, the newest set
        of each account is brought back."""
        self.director.ready(make=False)
        self.director.need()
        handles = [name for each in held for name in (each.data, each.tail) if name]
        there = self.jobs.named(handles)
        lost = dict.fromkeys(handles, "the job is not in Bacula's catalog any more, or its files were purged")
        lost = {name: why for name, why in lost.items() if name not in there}
        with self._spare() as folder:
            lost |= self.volumes.unread(list(there.values()), lambda jobs: self._touch(jobs, folder))
        read = 0
        newest = {each.series: each for each in sorted(held, key=lambda each: each.point.seq)}
        for each in newest.values() if read_data else ():
            if each.data not in lost:
                read += each.point.bytes
                lost |= self._read(each)
        return Verification(objects=len(there), bytes_read=read, damage=tuple(damaged(held, lost)))

    def _touch(self, jobs: Sequence[int], folder: bytes) -> None:
        """Bring one small file of each of several jobs back: what it takes to know that their volumes are there."""
        rest = "FROM File JOIN Path ON Path.PathId=File.PathId"
        where = f"WHERE File.JobId IN ({_numbers(jobs)}) AND File.FileIndex>0 AND Path.Path LIKE '%/strongroom/'"
        ids = ",".join(id for (id,) in self.console.rows(("MIN(File.FileId)",), f"{rest} {where} GROUP BY File.JobId"))
        table = f"b2{os.getpid()}"
        self.jobs.run(
            f".bvfs_restore fileid={ids} jobid={_numbers(jobs)} path={table}",
            f"{self._restore(folder)} file=?{table} yes",
            f".bvfs_cleanup path={table}",
        )

    def _read(self, held: Held) -> dict[str, str]:
        with self._spare() as folder:
            try:
                self.bring(held.data, held.series, [], folder)
            except ClientError as error:
                return {held.data: str(error)}
        return {}

    @contextlib.contextmanager
    def _spare(self) -> Iterator[bytes]:
        with tempfile.TemporaryDirectory(dir=os.fsdecode(self._folder)) as folder:
            yield os.fsencode(folder)


class ConsolidatingBacula(BaculaTool):
    """The port `Consolidating` beside: for a director with a pool that virtual full jobs are written to."""

    def consolidate(self, name: str, chain: Sequence[Held]) -> Saved:
        """See the port: a virtual full job, which reads the volumes of the chain and no server."""
        self.director.need()
        done = self.jobs.run(
            f'run job="{self.names.job(chain[-1].series)}" level=VirtualFull pool="{self.settings.pool}" '
            f'nextpool="{self.settings.next_pool}" comment="{name}" yes'
        )
        return Saved(handle=done.name, bytes=done.bytes, level=Level.FULL)


def damaged(held: Sequence[Held], lost: dict[str, str]) -> Iterator[Damage]:
    """What is lost, with every point that needs it: those that are built on it, too."""
    by_id = {each.point.id: each for each in held}
    needs: dict[str, list[str]] = {name: [] for name in lost}
    for each in held:
        link: Held | None = each
        for name in {each.data, each.tail} & lost.keys():
            needs[name].append(each.point.id)
        while link is not None and link.point.parent is not None:
            link = by_id.get(link.point.parent)
            if link is not None and link.data in lost:
                needs[link.data].append(each.point.id)
    for name, points in needs.items():
        yield Damage(object=name, message=lost[name], points=tuple(points))


def _marks(paths: Iterator[bytes]) -> Iterator[str]:
    """The console's lines that mark paths in a tree."""
    for path in paths:
        above, _, name = os.fsdecode(path).rpartition("/")
        yield f'cd "{above or "/"}"'
        yield f'mark "{name}"'


def _numbers(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids)) or "0"
