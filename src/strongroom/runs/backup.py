"""A run: accounts chosen, levels decided, each account locked, copied by the client, and its point recorded.

One account's failure stops no other. A run that ends early, in whatever way, leaves the points that it has made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from strongroom.clients.base import Client, Exports, Failure, Monitor, RunHead, Task
from strongroom.config import Backup, Config
from strongroom.config.identity import server_id
from strongroom.errors import BusyError, ClientError, SourceError, StrongroomError, UsageError
from strongroom.exports.sqlite import SqliteFiles
from strongroom.model import DATABASES, FILES, Account, Frozen, Level, Point, Status
from strongroom.panel.base import Layout
from strongroom.panel.sources import refuse_database_folders
from strongroom.runs import times
from strongroom.runs.catalog import Catalog, Identity
from strongroom.runs.locks import PATIENCE_SECONDS, Locks

# A full read at least this often, so that what a file system hides from stat does not stay hidden for ever.
FULL_AFTER = timedelta(days=35)


class Order(Frozen):
    """What to back up: account names or domains (none: everything), and a level (None: what the schedule says).

    ``only`` is files or databases, or None for both.
    """

    accounts: tuple[str, ...] = ()
    level: Level | None = None
    only: str | None = None


class Exporter(Protocol):
    """Where accounts' exports come from; without database servers there is none."""

    def of(self, account: Account) -> Exports | None:
        """An account's databases, or None where it has none."""


