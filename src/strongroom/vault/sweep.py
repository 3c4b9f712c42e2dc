"""Forgetting snapshots, and freeing what none needs.

The order of operations (tombstone, sessions, liveness anew, index, snapshots, packs, tombstones) is that of
docs/invariants.md, I6 to I9; each step is durable before the next begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from strongroom.vault import header as headers
from strongroom.vault import pack, parents, session, snapshot
from strongroom.vault.errors import AbsentError, DamagedError, FullError
from strongroom.vault.frame import TARGET, Chunk, Kind, Sealer
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.index import FrameEntry, FramePlace, PackEntry, PackHead, moment_of, put_run
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.mark import Reached, ids_in, mark
from strongroom.vault.reader import Reader
from strongroom.vault.session import Lost, Tombstone
from strongroom.vault.vault import Vault

# A pack less alive than this is written anew with what lives.
_SPARSE = 0.5
# Runs with fewer chunks than this are merged when the index is rewritten.
_SMALL_RUN = 200_000
_RUN_DAMAGED = "prune deletes nothing while an index run is damaged; run: strongroom check --repair"


class Swept(NamedTuple):
    """Bytes freed, bytes that would be but for a run under way, and objects deleted, or found to be gone and forgotten."""

    freed: int
    held: int
    objects: int


class _Dead(NamedTuple):
    """What no snapshot needs: whole packs, packs to be written anew, packs that no index run names, forgotten snapshots.

    The snapshots are given with their sizes. A whole pack may be gone already: then its size is 0, and the index is to forget it.
    """

    whole: list[PackHead]
    sparse: list[tuple[PackHead, int]]
    orphans: list[tuple[bytes, int]]
    snapshots: dict[str, int]

    @property
    def packs(self) -> list[bytes]:
        return [head.id for head in self.whole] + [head.id for head, _ in self.sparse] + [id for id, _ in self.orphans]

    @property
    def size(self) -> int:
        wasted = sum(dead for _, dead in self.sparse)
        packs = sum(head.size for head in self.whole) + wasted + sum(size for _, size in self.orphans)
        return packs + sum(self.snapshots.values())

    @property
    def full_size(self) -> int:
        """The bytes of all these objects, with what lives in them."""
        return self.size + sum(head.size - dead for head, dead in self.sparse)

    def among(self, packs: set[bytes]) -> _Dead:
        """Without the packs that are not among these."""
        return _Dead(
            [head for head in self.whole if head.id in packs],
            [item for item in self.sparse if item[0].id in packs],
            [item for item in self.orphans if item[0] in packs],
            self.snapshots,
        )


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
        dead = _find_dead(vault, vault.forgotten())
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
        dead = _find_dead(vault, forgotten)
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
        dead = _find_dead(vault, forgotten).among(set(dead.packs))  # anew: a snapshot may have been committed since
        yield "survey anew"
        try:
            written = _rewrite(vault, dead, forgotten)
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


def _find_dead(vault: Vault, forgotten: frozenset[str]) -> _Dead:
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
            _insist_lost([id], chunks, message)
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
        return _Dead(whole, sparse, orphans, {id: sizes[id] for id in sorted(sizes.keys() & forgotten)})
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


def _insist_lost(ids: Iterable[bytes], lost: Collection[bytes], message: str) -> None:
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
        needed = [id for id in ids_in(frame.ids) if _lives(vault, entry.id, id, reached, set())]
        _insist_lost(needed, chunks, f"{pack.name_of(entry.id)} is gone, or was cut short")
        if needed:
            hurt.add(entry.id)
    return _misfits(vault, listed).union(lost.packs) - hurt


def _misfits(vault: Vault, listed: dict[str, int]) -> set[bytes]:
    """The packs that are gone, or are not as long as they were."""
    return {head.id for head in vault.index.packs if listed.get(pack.name_of(head.id), 0) != head.size}


def _out_of_reach(vault: Vault, listed: dict[str, int]) -> Iterator[tuple[PackEntry, FrameEntry]]:
    """The frames that lie behind the end of their packs, or in packs that are gone."""
    wrong = _misfits(vault, listed)
    for entry in _entries(vault) if wrong else ():
        if entry.id in wrong:
            size = listed.get(pack.name_of(entry.id), 0)
            yield from ((entry, frame) for frame in entry.frames if frame.offset + frame.size > size)


def _shares(vault: Vault, reached: Reached, missing: set[bytes]) -> Iterator[tuple[PackHead, float]]:
    """Of each indexed pack, how much of it is needed: each frame's size by the share of its chunks that are."""
    for entry in _entries(vault):
        alive = total = 0.0
        for frame in entry.frames:
            ids = list(ids_in(frame.ids))
            living = sum(_lives(vault, entry.id, id, reached, missing) for id in ids)
            alive += frame.size * living / len(ids)
            total += frame.size
        yield PackHead(entry.id, entry.kind, entry.size), alive / total if total else 0.0


