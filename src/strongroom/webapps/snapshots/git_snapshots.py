"""Snapshots with git: the way in. See `strongroom.webapps.base.Snapshots`."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from strongroom.clients.base import Monitor
from strongroom.errors import SnapshotError, StrongroomError, UsageError
from strongroom.exports.base import DatabaseServer
from strongroom.model import DATABASES, FILES, Account, Entry
from strongroom.restores.remarks import Remarks
from strongroom.runs.locks import Changes
from strongroom.webapps.base import App, Change, RolledBack, Snapshot
from strongroom.webapps.snapshots import comparing
from strongroom.webapps.snapshots.databases import AppDatabases, NotExportedError
from strongroom.webapps.snapshots.facts import Sealer
from strongroom.webapps.snapshots.git import Git
from strongroom.webapps.snapshots.history import LATEST, History
from strongroom.webapps.snapshots.journal import Begun, Journal
from strongroom.webapps.snapshots.objects import Reader, blob_id
from strongroom.webapps.snapshots.picture import entries_of, of_now
from strongroom.webapps.snapshots.place import Place, open_place
from strongroom.webapps.snapshots.repository import Repository, State
from strongroom.webapps.snapshots.rollback import Rollback, among_others, clear_staging, patterns_since
from strongroom.webapps.snapshots.stored import load
from strongroom.webapps.snapshots.taking import Taken, take
from strongroom.webapps.states import States

FIRST = "Initial install"
# What git says where nothing more can be written.
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "Out of diskspace")


class _Opened:
    """One app with its repository open, and git ready to work on it."""

    def __init__(self, account: Account, app: App, place: Place, repository: Repository, git: Git) -> None:
        self.account, self.app, self.place, self.repository, self.git = account, app, place, repository, git


class GitSnapshots:
    """The snapshots of this server's apps."""

    def __init__(
        self,
        state: bytes,
        accounts: Sequence[Account],
        servers: Sequence[DatabaseServer],
        monitor: Monitor,
        changes: Changes,
        keep: int,
        needed: Callable[[App], Collection[str]],
    ) -> None:
        """``state`` is the state folder; ``accounts`` are all of this server's: whose a database is depends on the others.

        An account is changed as ``changes`` allows. ``keep`` is how many snapshots of an app stay (0: all), besides those
        that are ``needed``.
        """
        self._accounts = {account.name: account for account in accounts}
        self._bases = AppDatabases(accounts, servers)
        self._states = States(state)
        self._journal = Journal(state)
        self._sealer = Sealer(state)
        self._monitor = monitor
        self._changes, self._keep, self._needed = changes, keep, needed

    def enable(self, app: App) -> Snapshot:
        """Make the repository, and the first snapshot."""
        account = self._accounts[app.account]
        with self._alone(app), open_place(account, app) as place:
            repository = Repository(place)
            try:
                repository.sweep()
                if repository.state is State.FOREIGN:
                    raise SnapshotError(
                        f"{app.app} has a repository of its owner's, which stays as it is; move its .git away"
                    )
                if repository.state is State.OURS and repository.tip is not None:
                    raise SnapshotError(f"{app.app} has snapshots already; see: strongroom apps snapshots {app.app}")
                if repository.state is State.NONE:
                    repository.create([*app.caches, *app.uploads])
                try:
                    with Git(repository.open(), place.user) as git:
                        taken = self._take(_Opened(account, app, place, repository, git), FIRST)
                except (StrongroomError, OSError):
                    # Nothing is in it.
                    repository.remove()
                    raise
            finally:
                repository.close()
        self._states.change(app, kind=app.kind, assurance=True)
        return taken.snapshot

    def disable(self, app: App) -> None:
        """Remove the repository with all snapshots."""
        account = self._accounts[app.account]
        with self._alone(app), open_place(account, app) as place:
            repository = Repository(place)
            if repository.state is State.FOREIGN:
                raise SnapshotError(f"{app.app}: its .git is not of Strongroom's making, and stays")
            if repository.state is State.OURS:
                repository.remove()
            self._journal.end(app.app)
        self._states.change(app, kind="")

    def take(self, app: App, label: str) -> Snapshot:
        """Keep files and database as they are now; the oldest snapshots go, where there are more than are to be kept."""
        with self._opened(app) as opened:
            taken = self._take(opened, label).snapshot
            self._drop(opened)
            return taken

    def list(self, app: App) -> list[Snapshot]:
        """All of them, newest first."""
        with self._read(app) as (_, history):
            return [stored.snapshot for stored in history.walk()]

    def find(self, app: App, reference: str = LATEST) -> Snapshot:
        """The one that is meant."""
        with self._read(app) as (_, history):
            return history.find(reference).snapshot

    def holds(self, app: App, reference: str) -> bool:
        """Whether a snapshot is there with all that belongs to it; so it is while a rollback waits for its end."""
        if self._journal.unfinished(app.app) is not None:
            return True
        try:
            with self._read(app) as (_, history):
                return history.is_whole(history.find(reference))
        except StrongroomError:
            return False

    def diff(self, app: App, one: str, other: str | None = None) -> Sequence[Change]:
        """What changed from one snapshot to another, or to now."""
        with self._read(app) as (opened, history):
            first = history.find(one)
            if other is not None:
                return comparing.snapshots(app, first, history.find(other))
            remarks = Remarks()
            target = self._bases.target(app, remarks)
            patterns = patterns_since(first, among_others(app, first))
            with self._bases.opened([target] if target else []) as exports:
                entries = entries_of(opened.account, app, patterns, blob_id, remarks)
                manifests = comparing.drawn(exports)
            return comparing.live(app, first, entries, manifests)

    def rollback(self, app: App, reference: str = LATEST, *, only: str | None = None) -> RolledBack:
        """Put files and database back as a snapshot has them."""
        if only not in (None, FILES, DATABASES):
            raise UsageError(f"--only {only}: it is {FILES} or {DATABASES}")
        with self._opened(app) as opened, Reader(opened.git) as reader:
            stored = self._history(opened, reader).find(reference)
            opened.app = app = among_others(app, stored)
            way = Rollback(opened.account, app, opened.place.user, stored, self._bases, only)
            kept = self._kept(opened, f"Before rollback to {stored.commit.id[:12]}")
            there = kept.entries if kept else self._there(opened)
            way.check(there)
            begun = Begun(
                app=app.app,
                snapshot=stored.commit.id,
                before=kept.snapshot.id if kept else "",
                restore=secrets.token_hex(6),
                only=only,
            )
            before = load(reader.commit(begun.before), app, reader, self._sealer) if kept else None
            self._journal.begin(begun)
            try:
                back = way.run(there, before, begun.restore, self._monitor, full=kept is None)
            except (StrongroomError, OSError) as error:
                self._undo(opened, reader, begun, error)
                as_it_was = kept is not None and set(stored.snapshot.databases) <= set(kept.snapshot.databases)
                rest = (
                    "all is as it was before"
                    if as_it_was
                    else "all but its database, which could not be kept, is as before"
                )
                raise SnapshotError(f"{app.app} was not rolled back: {error}; {rest}") from error
            self._journal.end(app.app)
            self._drop(opened)
            return back.told(begun)

    @contextmanager
    def _alone(self, app: App) -> Iterator[None]:
        """Change an app and its repository while no other command does, and no backup reads them."""
        with self._changes.of(app.account), self._journal.alone(app.app):
            yield

    @contextmanager
    def _opened(self, app: App) -> Iterator[_Opened]:
        """An app's repository, alone, with what was left half done brought to its end."""
        with self._alone(app), self._repository(app) as opened:
            opened.repository.sweep()
            self._resume(opened)
            yield opened

    @contextmanager
    def _read(self, app: App) -> Iterator[tuple[_Opened, History]]:
        """An app's snapshots, to be read: beside others who do, once nothing is half done."""
        way = self._repository if self._journal.unfinished(app.app) is None else self._opened
        with way(app) as opened, Reader(opened.git) as reader:
            yield opened, self._history(opened, reader)

    @contextmanager
    def _repository(self, app: App) -> Iterator[_Opened]:
        account = self._accounts[app.account]
        with open_place(account, app) as place:
            repository = Repository(place)
            if repository.state is not State.OURS or repository.tip is None:
                raise SnapshotError(f"{app.app} has no snapshots; begin with: strongroom apps enable {app.app}")
            try:
                with Git(repository.open(), place.user) as git:
                    yield _Opened(account, app, place, repository, git)
            finally:
                repository.close()

    def _history(self, opened: _Opened, reader: Reader) -> History:
        return History(opened.app, opened.repository, opened.git, reader, self._sealer)

    def _drop(self, opened: _Opened) -> None:
        """Let no more snapshots be there than are to be kept. One too many is no reason to fail."""
        try:
            with Reader(opened.git) as reader:
                self._history(opened, reader).drop(self._keep, self._needed(opened.app))
        except SnapshotError as error:
            self._monitor.note(f"{opened.app.app}: the room of older snapshots is not freed: {error}")

    def _take(self, opened: _Opened, label: str, without: str = "", *, safety: bool = False) -> Taken:
        line = " ".join(label.split())
        app, repository, git = opened.app, opened.repository, opened.git
        return take(opened.account, app, repository, git, self._bases, self._sealer, line, without, safety=safety)

    def _kept(self, opened: _Opened, label: str) -> Taken | None:
        """A snapshot of what is there; None where there is no room for one, which may be what a rollback is for.

        So may a database that cannot be exported any more: then it is left out.
        """
        try:
            try:
                return self._take(opened, label, safety=True)
            except NotExportedError as error:
                self._monitor.note(f"{opened.app.app}: its database is rolled back without being kept: {error}")
                return self._take(opened, label, str(error), safety=True)
        except SnapshotError as error:
            if not any(full in str(error) for full in _FULL):
                raise
            self._monitor.note(f"{opened.app.app}: no room to keep what is there now; it is rolled back without")
            opened.repository.sweep()
            return None

    def _there(self, opened: _Opened) -> Sequence[Entry]:
        """What stands in the app's folder, without keeping it."""
        return entries_of(opened.account, opened.app, of_now(opened.app), blob_id, Remarks())

    def _resume(self, opened: _Opened) -> None:
        """End a rollback that was killed: all that it needs was checked before it began."""
        begun = self._journal.unfinished(opened.app.app)
        if begun is None:
            return
        self._monitor.note(
            f"{begun.app}: a rollback to {begun.snapshot[:12]} was cut short; it is brought to its end first"
        )
        with Reader(opened.git) as reader:
            self._to(opened, reader, begun.snapshot, begun)
        self._journal.end(begun.app)

    def _undo(self, opened: _Opened, reader: Reader, begun: Begun, error: Exception) -> None:
        """Put back what a rollback that failed has changed; whoever comes next goes on with that."""
        if not begun.before:
            raise SnapshotError(
                f"{begun.app} is only half rolled back: {error}; once that is mended, the next command for this app goes on"
            ) from error
        begun = msgspec.structs.replace(begun, snapshot=begun.before)
        self._journal.begin(begun)
        try:
            self._to(opened, reader, begun.before, begun)
        except (StrongroomError, OSError) as second:
            raise SnapshotError(
                f"{begun.app} was not rolled back: {error}; what it was before could not be put back either ({second}): "
                f"once that is mended, the next command for this app goes on with it; all is kept in {begun.before[:12]}"
            ) from second
        self._journal.end(begun.app)

    def _to(self, opened: _Opened, reader: Reader, commit: str, begun: Begun) -> None:
        """Make the app what a snapshot has, whatever stands there now."""
        clear_staging(opened.account, begun.restore)
        stored = load(reader.commit(commit), opened.app, reader, self._sealer)
        if stored is None:
            raise SnapshotError(
                f"{begun.app}: {commit[:12]}, which it was to be rolled back to, is no snapshot any more"
            )
        opened.app = among_others(opened.app, stored)
        way = Rollback(opened.account, opened.app, opened.place.user, stored, self._bases, begun.only)
        there = self._there(opened)
        way.check(there)
        way.run(there, None, begun.restore, self._monitor, full=not begun.before)
