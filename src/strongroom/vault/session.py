"""Sessions, tombstones and records: how writers and the sweeper keep out of each other's way.

A writer puts its session first and lists tombstones after; a sweeper puts tombstones first and lists sessions after. Either
the writer sees the tombstone, and treats what it covers as absent, or the sweeper sees the session, and waits. The order of
operations, and why it suffices, stands in docs/invariants.md (I6 to I9).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

import msgspec

from strongroom.vault import envelope
from strongroom.vault.errors import AbsentError, BusyError, DamagedError, StorageError
from strongroom.vault.keys import Keys
from strongroom.vault.storage import Hold, Storage

SESSIONS = "sessions/"
TOMBSTONES = "tombstones/"
RECORDS = "records/"
SWEEPER = "sessions/sweeper-"


class Session:
    """An open writer's place in the vault."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.name = SESSIONS + os.urandom(12).hex()
        self.started = storage.now()
        note = msgspec.msgpack.encode({"host": os.uname().nodename, "pid": os.getpid(), "started": self.started})
        self._hold: Hold = storage.hold(self.name, note)

    def insist(self) -> None:
        """Raise StorageError unless the session is still there: without it, what it relies on may have been swept."""
        if not any(item.name == self.name for item in self._storage.list(SESSIONS)):
            raise StorageError("the vault lost this run's session; run the backup again")

    def sweep_leftovers(self) -> None:
        """Remove what killed runs left: their sessions, and what they had in the making."""
        _alive(self._storage)
        self._storage.sweep_spools()

    def abandon(self) -> None:
        """In a child process: let go without ending it."""
        self._hold.abandon()

    def close(self) -> None:
        """End the session, and with it what it had in the making."""
        self._hold.release()
        with contextlib.suppress(StorageError):
            self._storage.sweep_spools()


def writers(storage: Storage) -> list[str]:
    """The sessions of writers that are open; dead ones are removed on the way."""
    return [name for name in _alive(storage) if not name.startswith(SWEEPER)]


def _alive(storage: Storage) -> list[str]:
    alive = []
    for item in storage.list(SESSIONS):
        if storage.alive(item.name):
            alive.append(item.name)
        else:
            storage.delete(item.name)
    return alive


@contextlib.contextmanager
def only_sweeper(storage: Storage) -> Iterator[None]:
    """Be the only sweeper, or raise BusyError.

    Each puts a session of its own and lists after: of two, one sees the other, or both do, and then both give way. A name
    is used once, so that a dead sweeper's session can be deleted without harm to one that lives.
    """
    own = SWEEPER + os.urandom(12).hex()
    hold = storage.hold(own, b"")
    try:
        if any(name.startswith(SWEEPER) and name != own for name in _alive(storage)):
            raise BusyError("another prune is at work on this vault; wait for its end")
        yield
    finally:
        hold.release()


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to go: packs by id, snapshots by id."""

    packs: list[bytes] = []
    snapshots: list[str] = []


def put_tombstone(storage: Storage, keys: Keys, stone: Tombstone) -> str:
    """Put one, durably; returns its name."""
    name = TOMBSTONES + os.urandom(12).hex()
    plain = msgspec.msgpack.encode(stone)
    storage.put(name, envelope.close(envelope.Kind.TOMBSTONE, keys.meta, keys.vault_id, name, plain))
    storage.barrier()
    return name


def tombstones(storage: Storage, keys: Keys) -> dict[str, Tombstone]:
    """All tombstones by name."""
    found = {}
    for item in storage.list(TOMBSTONES):
        try:
            sealed = storage.get(item.name)
        except AbsentError:
            continue  # a sweeper finished between listing and reading
        plain = envelope.open_(envelope.Kind.TOMBSTONE, keys.meta, keys.vault_id, item.name, sealed)
        found[item.name] = msgspec.msgpack.decode(plain, type=Tombstone)
    return found


def buried(stones: Iterable[Tombstone]) -> tuple[frozenset[bytes], frozenset[str]]:
    """The packs and the snapshots that tombstones cover."""
    stones = list(stones)
    return (
        frozenset(pack for stone in stones for pack in stone.packs),
        frozenset(snapshot for stone in stones for snapshot in stone.snapshots),
    )


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """Chunks that a check could not read back, and the directory records that need them."""

    chunks: list[bytes]
    records: list[bytes]


class Pin(msgspec.Struct, frozen=True, kw_only=True, tag="pin"):
    """A snapshot that retention must not take."""

    snapshot: str
    note: str = ""


def put_record(storage: Storage, keys: Keys, value: Lost | Pin) -> str:
    """Append one record, durably; returns its name. The kind stands in the name, so that a listing tells what there is."""
    kind = "lost" if isinstance(value, Lost) else "pin"
    name = f"{RECORDS}{kind}-{os.urandom(12).hex()}"
    plain = msgspec.msgpack.encode(value)
    storage.put(name, envelope.close(envelope.Kind.RECORD, keys.meta, keys.vault_id, name, plain))
    storage.barrier()
    return name


def records(storage: Storage, keys: Keys) -> dict[str, Lost | Pin]:
    """All records of kinds that this program knows; others are kept and left alone."""
    found: dict[str, Lost | Pin] = {}
    for item in storage.list(RECORDS):
        plain = envelope.open_(envelope.Kind.RECORD, keys.meta, keys.vault_id, item.name, storage.get(item.name))
        if not item.name.removeprefix(RECORDS).startswith(("lost-", "pin-")):
            continue
        try:
            found[item.name] = msgspec.msgpack.decode(plain, type=Lost | Pin)
        except msgspec.MsgspecError as error:
            raise DamagedError(f"{item.name} is damaged: it does not decode") from error
    return found


def lost(storage: Storage, keys: Keys) -> Lost:
    """Everything known to be lost, in one."""
    known = [value for value in records(storage, keys).values() if isinstance(value, Lost)]
    return Lost(
        chunks=[chunk for value in known for chunk in value.chunks],
        records=[record for value in known for record in value.records],
    )
