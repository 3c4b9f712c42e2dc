"""The embedded client: Strongroom's words on one side, the vault's on the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from strongroom import __version__
from strongroom.clients.base import Capabilities, Client, Failure, Monitor, RunHead, Task
from strongroom.clients.vault_feed import ExportFeed, counts_of, exported, iso, remarks, synchrony
from strongroom.clients.vault_state import state_folder
from strongroom.clients.workroom import Workroom
from strongroom.config import Config
from strongroom.counting import counted
from strongroom.errors import BusyError, ClientError, SourceError, UnknownError, of_system
from strongroom.model import (
    DATABASES,
    Account,
    Damage,
    Entry,
    Level,
    Location,
    Point,
    Pruned,
    ReadPlan,
    ReadStep,
    Remark,
    Status,
    Verification,
    text,
)
from strongroom.vault import errors as vault_errors
from strongroom.vault import vault as vaults
from strongroom.vault.folder import FolderStorage
from strongroom.vault.keys import CHEAP, DEAR
from strongroom.vault.series import Outcome, Request
from strongroom.vault.source import Source
from strongroom.vault.vault import Vault

if TYPE_CHECKING:
    from strongroom.clients.vault_entries import Tree
    from strongroom.vault.run import Progress

# What only some commands need is imported by them: a night's backup and the restore of one file wait for imports.
NAME = "vault"
# What a restore is expected to take: a file system makes so many entries, and the vault decodes so many bytes, in a second.
_ENTRIES_PER_SECOND = 15_000
_BYTES_PER_SECOND = 150_000_000
_LONGEST_PASSPHRASE = 4096


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn the vault's errors into ours."""
    try:
        yield
    except vault_errors.BusyError as error:
        raise BusyError(str(error)) from error
    except vault_errors.SourceError as error:
        raise SourceError(str(error)) from error
    except vault_errors.VaultError as error:
        raise ClientError(str(error)) from error


