"""Any client whose bytes other software copies: all of the contract but the tool's own calls, which a driver brings."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec
from blake3 import blake3

from strongroom.clients import verdicts
from strongroom.clients.arriving import Arrival
from strongroom.clients.base import KEEPS, Capabilities, Client, Failure, Monitor, RunHead, Task
from strongroom.clients.bringing import OWN, Brought
from strongroom.clients.chains import Chains
from strongroom.clients.holdings import Holdings, Ledger, State
from strongroom.clients.making import Base, Making, unseen
from strongroom.clients.overlooked import by_age
from strongroom.clients.sidecar import Content, Row, Sidecar, entry, outermost
from strongroom.clients.tool import Consolidating, Held, Overlooking, Tool
from strongroom.clients.vault_feed import iso
from strongroom.clients.verdicts import Verdict
from strongroom.clients.workroom import Workroom
from strongroom.errors import AwayError, ClientError, SourceError, UnknownError, UsageError
from strongroom.model import (
    Damage,
    Entry,
    FileType,
    Level,
    Point,
    Pruned,
    ReadPlan,
    Verification,
    text,
)


def series_of(server: str, account: str) -> str:
    """A name for all sets of one account that any tool takes: its own name as far as it is one, and a hash."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", account)[:40].lstrip("-") or "account"
    return f"{plain}.{blake3(f'{server}/{account}'.encode('utf-8', 'surrogateescape')).hexdigest(8)}"


