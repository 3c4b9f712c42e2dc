"""What no snapshot needs, and which packs it lies in: whole, for the most part, or named by no index run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from strongroom.vault import pack, session, snapshot
from strongroom.vault.errors import DamagedError
from strongroom.vault.index import FrameEntry, PackEntry, PackHead
from strongroom.vault.mark import Reached, ids_in, mark
from strongroom.vault.reader import Reader
from strongroom.vault.session import Lost
from strongroom.vault.vault import Vault

# A pack less alive than this is written anew with what lives.
_SPARSE = 0.5
_RUN_DAMAGED = "prune deletes nothing while an index run is damaged; run: strongroom check --repair"


class Dead(NamedTuple):
    """What no snapshot needs: whole packs, packs to be written anew, packs that no index run names, forgotten snapshots.

    The snapshots are given with their sizes. A whole pack may be gone already: then its size is 0, and the index is to forget it.
    """

    whole: list[PackHead]
    sparse: list[tuple[PackHead, int]]
    orphans: list[tuple[bytes, int]]
    snapshots: dict[str, int]

    @property
    def packs(self) -> list[bytes]:
        """The ids of all these packs."""
        return [head.id for head in self.whole] + [head.id for head, _ in self.sparse] + [id for id, _ in self.orphans]

    @property
    def size(self) -> int:
        """The bytes that nobody needs."""
        wasted = sum(dead for _, dead in self.sparse)
        packs = sum(head.size for head in self.whole) + wasted + sum(size for _, size in self.orphans)
        return packs + sum(self.snapshots.values())

    @property
    def full_size(self) -> int:
        """The bytes of all these objects, with what lives in them."""
        return self.size + sum(head.size - dead for head, dead in self.sparse)

    def among(self, packs: set[bytes]) -> Dead:
        """Without the packs that are not among these."""
        return Dead(
            [head for head in self.whole if head.id in packs],
            [item for item in self.sparse if item[0].id in packs],
            [item for item in self.orphans if item[0] in packs],
            self.snapshots,
        )


def find_dead(vault: Vault, forgotten: frozenset[str]) -> Dead:
    """What the snapshots that are not forgotten do not need. Raise DamagedError when that cannot be told."""
    storage, reader = vault.storage, vault.reader
    if vault.index.damaged:
        raise DamagedError(_RUN_DAMAGED)
    sizes = {item.name.removeprefix(snapshot.PREFIX): item.size for item in storage.list(snapshot.PREFIX)}
    lost = session.lost(storage, vault.keys, vault.index)
    chunks = frozenset(lost.chunks)
    reached = Reached(vault.state.folder)
    try:
        roots = [head.id for id in sizes.keys() - forgotten for head in _insist_read(reader, id).segments]
        for id, message in mark(reader, roots, reached):
            insist_lost([id], chunks, message)
        listed = {item.name: item.size for item in storage.list(pack.PREFIX)}
        damaged = _damaged(vault, listed, lost, reached)
        missing = {head.id for head in vault.index.packs if pack.name_of(head.id) not in listed}
        whole, sparse = [], []
        for head, share in _shares(vault, reached, missing):
            if share == 0:
                whole.append(PackHead(head.id, head.kind, listed.get(pack.name_of(head.id), 0)))
            elif head.id not in missing and (share < _SPARSE or head.id in damaged):
                sparse.append((head, int(head.size * (1 - share))))
        indexed = {pack.name_of(head.id) for head in vault.index.packs}
        orphans = [(pack.id_of(name), size) for name, size in listed.items() if name not in indexed]
        return Dead(whole, sparse, orphans, {id: sizes[id] for id in sorted(sizes.keys() & forgotten)})
    finally:
        reached.close()


def _insist_read(reader: Reader, id: str) -> snapshot.Snapshot:
    """A snapshot; raise DamagedError, with the ways out, for one that cannot be read: nobody knows what it needs."""
    try:
        return reader.snapshot(id)
    except DamagedError as error:
        raise DamagedError(
            f"{error}; prune deletes nothing until it is put back from a copy of the vault, or given up: strongroom forget {id}"
        ) from error


def insist_lost(ids: Iterable[bytes], lost: Collection[bytes], message: str) -> None:
    """Raise DamagedError unless a check has found that these chunks are lost: what is merely unreadable may come back."""
    if not all(id in lost for id in ids):
        raise DamagedError(
            f"prune deletes nothing while something that points need cannot be read ({message}); "
            "run: strongroom check --read-data --repair"
        )


def _damaged(vault: Vault, listed: dict[str, int], lost: Lost, reached: Reached) -> set[bytes]:
    """The packs that lost something, and nothing that is needed: written anew, they are whole.

    Raise DamagedError for one that lost what is needed, unless a check has found that.
    """
    chunks = frozenset(lost.chunks)
    hurt = {pack_id for id, pack_id in zip(lost.chunks, lost.packs, strict=True) if id in reached}
    for entry, frame in _out_of_reach(vault, listed):
        needed = [id for id in ids_in(frame.ids) if lives(vault, entry.id, id, reached, set())]
        insist_lost(needed, chunks, f"{pack.name_of(entry.id)} is gone, or was cut short")
        if needed:
            hurt.add(entry.id)
    return _misfits(vault, listed).union(lost.packs) - hurt


def _misfits(vault: Vault, listed: dict[str, int]) -> set[bytes]:
    """The packs that are gone, or are not as long as they were."""
    return {head.id for head in vault.index.packs if listed.get(pack.name_of(head.id), 0) != head.size}


def _out_of_reach(vault: Vault, listed: dict[str, int]) -> Iterator[tuple[PackEntry, FrameEntry]]:
    """The frames that lie behind the end of their packs, or in packs that are gone."""
    wrong = _misfits(vault, listed)
    for entry in entries(vault) if wrong else ():
        if entry.id in wrong:
            size = listed.get(pack.name_of(entry.id), 0)
            yield from ((entry, frame) for frame in entry.frames if frame.offset + frame.size > size)


def _shares(vault: Vault, reached: Reached, missing: set[bytes]) -> Iterator[tuple[PackHead, float]]:
    """Of each indexed pack, how much of it is needed: each frame's size by the share of its chunks that are."""
    for entry in entries(vault):
        alive = total = 0.0
        for frame in entry.frames:
            ids = list(ids_in(frame.ids))
            living = sum(lives(vault, entry.id, id, reached, missing) for id in ids)
            alive += frame.size * living / len(ids)
            total += frame.size
        yield PackHead(entry.id, entry.kind, entry.size), alive / total if total else 0.0


def lives(vault: Vault, pack_id: bytes, id: bytes, reached: Reached, missing: set[bytes]) -> bool:
    """Whether a chunk is needed, and needed from this pack: of two copies, the one that the index names counts."""
    if id not in reached:
        return False
    place = vault.index.find(id)
    return place is None or place.pack.id == pack_id or place.pack.id in missing


def entries(vault: Vault) -> Iterator[PackEntry]:
    """Every pack that the index names, once. Raise DamagedError for a run that cannot be read."""
    seen: set[bytes] = set()
    for name in vault.index.runs:
        try:
            entries = vault.index.read_run(name)
        except DamagedError as error:
            raise DamagedError(_RUN_DAMAGED) from error
        for entry in entries:
            if entry.id not in seen:
                seen.add(entry.id)
                yield entry