class VaultClient:
    """The port `clients.base.Client` over one vault."""

    name = NAME

    def __init__(self, vault: Vault, room: Workroom, state: object = None) -> None:
        """``room`` is for what is carried here; ``state`` is kept for as long as the vault is in use."""
        self._vault, self._room = vault, room
        self._state = state
        self._trees: dict[str, Tree] = {}

    @classmethod
    def open(cls, config: Config) -> VaultClient:
        """The configured vault. Raise ClientError when it is absent, or its passphrase file cannot be read."""
        storage = storage_of(config)
        folder, once = state_folder(config)
        with told():
            try:
                return cls(Vault(storage, folder, passphrase_of(config)), Workroom(os.fsencode(folder)), once)
            except vault_errors.AbsentError as error:
                where = config.vault.url
                raise ClientError(f"no vault at {where}: mount its disk, or make one with: strongroom init") from error

    @classmethod
    def create(cls, config: Config) -> bool:
        """Make the configured vault, and the passphrase file where there is none; say whether that was made.

        Raise ClientError when there is a vault already.
        """
        storage = storage_of(config)
        with told():
            if vaults.exists(storage):
                raise ClientError(f"there is a vault at {config.vault.url} already; it is left as it is")
            made = _make_passphrase(config.vault.passphrase_file)
            vaults.create(storage, passphrase_of(config), dedup=config.vault.dedup, cost=CHEAP if made else DEAR)
        return made

    def capabilities(self) -> Capabilities:
        """See the port."""
        return Capabilities(driver=NAME, version=__version__, levels=tuple(Level), divisible=True)

    def close(self) -> None:
        """See the port: nothing is held that does not close itself."""

    # --- backing up -----------------------------------------------------------------------------------------------

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        """See the port: all accounts at once, over as many processes as the run says."""
        if os.geteuid() != 0:
            monitor.note(
                "not running as root: files of others may be unreadable, and security.* attributes are not kept"
            )
        ready = []
        for task in tasks:
            if task.account.locations or task.exports:
                ready.append(task)
            else:
                yield Failure(account=task.account.name, message="none of its folders is there; nothing was backed up")
        if not ready:
            return
        by_series = {_series(run, task.account): task for task in ready}

        def progress(done: Progress) -> None:
            names = ", ".join(by_series[series].account.name for series in done.series)
            monitor.progress(accounts=names, done=counts_of(done.counts), expected_entries=done.expected)

        def describe(outcome: Outcome) -> bytes:
            return msgspec.msgpack.encode(_point(outcome, by_series[outcome.request.series], run))

        with told():
            outcomes = self._vault.backup(
                [_request(task, run) for task in ready],
                workers=run.workers or os.cpu_count() or 1,
                describe=describe,
                progress=progress,
            )
            for outcome in outcomes:
                task = by_series[outcome.request.series]
                if isinstance(outcome, Outcome):
                    yield _point(outcome, task, run)
                else:
                    yield Failure(account=task.account.name, message=outcome.message)

    # --- points ---------------------------------------------------------------------------------------------------

    def unlock(self) -> None:
        """See the port."""
        with told():
            self._vault.unlock()

    def points(self) -> list[Point]:
        """See the port."""
        return self.load(self.ids())

    def ids(self) -> set[str]:
        """See the port."""
        with told():
            return self._vault.ids()

    def load(self, ids: Iterable[str]) -> list[Point]:
        """See the port. A snapshot that cannot be read is left out; `verify` tells of it."""
        points = []
        with told():
            for id in ids:
                with contextlib.suppress(vault_errors.AbsentError, vault_errors.DamagedError, msgspec.MsgspecError):
                    detail = self._vault.reader.snapshot(id).detail
                    points.append(msgspec.msgpack.decode(detail, type=Point))
        return points

    def _tree(self, point: Point) -> Tree:
        from strongroom.clients.vault_entries import Tree

        tree = self._trees.get(point.id)
        if tree is None:
            try:
                tree = self._trees[point.id] = Tree(self._vault.reader, self._vault.snapshot(point.id))
            except vault_errors.AbsentError as error:
                raise UnknownError(f"point {point.id} is not in the vault any more") from error
        return tree

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        """See the port."""
        with told():
            return self._tree(point).lookup(path)

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        """See the port."""
        with told():
            return self._tree(point).ls(path)

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """See the port."""
        with told():
            yield from self._tree(point).walk(paths)

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port."""
        from strongroom.clients.vault_entries import StoredContent

        rows = [entry.content.row for entry in entries if isinstance(entry.content, StoredContent)]
        if len(rows) != len(entries):
            raise ClientError("content was asked of something that is no file of the vault")
        with told():
            yield from self._vault.reader.contents(rows)

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port: a snapshot stands alone, so one run is read, whatever lies between."""
        frames: dict[tuple[bytes, int], int] = {}
        entries = 0
        with told():
            reader = self._vault.reader
            tree = self._tree(point)
            for row in tree.rows(paths or [b""]):
                entries += 1
                for piece in reader.pieces([row]):
                    for place in reader.places(piece.id):
                        frames[place.pack.id, place.offset] = place.size
        read = sum(frames.values())
        packs = len({pack for pack, _ in frames})
        what = f"{counted(len(frames), 'frame')} of {counted(packs, 'pack')}"
        step = ReadStep(run=point.run, level=point.level, what=what, bytes=read)
        seconds = entries / _ENTRIES_PER_SECOND + read / _BYTES_PER_SECOND
        return ReadPlan(reads=(step,), bytes=read, seconds=round(seconds, 1))

    # --- copies ---------------------------------------------------------------------------------------------------

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """See the port."""
        from strongroom.clients.vault_carry import carry

        if source is self:
            return point
        with told():
            return carry(self._vault, self._room, point, source, NAME, monitor)

    # --- care -----------------------------------------------------------------------------------------------------

    def forget(self, ids: Sequence[str]) -> None:
        """See the port."""
        from strongroom.vault import sweep

        with told():
            sweep.forget(self._vault, ids)

    def prune(self, *, dry_run: bool) -> Pruned:
        """See the port."""
        from strongroom.vault import sweep

        with told():
            swept = sweep.prune(self._vault, dry_run=dry_run)
        return Pruned(freed_bytes=swept.freed, held_bytes=swept.held, objects=swept.objects)

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        """See the port."""
        from strongroom.vault import verify

        with told():
            found = verify.verify(self._vault, read_data=read_data, repair=repair, monitor=monitor)
        damage = tuple(
            Damage(object=item.object, message=item.message, points=item.snapshots, paths=item.paths)
            for item in found.damage
        )
        return Verification(objects=found.objects, bytes_read=found.bytes_read, damage=damage)


