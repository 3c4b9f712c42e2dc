"""What a run stands on: the index, and what must not be relied on (lost, missing, about to be swept, or not known to be there).

The order is the proof's (docs/invariants.md, I6): the session is open, then tombstones are looked at, then the index is loaded,
then snapshots are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.vault import pack, parents, session
from strongroom.vault.errors import VaultError
from strongroom.vault.frame import Kind
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.index import Index
from strongroom.vault.keys import Keys
from strongroom.vault.messages import Unlocked
from strongroom.vault.reader import Reader
from strongroom.vault.rebuild import rebuild, unindexed
from strongroom.vault.session import Session
from strongroom.vault.snapshot import Summary
from strongroom.vault.state import State
from strongroom.vault.storage import Storage


@dataclass(frozen=True)
class Footing:
    """An opened vault as a writer may use it; ``forgotten`` snapshots are no parents, ``told`` is what workers must know."""

    keys: Keys
    index: Index
    reader: Reader
    forgotten: frozenset[str]
    told: Unlocked

    def known(self, id: bytes) -> bool:
        """Whether a chunk need not be stored again."""
        return known(self.index, self.reader, id)


def known(index: Index, reader: Reader, id: bytes) -> bool:
    """Whether a chunk need not be stored again: it is there, and so is all that its frame rests on."""
    if index.added(id):
        return True
    place = index.find(id) if index.known(id) else None
    if place is None or place.pack.kind != Kind.PREFIXED:
        return place is not None
    try:
        return all(map(index.known, reader.bases(place)))
    except VaultError:
        return False


def remembered(storage: Storage, state: State) -> dict[str, Summary] | None:
    """The snapshots to choose parents from before any key is there, or None where that would not be safe.

    It is safe where nothing is buried, lost or recorded, and this machine remembers every snapshot, index run and pack that
    is listed, and no others, with their sizes.
    """
    if storage.list(session.TOMBSTONES) or storage.list(session.RECORDS):
        return None
    known = Index.remembered(state.index_folder)
    if known is None or set(known[0]) != {item.name for item in storage.list(INDEX)}:
        return None
    listed = {item.name: item.size for item in storage.list(pack.PREFIX)}
    if listed != {pack.name_of(entry.id): entry.size for entry in known[1]}:
        return None
    return parents.remembered(storage, state)


def stand(storage: Storage, state: State, keys: Keys, own: Session) -> Footing:
    """Open the index for a writer, and find out what it must not rely on."""
    stones = session.writable_tombstones(storage, keys)
    index = Index(storage, keys, state.index_folder)
    reader = Reader(storage, keys, index)
    buried, forgotten = session.buried(stones)
    doubtful = _doubtful(reader, own, buried)
    lost = session.lost(storage, keys, index)
    listed = {item.name: item.size for item in storage.list(pack.PREFIX)}
    missing = {entry.id for entry in index.packs if listed.get(pack.name_of(entry.id)) != entry.size}
    index.treat_as_absent(buried | missing, frozenset(lost.chunks))
    gone = index.chunks_in(missing)
    records = list(lost.records)
    if gone:
        from strongroom.vault.mark import records_needing  # late: almost never needed

        records += records_needing(reader, storage, set(gone))
    chunks = lost.chunks + gone
    told = Unlocked(
        keys.vault_id, keys.public, keys.id, keys.index, keys.meta, keys.private, chunks, records, doubtful
    )  # fmt: skip
    return Footing(keys, index, reader, forgotten, told)


def _doubtful(reader: Reader, own: Session, buried: frozenset[bytes]) -> bool:
    """Whether the index may lack what last time's snapshots need: then nothing is used again before it was found there.

    Packs that no run names are read for it first, where nobody else is at work: they are of a run that was lost, or of a
    backup that was killed.
    """
    packs = unindexed(reader.storage, reader.index, buried)
    if packs and session.writers(reader.storage) == [own.name]:
        rebuild(reader, unindexed(reader.storage, reader.index, buried))
        packs = unindexed(reader.storage, reader.index, buried)
    return bool(packs) or reader.index.vanished
