"""A storage that can lose power: what was not synced vanishes, comes back or tears.

A `Disk` is what lies there; each process has an `UnsafeStorage` of its own over it. The disk keeps a log of all that was
asked of it, so that one run, recorded once, can be cut after each of its operations: `Disk.after_kill` is the disk then,
`Disk.surviving` what a machine may find on it when it starts again. It is the weakest disk that the port allows: a barrier
makes durable what its own process put and deleted, and what that process distrusts, and nothing else.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
from collections.abc import Callable, Iterator
from typing import NamedTuple

from strongroom.vault.errors import AbsentError, StorageError
from strongroom.vault.folder import FolderSpool
from strongroom.vault.storage import Listed, Spool

# Beyond so many unsynced changes, subsets are drawn by seed instead of all being tried.
MOST_TRIED = 6


class Done(NamedTuple):
    """One operation in the log. ``data`` of a put; ``names``: the prefixes that a barrier covers besides its own."""

    what: str
    name: str
    process: int
    data: bytes = b""
    names: tuple[str, ...] = ()


class Change(NamedTuple):
    """A put or a deletion that is not durable yet."""

    name: str
    data: bytes | None
    process: int


class Disk:
    """Objects, which of them are durable, and the log."""

    def __init__(self, folder: str, objects: dict[str, bytes] | None = None) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self._first = dict(objects or {})
        self.durable = dict(self._first)
        self.objects = dict(self.durable)
        self.pending: list[Change] = []
        self.log: list[Done] = []
        self.held: dict[str, int] = {}
        self.fail: Callable[[Done], bool] = lambda done: False
        self.watch: Callable[[Done], None] = lambda done: None
        self._processes = itertools.count(1)
        self._clock = itertools.count(1_700_000_000)
        self._received: dict[str, float] = {}

    def process(self) -> UnsafeStorage:
        """The storage as a new process sees it."""
        return UnsafeStorage(self, next(self._processes))

    def now(self) -> float:
        return float(next(self._clock))

    def received(self, name: str) -> float:
        return self._received.get(name, 0.0)

    def do(self, done: Done) -> None:
        """Perform and log one operation."""
        self.watch(done)
        if self.fail(done):
            raise StorageError(f"cannot {done.what} {done.name}: Input/output error; check the disk")
        self.log.append(done)
        if done.what == "put":
            self._received.setdefault(done.name, self.now())
        _apply(done, self.objects, self.pending, self.durable)

    def kill(self, *processes: UnsafeStorage) -> None:
        """These processes end at once; the machine goes on, so that what they wrote is there, durable or not."""
        numbers = {storage.number for storage in processes}
        self.held = {name: number for name, number in self.held.items() if number not in numbers}

    def after_kill(self, operations: int) -> Disk:
        """The disk as it was after so many operations of the log, every process gone."""
        made = Disk(self.folder, self._first)
        for done in self.log[:operations]:
            made.log.append(done)
            _apply(done, made.objects, made.pending, made.durable)
        made._processes = itertools.count(1000)
        return made

    def begin(self) -> None:
        """Forget the log: what is there now is durable, and recording starts here."""
        self.durable = dict(self.objects)
        self.pending.clear()
        self.log.clear()
        self._first = dict(self.objects)

    def surviving(self, *, seed: int = 0) -> Iterator[dict[str, bytes]]:
        """What may be there after a power loss now: every subset of what is not durable, or some by seed."""
        changes = self.pending
        if len(changes) <= MOST_TRIED:
            kept: Iterator[tuple[bool, ...]] = itertools.product((False, True), repeat=len(changes))
        else:
            chance = random.Random(seed)
            kept = (tuple(chance.random() < share for _ in changes) for share in (0.0, 1.0, 0.5, 0.5, 0.2, 0.8))
        seen: set[frozenset[str]] = set()
        for choice in kept:
            objects = dict(self.durable)
            for change, stays in zip(changes, choice, strict=True):
                if stays:
                    _change(objects, change)
            if frozenset(objects) not in seen:
                seen.add(frozenset(objects))
                yield objects

    def torn(self, seed: int) -> tuple[dict[str, bytes], set[str]]:
        """What a weaker storage may leave: each unsynced object is whole, gone or cut short; and the names of the cut."""
        chance = random.Random(seed)
        objects, cut = dict(self.durable), set()
        for change in self.pending:
            fate = chance.choice(("whole", "gone", "cut", "cut"))
            if change.data is not None and fate == "cut":
                objects[change.name] = change.data[: chance.randrange(len(change.data))]
                cut.add(change.name)
            elif fate != "gone":
                _change(objects, change)
        return objects, cut

    def started_again(self, objects: dict[str, bytes]) -> Disk:
        """The machine after a power loss that left these."""
        return Disk(self.folder, objects)


def _apply(done: Done, objects: dict[str, bytes], pending: list[Change], durable: dict[str, bytes]) -> None:
    if done.what in ("put", "delete"):
        change = Change(done.name, done.data if done.what == "put" else None, done.process)
        _change(objects, change)
        pending.append(change)
    elif done.what == "barrier":
        covered = [
            item for item in pending if item.process == done.process or item.name.startswith(done.names or ("\0",))
        ]
        for change in covered:
            pending.remove(change)
            _change(durable, change)


def _change(objects: dict[str, bytes], change: Change) -> None:
    if change.data is None:
        objects.pop(change.name, None)
    else:
        objects[change.name] = change.data


class UnsafeHold:
    """A session: alive until its process is killed or lets go."""

    def __init__(self, storage: UnsafeStorage, name: str) -> None:
        self._storage, self._name = storage, name

    def release(self) -> None:
        self._storage.disk.held.pop(self._name, None)
        self._storage.delete(self._name)

    def abandon(self) -> None:
        pass


class UnsafeStorage:
    """The storage port over a `Disk`, for one process and the workers that it forks."""

    def __init__(self, disk: Disk, number: int) -> None:
        self.disk, self.number = disk, number
        self._distrusted: set[str] = set()

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            data = self.disk.objects[name]
        except KeyError as error:
            raise AbsentError(f"{name} is not in the vault") from error
        self.disk.watch(Done("get", name, self.number))
        return data[offset:] if length is None else data[offset : offset + length]

    def put(self, name: str, source: bytes | Spool) -> None:
        if isinstance(source, bytes):
            data = source
        else:
            with open(source.path, "rb") as file:
                data = file.read()
            source.discard()
        self.disk.do(Done("put", name, self.number, data))

    def put_if_absent(self, name: str, data: bytes) -> bool:
        if name in self.disk.objects:
            return False
        self.put(name, data)
        return True

    def barrier(self) -> None:
        self.disk.do(Done("barrier", "", self.number, names=tuple(sorted(self._distrusted))))
        self._distrusted.clear()

    def distrust(self, prefix: str) -> None:
        self._distrusted.add(prefix)

    def list(self, prefix: str) -> list[Listed]:
        self.disk.watch(Done("list", prefix, self.number))
        found = [(name, data) for name, data in self.disk.objects.items() if name.startswith(prefix)]
        return [Listed(name, len(data), self.disk.received(name)) for name, data in found]

    def delete(self, name: str) -> None:
        if name in self.disk.objects:
            self.disk.do(Done("delete", name, self.number))

    def now(self) -> float:
        return self.disk.now()

    def spool(self, path: str | None = None) -> Spool:
        if path is not None:
            return FolderSpool(path, create=False)
        return FolderSpool(f"{self.disk.folder}/{secrets.token_hex(12)}", create=True)

    def hold(self, name: str, data: bytes) -> UnsafeHold:
        if name in self.disk.objects:
            raise FileExistsError(name)
        self.disk.held[name] = self.number
        self.put(name, data)
        return UnsafeHold(self, name)

    def alive(self, name: str) -> bool:
        return name in self.disk.held

    def sweep_spools(self) -> int:
        return 0