def storage_of(config: Config) -> FolderStorage:
    """Where the configured vault lies. Raise ClientError."""
    folder = config.vault.folder
    if folder is None:
        raise ClientError(f"vault.url {config.vault.url!r}: only folders are built yet; give an absolute path")
    return FolderStorage(os.fsdecode(folder))


def passphrase_of(config: Config) -> bytes:
    """The configured vault's passphrase. Raise ClientError."""
    path = config.vault.passphrase_file
    try:
        with open(path, "rb") as file:
            passphrase = file.read(_LONGEST_PASSPHRASE).strip(b"\r\n")
    except OSError as error:
        raise ClientError(f"cannot read the vault's passphrase: {of_system(error)}") from error
    if not passphrase:
        raise ClientError(f"the passphrase file {os.fsdecode(path)} is empty; write the vault's passphrase into it")
    return passphrase


def _make_passphrase(path: bytes) -> bool:
    """Write a new passphrase of 256 bits where there is none."""
    if os.path.exists(path):
        return False
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(32).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ClientError(f"cannot write the passphrase file: {of_system(error)}") from error
    return True


def _series(run: RunHead, account: Account) -> str:
    return f"{run.server}/{account.name}"


def _request(task: Task, run: RunHead) -> Request:
    sources = tuple(_source(location, run.excludes) for location in task.account.locations)
    feed = ExportFeed(task.exports) if task.exports else None
    # What belongs to root is nobody else's in the server's own pseudo-account, which no tenant can write to.
    owners = task.account.users or frozenset({0})
    return Request(
        series=_series(run, task.account), level=task.level.value, sources=sources, owners=owners, feed=feed,
        substitute=run.substitute,
    )  # fmt: skip


def _source(location: Location, excludes: tuple[str, ...]) -> Source:
    patterns = tuple(os.fsdecode(exclusion.pattern) for exclusion in location.exclude)
    return Source(name=location.tree, path=location.path, exclude=patterns + excludes, select=location.select)


def _point(outcome: Outcome, task: Task, run: RunHead) -> Point:
    account, told = task.account, exported(outcome)
    started, finished = iso(outcome.started), iso(outcome.finished)
    lost = list(_lost(account)) if task.only != DATABASES else []
    return Point(
        id=outcome.id,
        account=account.name,
        time=started,
        level=Level(outcome.level),
        client=NAME,
        status=Status.COMPLETE if outcome.complete and not told.incomplete and not lost else Status.INCOMPLETE,
        run=run.id,
        seq=outcome.seq,
        domains=account.domains,
        server=run.server,
        parent=outcome.parent,
        started=started,
        finished=finished,
        files=counts_of(outcome.counts),
        entries=outcome.counts.entries,
        bytes=outcome.counts.size,
        stored_bytes=outcome.stored,
        databases=told.databases,
        synchrony=synchrony(outcome, told),
        warnings=(*lost, *remarks(outcome, told)),
        only=task.only,
    )


def _lost(account: Account) -> Iterator[Remark]:
    """What is to be said of trees that an account should have and has not."""
    for tree, path in account.absent:
        yield Remark(path=tree.encode(), message=f"there is no folder {text(path)}: nothing of it was backed up")