class ForeignClient:
    """The port `clients.base.Client` over a `Tool`. ``configuration`` is a digest of its table."""

    def __init__(self, name: str, tool: Tool, room: Workroom, ledger: Ledger | None, configuration: str) -> None:
        self.name = name
        self._configuration = configuration
        self._tool, self._room = tool, room
        self._holdings = Holdings(room.folder, tool, ledger, self._tail)
        self._chains = Chains(tool, self._holdings, self._sidecar)
        self._brought: dict[str, Brought] = {}
        self._sidecars: dict[str, Sidecar] = {}
        self._scope: dict[str, tuple[bytes, ...]] = {}

    def capabilities(self) -> Capabilities:
        """See the port."""
        tool = self._tool
        return Capabilities(
            driver=tool.driver,
            version=self._version,
            levels=tool.levels,
            sidecar=tuple(word for word in KEEPS if word not in tool.keeps),
            scheduled=not tool.alone,
            partial=tool.partial,
            encrypted=tool.encrypted,
            remote=tool.remote,
        )

    def unlock(self) -> None:
        """See the port. Storage that was never used is none that cannot be read."""
        self.need()
        if self._holdings.made or self._holdings.all():
            self._tool.prepare(make=False)

    # --- backing up -----------------------------------------------------------------------------------------------

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        """See the port: one account after another."""
        self.need()
        with self._room.alone("back up"):
            self._prepare()
            for task in tasks:
                if not task.account.locations and task.exports is None:
                    message = "none of its folders is there; nothing was backed up"
                    yield Failure(account=task.account.name, message=message)
                    continue
                try:
                    yield self._make(task, run, monitor)
                except (ClientError, SourceError) as error:
                    # What stopped one account need not stop the next; of one alone it is the end of the run.
                    if len(tasks) == 1:
                        raise
                    yield Failure(account=task.account.name, message=str(error))

    # --- copies ---------------------------------------------------------------------------------------------------

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """See the port. What the account's next points may be built on is the newest alone; an older one stands aside."""
        self.need()
        with self._room.alone("copy"):
            own = self._holdings.held(point.id) if source is self else None
            if own is not None and (self._tool.alone or point.parent is None):
                return point
            self._prepare()
            monitor.progress(accounts=point.account, done=point.files, expected_entries=point.entries)
            arrival = Arrival(self._tool, self._holdings, self._room, series_of(point.server, point.account))
            if own is not None and isinstance(self._tool, Consolidating) and not arrival.aside(point):
                return arrival.consolidated(self._tool, own, self._brought_of(own), self.name, self._doubt())
            return arrival.carried(point, source, self.name, self._doubt())

    def _prepare(self) -> None:
        """See to it that the tool's storage can be written to; it is made on first use alone."""
        self._tool.prepare(make=not self._holdings.made and not self._holdings.all())
        self._holdings.use()

    @cached_property
    def _version(self) -> str | None:
        return self._tool.version()

    def need(self) -> None:
        """Raise ClientError where the software is not there."""
        if self._version is None:
            raise ClientError(f"client {self.name}: {self._tool.driver} is not installed here; install it")

    def _make(self, task: Task, run: RunHead, monitor: Monitor) -> Point:
        series = series_of(run.server, task.account.name)
        known = self._holdings.of(series)
        last = known[-1] if known else None
        parent = last
        links: list[Held] = []
        if task.level is Level.FULL:
            parent = None
        elif task.level is Level.DIFFERENTIAL:
            parent = next((held for held in reversed(known) if held.point.level is Level.FULL), None)
        # A set that stands alone needs no other: to it, its parent is only what it was compared with.
        if parent is not None and not self._tool.alone:
            try:
                chain = self.chain(parent)
                links = chain if self._tool.replays or self._tool.merges else [parent]
            except ClientError as error:
                monitor.note(f"{task.account.name}: {error}; a full one is made")
                parent = None
        sidecar = None
        if last is not None:
            try:
                sidecar = self._sidecar(last)
            except AwayError:
                raise
            except ClientError as error:
                monitor.note(f"{task.account.name}: {error}; a full one is made")
                parent = None
        # To such a tool what changed is what differs from the set that it builds on, in what it looks at.
        overlooks = isinstance(self._tool, Overlooking) or by_age(self._tool)
        before = self._sidecar(parent) if parent is not None and overlooks else None
        base = Base(parent=parent, last=last, sidecar=sidecar, unseen=unseen(links), before=before)
        making = Making(self._tool, self._holdings, self._room, series, task, run, monitor)
        with self._room.spare() as spool:
            return making.make(self.name, base, spool, doubt=self._doubt())

    def chain(self, held: Held) -> list[Held]:
        """A point with those that its set is built on, the full one first; raise ClientError where one is known to be missing."""
        return self._holdings.chain(held)

    def verdict(self) -> Verdict | None:
        """What the probe of this driver, version and configuration said; None where there was none yet."""
        return verdicts.read(self._room.folder, self._tool.driver, self._version or "", self._configuration)

    def judge(self, lost: Sequence[str]) -> Verdict:
        """Remember what a probe found lost (nothing: it passed)."""
        verdict = Verdict(
            driver=self._tool.driver,
            version=self._version or "",
            configuration=self._configuration,
            time=iso(time.time_ns()),
            lost=tuple(lost),
        )
        self._room.below(b"")
        verdicts.remember(self._room.folder, verdict)
        return verdict

    def _doubt(self) -> str:
        """Why no point of this client can be relied on, or nothing."""
        verdict = self.verdict()
        if verdict is None:
            return f"client {self.name} has not been probed; run: strongroom clients --probe {self.name}"
        return f"client {self.name} failed its probe: {verdict.lost[0]}" if verdict.lost else ""

    # --- points ---------------------------------------------------------------------------------------------------

    def points(self) -> list[Point]:
        """See the port."""
        return self.load(self.ids())

    def ids(self) -> set[str]:
        """See the port."""
        return self._holdings.ids()

    def load(self, ids: Iterable[str]) -> list[Point]:
        """See the port."""
        return [self.held(id).point for id in ids]

    def held(self, id: str) -> Held:
        """A point with its sets. Raise UnknownError."""
        return self._holdings.held(id)

    def _sidecar(self, held: Held) -> Sidecar:
        """A point's sidecar: this machine's copy, or brought back from the set."""
        id = held.point.id
        if id not in self._sidecars:
            found = self._holdings.sidecar(id)
            if found is None:
                self._fetch_sidecar(held)
                found = self._holdings.sidecar(id)
            if found is None:
                raise ClientError(
                    f"the sidecar of point {id} cannot be kept in {text(self._room.folder)}; make room there"
                )
            self._sidecars[id] = found
        return self._sidecars[id]

    def _fetch_sidecar(self, held: Held) -> None:
        sidecar, second = self._brought_of(held).own(held)
        corrections = second + b"/corrections" if second is not None else b""
        self._holdings.keep_sidecar(held.point.id, sidecar, corrections if _is_file(corrections) else None)

    @contextlib.contextmanager
    def _tail(self, handle: str) -> Iterator[bytes]:
        """A second part, brought back to read a point's record in it."""
        with self._room.spare() as target:
            view = self._tool.bring(handle, "", [], target, tail=True)
            yield _only_below(view) + b"/" + OWN

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        """See the port."""
        row = self._sidecar(self.held(point.id)).lookup(path)
        return entry(row) if row is not None else None

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        """See the port."""
        sidecar = self._sidecar(self.held(point.id))
        row = sidecar.lookup(path)
        if row is None or row.kind != FileType.DIR:
            raise UnknownError(f"the point holds no folder {text(path)!r}")
        return [entry(child) for child in sidecar.children(path)]

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """See the port. What is walked is what content will be asked of, so that it can be brought at once."""
        if not listing:
            self._scope[point.id] = tuple(paths)
        for row in self._rows(self.held(point.id), paths):
            yield entry(row)

    def _rows(self, held: Held, paths: Sequence[bytes]) -> Iterator[Row]:
        sidecar = self._sidecar(held)
        for path in outermost(paths):
            if sidecar.lookup(path) is None:
                raise UnknownError(f"the point holds no {text(path)!r}")
            yield from sidecar.below(path)

    # --- content --------------------------------------------------------------------------------------------------

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port. Each content is checked against the hash that the sidecar has of it."""
        held = self.held(point.id)
        numbered: dict[str, list[tuple[int, Row, Row]]] = {}
        holders: dict[str, Held] = {}
        asked_of = [wanted.content.row for wanted in entries if isinstance(wanted.content, Content)]
        if len(asked_of) != len(entries):
            raise ClientError("content was asked of something that is no file of this client")
        few = self._chains.few(self._files(held, self._scope.get(point.id) or tuple(row.path for row in asked_of)))
        for number, (holder, row) in enumerate(self._chains.holders(held, asked_of, few=few)):
            holders[holder.point.id] = holder
            numbered.setdefault(holder.point.id, []).append((number, row, asked_of[number]))
        for id, files in numbered.items():
            brought = self._brought_of(holders[id])
            rows = [row for _, row, _ in files]
            scope = self._scope.get(point.id) or tuple(row.path for row in rows)
            brought.want(holders[id], rows, scope)
            for number, row, asked in files:
                for offset, data in brought.content(holders[id], row, asked):
                    yield number, offset, data

    def _files(self, held: Held, paths: Sequence[bytes]) -> Iterator[Row]:
        return (row for row in self._rows(held, paths) if row.kind == FileType.FILE)

    def _brought_of(self, held: Held) -> Brought:
        return self._brought.setdefault(held.point.id, Brought(self._tool, self._room))

    def close(self) -> None:
        """Remove what was brought back."""
        for brought in self._brought.values():
            brought.close()
        self._brought.clear()

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port."""
        held = self.held(point.id)
        whole = {path.split(b"/")[0] for path in paths} == set(paths) or not paths
        scope = paths or self._trees(held)
        return self._chains.plan(held, list(self._files(held, scope)), scope, whole=whole)

    def _trees(self, held: Held) -> list[bytes]:
        return [place for place in (b"data", b"databases", b"info") if self._sidecar(held).lookup(place) is not None]

    # --- care -----------------------------------------------------------------------------------------------------

    def forget(self, ids: Sequence[str]) -> None:
        """See the port. A set that others are built on stays until they are forgotten too."""
        self._holdings.mark(ids, State.FORGOTTEN)

    def prune(self, *, dry_run: bool) -> Pruned:
        """See the port."""
        self.need()
        with self._room.alone("prune"):
            every = self._holdings.all()
            needed = {id for id, (state, _) in every.items() if state is State.HELD}
            if not self._tool.alone:
                needed |= {link.point.id for id in needed for link in self._holdings.chain(every[id][1])}
            gone = [held for id, (_, held) in every.items() if id not in needed]
            kept = [every[id][1] for id in needed]
            unfinished = self._holdings.unfinished()
            pruned, removed = self._tool.prune(gone, kept, unfinished, dry_run=dry_run)
            if not dry_run:
                self._holdings.mark(removed, State.GONE)
                self._holdings.finish(*unfinished)
            return pruned

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        """See the port. Such software tells nothing of how far it is."""
        if repair:
            raise UsageError(f"--repair is for the vault; what {self._tool.driver} can mend, it mends itself")
        self.need()
        with self._room.alone("check"):
            monitor.note(f"{self.name}: {self._tool.driver} is checking; how far it is, it does not tell")
            held = [held for _, held in self._holdings.all().values()]
            found = self._tool.verify(held, read_data=read_data)
        return msgspec.structs.replace(found, damage=(*found.damage, *self._broken(held)))

    def _broken(self, held: Sequence[Held]) -> Iterator[Damage]:
        """The points that a set is missing for."""
        for each in held if not self._tool.alone else ():
            try:
                self._holdings.chain(each)
            except ClientError as error:
                yield Damage(object=each.data, message=str(error), points=(each.point.id,))


def _is_file(path: bytes) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def _only_below(folder: bytes) -> bytes:
    """The one folder in a folder."""
    names = sorted(os.listdir(folder))
    if len(names) != 1:
        raise ClientError(
            f"{text(folder)}: a second part holds one account, not {len(names)}; check the client's storage"
        )
    return os.path.join(folder, names[0])
