"""Forgetting snapshots, and freeing what none needs.

The order of operations (tombstone, sessions, liveness anew, index, snapshots, packs, tombstones) is that of
docs/invariants.md, I6 to I9; each step is durable before the next begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from strongroom.vault import header as headers
from strongroom.vault import pack, session, snapshot
from strongroom.vault.errors import AbsentError, DamagedError, FullError
from strongroom.vault.frame import TARGET
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.index import PackEntry, moment_of, put_run
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.liveness import find_dead
from strongroom.vault.repacking import rewrite
from strongroom.vault.session import Tombstone
from strongroom.vault.vault import Vault

# Runs with fewer chunks than this are merged when the index is rewritten.
_SMALL_RUN = 200_000


class Swept(NamedTuple):
    """Bytes freed, bytes that would be but for a run under way, and objects deleted, or found to be gone and forgotten."""

    freed: int
    held: int
    objects: int


def forget(vault: Vault, ids: Sequence[str]) -> None:
    """Make snapshots unrestorable, durably. Raise AbsentError for one that is not there."""
    headers.refuse(vault.storage, "prune", "forget in")
    known = vault.ids()
    if missing := [id for id in ids if id not in known]:
        raise AbsentError(f"snapshot {missing[0]} is not in the vault")
    if ids:
        # What takes their place was perhaps put by a run that was killed before it could make it durable.
        vault.storage.distrust(snapshot.PREFIX)
        vault.storage.barrier()
        session.put_tombstone(vault.storage, vault.keys, Tombstone(snapshots=list(ids)))


def prune(vault: Vault, *, dry_run: bool = False) -> Swept:
    """Free what no snapshot needs. Raise DamagedError when something needed cannot be read, BusyError for a second sweeper."""
    headers.refuse(vault.storage, "prune", "prune")
    if dry_run:
        dead = find_dead(vault, vault.forgotten())
        held = bool(session.writers(vault.storage))
        return Swept(0 if held else dead.size, dead.size if held else 0, len(dead.packs) + len(dead.snapshots))
    with session.only_sweeper(vault.storage):
        sweep = Sweep(vault)
        for _ in sweep.steps():
            pass
    return sweep.swept


class Sweep:
    """One sweep, step by step."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._storage = vault.storage
        self.swept = Swept(0, 0, 0)

    def steps(self) -> Iterator[str]:
        """Do the sweep, and yield the name of each step once it is done; writers may do anything in between."""
        storage, vault = self._storage, self._vault
        vault.index.reload()
        # Snapshots forgotten later than the look at the sessions may be some writer's parents: they stay for now.
        stones = session.tombstones(storage, vault.keys)
        forgotten = session.buried(stones.values())[1]
        dead = find_dead(vault, forgotten)
        yield "survey"
        if not dead.packs and not dead.snapshots and not stones:
            storage.sweep_spools()
            return
        self.swept = Swept(0, dead.size, 0)
        if session.writers(storage):
            return
        yield "first look"
        names = [*stones, session.put_tombstone(storage, vault.keys, Tombstone(packs=dead.packs))]
        yield "bury"
        if session.writers(storage):
            # It began between our two looks: whether it saw the tombstone we cannot know; the next prune goes on from here.
            return
        yield "sessions"
        vault.index.reload()
        dead = find_dead(vault, forgotten).among(set(dead.packs))  # anew: a snapshot may have been committed since
        yield "survey anew"
        try:
            written = rewrite(vault, dead, forgotten)
        except DamagedError:
            storage.delete(names[-1])  # nothing is deleted after all
            raise
        except FullError:
            if not dead.whole and not dead.orphans:
                raise
            # No room to carry anything over: there will be, for the next prune, once what is dead as a whole is gone.
            dead, written = dead._replace(sparse=[]), []
        storage.barrier()
        yield "carry over"
        replaced = _publish(vault, set(dead.packs), written)
        yield "publish"
        self._delete(replaced)
        yield "delete index runs"
        self._delete([snapshot.name_of(id) for id in dead.snapshots])
        yield "delete snapshots"
        self._delete([pack.name_of(id) for id in dead.packs])
        yield "delete packs"
        self._delete(names)
        freed = dead.full_size - sum(entry.size for entry in written) + storage.sweep_spools()
        vault.index.reload()
        self.swept = Swept(max(freed, 0), 0, len(dead.packs) + len(dead.snapshots))
        yield "delete tombstones"

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._storage.delete(name)
        self._storage.barrier()


def _publish(vault: Vault, gone: set[bytes], added: Sequence[PackEntry]) -> list[str]:
    """Put index runs without the packs that go, and with those that came, durably; returns the runs they replace.

    Of a chunk in two packs the later run counts, so what is merged takes the place of the last run that it replaces, and
    what came is last of all.
    """
    storage, keys = vault.storage, vault.keys
    replaced: list[str] = []
    kept: list[PackEntry] = []

    def put() -> None:
        if kept:
            put_run(storage, keys, list(kept), moment_of(replaced[-1]))
            kept.clear()

    for name in vault.index.runs:
        entries = vault.index.read_run(name)
        chunks = sum(len(frame.ids) // ID_SIZE for entry in entries for frame in entry.frames)
        if chunks >= _SMALL_RUN and not any(entry.id in gone for entry in entries):
            put()
            continue
        replaced.append(name)
        kept += [entry for entry in entries if entry.id not in gone]
        if sum(len(entry.frames) for entry in kept) * TARGET > _SMALL_RUN * 1000:
            put()
    put()
    if added:
        put_run(storage, keys, list(added))
    # Of two copies of a chunk we keep the one that the index names: a run that another writer has put must not vanish.
    storage.distrust(INDEX)
    storage.barrier()
    return replaced