class RunResult(Frozen):
    """What a run did. Times are ISO 8601 in UTC; each chosen account is in ``points`` or in ``failures``."""

    run: str
    status: Status
    started: str
    finished: str
    points: tuple[Point, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 all complete, 1 something is missing, 2 there is no point at all."""
        return {Status.COMPLETE: 0, Status.INCOMPLETE: 1, Status.FAILED: 2}[self.status]


class Runner:
    """Backs up accounts of one server with one client."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        client: Client,
        catalog: Catalog,
        exporter: Exporter | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._config = config
        self._layout = layout
        self._client = client
        self._catalog = catalog
        self._exporter = exporter
        self._clock = clock
        self._patience = patience
        self._server = server_id(config.server)

    def tasks(self, order: Order) -> list[Task]:
        """The accounts of an order, each with the level it would be backed up at.

        Raise UnknownError for a name that is nobody's, SourceError when there is nothing to back up, UsageError for a level
        that the client does not have.
        """
        today = self._clock()
        self._refuse_level(order.level)
        tasks = [self._task(account, order, today) for account in self._chosen(order.accounts)]
        if order.only != DATABASES:
            return tasks
        having = [task for task in tasks if task.exports is not None]
        named = [task.account.name for task in tasks if task.exports is None] if order.accounts else []
        if named or not having:
            who = ", ".join(named) or "no account"
            raise SourceError(f"{who}: no databases; name the servers in [databases], or leave out --only databases")
        return having

    def _task(self, account: Account, order: Order, today: datetime) -> Task:
        level = order.level or self._level(account, today)
        if order.only == DATABASES:
            account = msgspec.structs.replace(account, locations=(), absent=())
        exports = self._exporter.of(account) if self._exporter and order.only != FILES else None
        # Where there are no database servers, files are all that there is.
        only = None if order.only == FILES and self._exporter is None else order.only
        return Task(account=account, level=level, exports=exports, only=only)

    def _chosen(self, names: Sequence[str]) -> list[Account]:
        if names:
            found = [self._layout.account(name) for name in names]
            return list({account.name: account for account in found}.values())
        server = self._layout.server()
        chosen = [*self._layout.accounts(), *([server] if server else [])]
        if not chosen:
            root = self._config.server.root.decode("utf-8", "surrogateescape")
            raise SourceError(f"no account below {root}; check server.layout and server.root in the configuration")
        return chosen

    def _level(self, account: Account, today: datetime) -> Level:
        last = self._catalog.last_full(Identity(server=self._server, account=account.name), self._client.name)
        since = datetime.fromisoformat(last.time) if last else None
        can = self._client.capabilities()
        level = scheduled_level(self._config.backup, today, since)
        if level is Level.FULL and not can.scheduled and since is not None and today - since <= FULL_AFTER:
            level = Level.INCREMENTAL
        if level not in can.levels:
            level = Level.INCREMENTAL if Level.INCREMENTAL in can.levels else Level.FULL
        return level

    def _refuse_level(self, level: Level | None) -> None:
        """Raise UsageError for a level that the client has no word for: it is never called by another's name."""
        can = self._client.capabilities()
        if level is not None and level not in can.levels:
            raise UsageError(
                f"client {self._client.name} ({can.driver}) has no {level} level; it has: {', '.join(can.levels)}"
            )

    def run(self, order: Order, monitor: Monitor) -> RunResult:
        """Back up. Raise BusyError when every account is being backed up by other runs, and what `tasks` raises.

        An error of the client ends the run: it is raised when there is no point yet, else the accounts that are left
        have it as their failure.
        """
        tasks, failures = _without_refused(self.tasks(order))
        started = self._clock()
        head = RunHead(
            id=f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}",
            started=_iso(started),
            server=self._server,
            workers=self._config.backup.workers,
            excludes=self._config.backup.exclude,
            substitute=SqliteFiles(),
        )
        points: list[Point] = []
        with Locks(self._config.server.state) as locks:
            ready, busy = self._locked(tasks, locks, monitor)
            failures += busy
            # Closed before the locks are let go, so that an interrupted client has stopped when the next may begin.
            with closing(self._outcomes(ready, head, monitor, points, failures)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Point):
                        points.append(outcome)
                        self._record(outcome, monitor)
                    else:
                        failures.append(outcome)
                    locks.release(self._key(outcome.account))
                    locks.release(outcome.account)
        return RunResult(
            run=head.id,
            status=_status(points, failures),
            started=head.started,
            finished=_iso(self._clock()),
            points=tuple(points),
            failures=tuple(failures),
        )

    def _record(self, point: Point, monitor: Monitor) -> None:
        """Tell the catalog. The point is durable already: a catalog that cannot take it is no reason to stop."""
        try:
            self._catalog.record(point)
        except ClientError as error:
            monitor.note(str(error))

    def _locked(self, tasks: list[Task], locks: Locks, monitor: Monitor) -> tuple[list[Task], list[Failure]]:
        """The tasks whose accounts are ours now, and a failure for each that another run backs up, or that is changed."""
        by_key = {self._key(task.account.name): task for task in tasks}

        def waiting(key: str) -> None:
            monitor.note(
                f"{by_key[key].account.name}: another run is backing it up; waiting up to {self._patience:.0f} seconds"
            )

        def changing(name: str) -> None:
            monitor.note(f"{name}: one of its web apps is being changed; waiting up to {self._patience:.0f} seconds")

        missed = set(locks.take(by_key, self._patience, waiting))
        free = [task.account.name for key, task in by_key.items() if key not in missed]
        changed = set(locks.take(free, self._patience, changing, shared=True))
        for name in changed:
            locks.release(self._key(name))
        why = {by_key[key].account.name: "another run is backing it up" for key in missed}
        why |= dict.fromkeys(changed, "one of its web apps is being changed")
        if len(why) == len(tasks):
            raise BusyError(
                "; ".join(f"{name}: {reason}" for name, reason in why.items()) + "; run again when that has ended"
            )
        busy = [
            Failure(account=name, message=f"{reason}; run again when that has ended") for name, reason in why.items()
        ]
        return [task for task in tasks if task.account.name not in why], busy

    def _outcomes(
        self, tasks: list[Task], head: RunHead, monitor: Monitor, points: list[Point], failures: list[Failure]
    ) -> Generator[Point | Failure, None, None]:
        """What the client yields; where it stops early, a failure for each account that is left."""
        reason = "the client ended without a word about it"
        try:
            yield from self._client.backup(tasks, head, monitor)
        except StrongroomError as error:
            if not points:
                raise
            reason = str(error)
        done = {point.account for point in points} | {failure.account for failure in failures}
        for task in tasks:
            if task.account.name not in done:
                yield Failure(account=task.account.name, message=reason)

    def _key(self, account: str) -> str:
        return f"{self._client.name}/{account}"


def _without_refused(tasks: list[Task]) -> tuple[list[Task], list[Failure]]:
    """The tasks that may be copied as files, and a failure for each that may not; raise SourceError when none may."""
    allowed: list[Task] = []
    refused: list[Failure] = []
    for task in tasks:
        try:
            for location in task.account.locations:
                refuse_database_folders(location)
            allowed.append(task)
        except SourceError as error:
            refused.append(Failure(account=task.account.name, message=str(error)))
    if not allowed:
        raise SourceError(refused[0].message)
    return allowed, refused


def scheduled_level(schedule: Backup, today: datetime, last_full: datetime | None) -> Level:
    """What ``--level auto`` means on a day, for an account whose last full reading was then (None: never)."""
    if last_full is None or today in schedule.full or today - last_full > FULL_AFTER:
        return Level.FULL
    return Level.DIFFERENTIAL if today in schedule.differential else Level.INCREMENTAL


def _status(points: Sequence[Point], failures: Sequence[Failure]) -> Status:
    if not points:
        return Status.FAILED
    whole = not failures and all(point.status is Status.COMPLETE for point in points)
    return Status.COMPLETE if whole else Status.INCOMPLETE


def _iso(moment: datetime) -> str:
    return times.iso(times.of(moment), 6)