def _lives(vault: Vault, pack_id: bytes, id: bytes, reached: Reached, missing: set[bytes]) -> bool:
    """Whether a chunk is needed, and needed from this pack: of two copies, the one that the index names counts."""
    if id not in reached:
        return False
    place = vault.index.find(id)
    return place is None or place.pack.id == pack_id or place.pack.id in missing


def _entries(vault: Vault) -> Iterator[PackEntry]:
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


def _rewrite(vault: Vault, dead: _Dead, forgotten: frozenset[str]) -> list[PackEntry]:
    """Write sparse packs anew; returns the new packs, durable after the next barrier."""
    made = _Repacker(vault)
    reached = Reached(vault.state.folder)
    lost = frozenset(session.lost(vault.storage, vault.keys, vault.index).chunks)
    try:
        if dead.sparse:
            kept = parents.listed_ids(vault.storage) - forgotten
            roots = [head.id for id in kept for head in vault.reader.snapshot(id).segments]
            for _ in mark(vault.reader, roots, reached):
                pass  # what is lost was accepted as lost when liveness was worked out
            sparse = {head.id for head, _ in dead.sparse}
            for entry in _entries(vault):
                if entry.id in sparse:
                    made.carry(entry, reached, lost)
        made.finish()
    except (DamagedError, FullError):
        made.discard()
        raise
    finally:
        reached.close()
    return made.entries


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


class _Repacker:
    """Carries living chunks over into new packs; ids stay, so nothing else changes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._writers: dict[int, pack.PackWriter] = {}
        self._sealers: dict[int, Sealer] = {}
        self._bundle: list[Chunk] = []
        self._of = (0, 0)
        self.entries: list[PackEntry] = []

    def carry(self, entry: PackEntry, reached: Reached, lost: Collection[bytes]) -> None:
        """Copy what lives of one pack; what is lost stays behind. Raise DamagedError for what nobody knew to be lost."""
        reader = self._vault.reader
        head = PackHead(entry.id, entry.kind, entry.size)
        for frame in entry.frames:
            living = [id for id in ids_in(frame.ids) if _lives(self._vault, entry.id, id, reached, set())]
            if not living:
                continue
            place = FramePlace(head, frame.offset, frame.size)
            try:
                decoded = reader.read_frame(place)
            except DamagedError as error:
                _insist_lost(living, lost, str(error))
                continue
            whole = []
            for id in living:
                found = decoded.chunk(id)
                if found is not None and reader.check_chunk(entry.kind, decoded.scope, id, found):
                    whole.append(Chunk(id, *found))
                else:
                    _insist_lost([id], lost, f"chunk {id.hex()} is not what was stored")
            if entry.kind == Kind.PREFIXED:
                if whole:
                    self._carry_whole(place, whole)
                continue
            for chunk in whole:
                self._add(entry.kind, decoded.scope, chunk)

    def _carry_whole(self, place: FramePlace, living: Sequence[Chunk]) -> None:
        """Copy a prefixed frame as it is: made anew without what it rests on it would be large.

        The index names those of its chunks that live, and no others: these may stand elsewhere by now, or nobody needs them.
        """
        sealed = self._vault.reader.sealed(place)
        writer = self._writer(Kind.PREFIXED)
        made = writer.append_prefixed(sealed.scope, sealed.items, sealed.references, sealed.body)
        writer.frames[-1] = FrameEntry(made.offset, made.size, b"".join([chunk.id for chunk in living]))
        if writer.full:
            self._put(Kind.PREFIXED)

    def _add(self, kind: int, scope: int, chunk: Chunk) -> None:
        if self._of != (kind, scope) or sum(len(item.data) for item in self._bundle) >= TARGET:
            self._append()
            self._of = (kind, scope)
        self._bundle.append(chunk)

    def _append(self) -> None:
        if not self._bundle:
            return
        kind, scope = self._of
        writer = self._writer(kind)
        writer.append(scope, self._bundle)
        self._bundle = []
        if writer.full:
            self._put(kind)

    def _writer(self, kind: int) -> pack.PackWriter:
        writer = self._writers.get(kind)
        if writer is None:
            sealer = self._sealers.setdefault(kind, Sealer(self._vault.keys, Kind(kind)))
            writer = self._writers[kind] = pack.PackWriter(self._vault.storage, self._vault.keys, sealer, Kind(kind))
        return writer

    def _put(self, kind: int) -> None:
        writer = self._writers.pop(kind)
        size = writer.finish()
        self._vault.storage.put(pack.name_of(writer.id), writer.spool)
        self.entries.append(PackEntry(writer.id, kind, size, writer.frames))

    def discard(self) -> None:
        """Remove what was written: nothing refers to it yet."""
        for writer in self._writers.values():
            writer.spool.discard()
        for entry in self.entries:
            self._vault.storage.delete(pack.name_of(entry.id))

    def finish(self) -> None:
        """Put what is open."""
        self._append()
        for kind in list(self._writers):
            self._put(kind)
