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
from strongroom.vault.index import Index
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


def sweepers(storage: Storage) -> list[str]:
    """The sessions of sweepers that are at work; dead ones are removed on the way."""
    return [name for name in _alive(storage) if name.startswith(SWEEPER)]


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
        if any(name != own for name in sweepers(storage)):
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


def tombstones(storage: Storage, keys: Keys) -> dict[str, Tombstone | None]:
    """All tombstones by name; None for one that cannot be read: what it covers, nobody knows."""
    found: dict[str, Tombstone | None] = {}
    for item in storage.list(TOMBSTONES):
        try:
            sealed = storage.get(item.name)
        except AbsentError:
            continue  # a sweeper finished between listing and reading
        try:
            plain = envelope.open_(envelope.Kind.TOMBSTONE, keys.meta, keys.vault_id, item.name, sealed)
            found[item.name] = msgspec.msgpack.decode(plain, type=Tombstone)
        except (DamagedError, msgspec.MsgspecError):
            found[item.name] = None
    return found


def buried(stones: Iterable[Tombstone | None]) -> tuple[frozenset[bytes], frozenset[str]]:
    """The packs and the snapshots that tombstones cover.

    One that cannot be read covers nothing: a forgotten snapshot comes back into sight, and is whole, since a sweeper deletes
    snapshots before packs. Writers must be sure of more; see `writable_tombstones`.
    """
    read = [stone for stone in stones if stone is not None]
    return (
        frozenset(pack for stone in read for pack in stone.packs),
        frozenset(snapshot for stone in read for snapshot in stone.snapshots),
    )


def writable_tombstones(storage: Storage, keys: Keys) -> Iterable[Tombstone]:
    """All tombstones, for a writer whose session is open.

    Raise DamagedError for one that cannot be read while its sweeper may still be at work: the packs that it covers are about
    to go. A sweeper that begins now sees the session, and one that died deletes nothing any more.
    """
    stones = tombstones(storage, keys)
    unread = [name for name, stone in stones.items() if stone is None]
    if unread and sweepers(storage):
        raise DamagedError(f"{unread[0]} is damaged while a prune is at work; run the backup again after its end")
    return [stone for stone in stones.values() if stone is not None]


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """Chunks that a check could not read back, and the directory records that need them.

    ``packs`` says of each chunk in which pack it is lost (nothing: in none that the index knows), so that one that was stored
    again elsewhere is lost no more.
    """

    chunks: list[bytes]
    packs: list[bytes]
    records: list[bytes]


class Pin(msgspec.Struct, frozen=True, kw_only=True, tag="pin"):
    """A snapshot that retention must not take."""

    snapshot: str
    note: str = ""


class Foreign(msgspec.Struct, frozen=True, kw_only=True, tag="foreign"):
    """What another backup software of the same server must know of one of its points; to the vault it is only bytes.

    ``state`` is ``held``, ``forgotten`` or ``gone``; of several records of one point the last of these words counts.
    """

    client: str
    id: str
    state: str
    body: bytes = b""


Value = Lost | Pin | Foreign


def put_record(storage: Storage, keys: Keys, value: Value) -> str:
    """Append one record, durably; returns its name. The kind stands in the name, so that a listing tells what there is."""
    kind = value.__struct_config__.tag
    name = f"{RECORDS}{kind}-{os.urandom(12).hex()}"
    plain = msgspec.msgpack.encode(value)
    storage.put(name, envelope.close(envelope.Kind.RECORD, keys.meta, keys.vault_id, name, plain))
    storage.barrier()
    return name


def records(storage: Storage, keys: Keys, kind: str) -> dict[str, Value | None]:
    """The records of a kind (``lost``, ``pin``, ``foreign``) by name; None for one that cannot be read.

    Other kinds are left alone.
    """
    found: dict[str, Value | None] = {}
    for item in storage.list(RECORDS):
        if not item.name.startswith(f"{RECORDS}{kind}-"):
            continue
        with contextlib.suppress(AbsentError):
            sealed = storage.get(item.name)
            try:
                plain = envelope.open_(envelope.Kind.RECORD, keys.meta, keys.vault_id, item.name, sealed)
                found[item.name] = msgspec.msgpack.decode(plain, type=Value)
            except (DamagedError, msgspec.MsgspecError):
                found[item.name] = None
    return found


def lost(storage: Storage, keys: Keys, index: Index) -> Lost:
    """Everything known to be lost, in one. Raise DamagedError: relying on what is lost would be a point that lies."""
    known = records(storage, keys, "lost")
    if unread := [name for name, value in known.items() if value is None]:
        raise DamagedError(f"{unread[0]} is damaged; run: strongroom check --read-data")
    return still_lost(known.values(), index)


def still_lost(values: Iterable[Value | None], index: Index) -> Lost:
    """What records name, without chunks that were stored again since."""
    known = [value for value in values if isinstance(value, Lost)]
    named = {(chunk, pack) for value in known for chunk, pack in zip(value.chunks, value.packs, strict=True)}
    found = {(chunk, pack) for chunk, pack in named if (place := index.find(chunk)) is None or place.pack.id == pack}
    return Lost(
        chunks=[chunk for chunk, _ in sorted(found)],
        packs=[pack for _, pack in sorted(found)],
        records=[record for value in known for record in value.records] if found else [],
    )
