"""Mending what a check can mend: tombstones and index runs that are damaged, and packs that no run names."""

from __future__ import annotations

from collections.abc import Callable

from strongroom.vault import session
from strongroom.vault.errors import AbsentError, BusyError, DamagedError
from strongroom.vault.index import Index
from strongroom.vault.rebuild import rebuild, unindexed
from strongroom.vault.vault import Vault


def mend(vault: Vault, note: Callable[[str], None]) -> None:
    """Remove damaged tombstones, drop damaged index runs, and put new ones for packs that none names.

    A writer's session of our own keeps sweepers away. Raise BusyError while others write: an unnamed pack may be theirs.
    """
    own = session.Session(vault.storage)
    try:
        if len(session.writers(vault.storage)) > 1:
            raise BusyError("a backup is at work on this vault; run check --repair when it has ended")
        _mend_tombstones(vault, note)
        _mend_index(vault)
    finally:
        own.close()


def _mend_tombstones(vault: Vault, note: Callable[[str], None]) -> None:
    """Remove the tombstones that cannot be read: only a sweeper at work needs them, and one that begins now gives way to us."""
    storage = vault.storage
    damaged = [name for name, stone in session.tombstones(storage, vault.keys).items() if stone is None]
    if damaged and session.sweepers(storage):
        raise BusyError("a prune is at work on this vault; run check --repair when it has ended")
    for name in damaged:
        storage.delete(name)
        note(f"{name} was damaged, and is removed: points that it forgot are in sight again; forget them again")
    storage.barrier()


def _mend_index(vault: Vault) -> None:
    storage, index = vault.storage, vault.index
    damaged = {**index.damaged, **damaged_runs(index)}
    for name in damaged:
        storage.delete(name)
    storage.barrier()
    index.damaged.clear()
    index.reload()
    buried = session.buried(session.tombstones(storage, vault.keys).values())[0]
    rebuild(vault.reader, unindexed(storage, index, buried))


def damaged_runs(index: Index) -> dict[str, str]:
    """The runs that this machine remembers and that cannot be read any more, with the reason: another machine needs them."""
    damaged = {}
    for name in index.runs:
        try:
            index.read_run(name)
        except DamagedError as error:
            damaged[name] = str(error)
        except AbsentError:
            continue  # replaced since by a prune
    return damaged
