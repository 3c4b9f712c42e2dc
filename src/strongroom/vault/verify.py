"""Checking a vault, and mending what can be mended.

The structure: every snapshot, every tree node reachable from one, a place in the index for every chunk, and the pack it lies
in. The data: every frame, or a share of them, decrypted, decompressed and each chunk hashed. What cannot be read back is
recorded as lost, so that the next run stores it again and does not rely on it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from strongroom.vault import pack, session, snapshot
from strongroom.vault.errors import AbsentError, BusyError, DamagedError, StorageError
from strongroom.vault.index import FrameEntry, FramePlace, PackEntry, PackHead, put_run
from strongroom.vault.mark import Reached, ids_in, mark, records_needing
from strongroom.vault.reader import Reader
from strongroom.vault.record import Row
from strongroom.vault.session import Lost
from strongroom.vault.vault import Vault

_THREADS = 2
# Paths named for one damaged object.
_MOST_PATHS = 1000


class Found(NamedTuple):
    """One damaged object, and what it hurts."""

    object: str
    message: str
    snapshots: tuple[str, ...] = ()
    paths: tuple[bytes, ...] = ()


class Checked(NamedTuple):
    """How much was looked at, and what is damaged."""

    objects: int
    bytes_read: int
    damage: tuple[Found, ...]


def verify(vault: Vault, *, read_data: float = 0.0, repair: bool = False) -> Checked:
    """Check a vault; ``read_data`` is the share of frames to read back (0 to 1)."""
    if repair:
        rebuild_index(vault)
    checker = _Checker(vault)
    checker.structure()
    if read_data > 0:
        checker.data(read_data)
    damage = tuple(checker.found())
    checker.record_lost()
    return Checked(checker.objects, checker.bytes_read, damage)


def rebuild_index(vault: Vault) -> int:
    """Put index runs for packs that none names, and drop damaged runs; returns how many packs were added.

    A writer's session of our own keeps sweepers away. Raise BusyError while others write: an unnamed pack may be theirs.
    """
    own = session.Session(vault.storage)
    try:
        if len(session.writers(vault.storage)) > 1:
            raise BusyError("a backup is at work on this vault; run check --repair when it has ended")
        return _rebuild_index(vault)
    finally:
        own.close()


def _rebuild_index(vault: Vault) -> int:
    storage = vault.storage
    buried, _ = session.buried(session.tombstones(storage, vault.keys).values())
    known = {head.id for head in vault.index.packs} | buried
    entries: list[PackEntry] = []
    for item in storage.list(pack.PREFIX):
        with contextlib.suppress(DamagedError, AbsentError):
            if pack.id_of(item.name) not in known:
                kind, frames, _ = pack.read_frames(storage, vault.keys, item.name, item.size)
                head = PackHead(pack.id_of(item.name), kind, item.size)
                frames = [frame for frame in frames if _may_count(vault, head, frame)]
                entries.append(PackEntry(head.id, kind, item.size, frames))
    if entries:
        # No run of the index may outlive a power loss that one of its packs does not.
        storage.distrust(pack.PREFIX)
        storage.barrier()
        put_run(storage, vault.keys, entries)
        storage.barrier()
    for name in vault.index.damaged:
        storage.delete(name)
    storage.barrier()
    vault.index.damaged.clear()
    vault.index.reload()
    return len(entries)


def _may_count(vault: Vault, head: PackHead, frame: FrameEntry) -> bool:
    """Whether a frame may be named in the index; where it repeats what is there, it has to read back first."""
    ids = list(ids_in(frame.ids))
    if not any(vault.index.find(id) for id in ids):
        return True
    try:
        decoded = vault.reader.read_frame(FramePlace(head, frame.offset, frame.size))
    except DamagedError:
        return False
    found = {id: decoded.chunk(id) for id in ids}
    return all(data and vault.reader.check_chunk(head.kind, decoded.scope, id, data) for id, data in found.items())


class _Checker:
    """One check."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.objects = 1
        self.bytes_read = 0
        self._direct: list[Found] = []
        self._gone: dict[bytes, str] = {}
        # Chunks and nodes that cannot be read, by the object that they should be in.
        self._bad: dict[str, dict[bytes, str]] = {}

    # --- structure ------------------------------------------------------------------------------------------------

    def structure(self) -> None:
        """Everything but the content."""
        vault = self._vault
        listed = {item.name: item.size for item in vault.storage.list(pack.PREFIX)}
        self.objects += len(listed) + len(vault.index.runs)
        for name, message in vault.index.damaged.items():
            self._direct.append(Found(name, message))
        self._gone = {
            head.id: self._why_gone(listed.get(pack.name_of(head.id)), head.size)
            for head in vault.index.packs
            if listed.get(pack.name_of(head.id)) != head.size
        }
        reached = Reached(vault.state.folder)
        try:
            for id, message in mark(vault.reader, self._roots(), reached):
                self._note(id, message)
            for head in vault.index.packs:
                if head.id in self._gone:
                    for id in vault.index.chunks_in({head.id}):
                        if id in reached:
                            self._note(id, self._gone[head.id])
        finally:
            reached.close()

    @staticmethod
    def _why_gone(size: int | None, expected: int) -> str:
        if size is None:
            return "the pack is not in the vault"
        return f"the pack has {size:,} bytes instead of {expected:,}"

    def _roots(self) -> list[bytes]:
        roots = []
        for id in sorted(self._vault.ids()):
            self.objects += 1
            try:
                roots += [head.id for head in self._vault.reader.snapshot(id).segments]
            except (DamagedError, AbsentError) as error:
                self._direct.append(Found(snapshot.name_of(id), str(error), (id,)))
        return roots

    def _note(self, id: bytes, message: str) -> None:
        place = self._vault.index.find(id)
        name = pack.name_of(place.pack.id) if place else "index/"
        self._bad.setdefault(name, {})[id] = message

    # --- data -----------------------------------------------------------------------------------------------------

    def data(self, share: float) -> None:
        """Read frames back."""
        frames = [frame for frame in self._frames() if share >= 1 or random.random() < share]  # noqa: S311 - a sample
        with ThreadPoolExecutor(_THREADS) as pool:
            for size, bad in pool.map(self._read_back, frames):
                self.bytes_read += size
                for id, message in bad:
                    self._note(id, message)

    def _frames(self) -> Iterator[tuple[FramePlace, bytes]]:
        for name in self._vault.index.runs:
            for entry in self._vault.index.read_run(name):
                if entry.id not in self._gone:
                    for frame in entry.frames:
                        yield FramePlace(PackHead(entry.id, entry.kind, entry.size), frame.offset, frame.size), frame.ids

    def _read_back(self, what: tuple[FramePlace, bytes]) -> tuple[int, list[tuple[bytes, str]]]:
        place, ids = what
        reader = self._vault.reader
        bad: list[tuple[bytes, str]] = []
        try:
            frame = reader.read_frame(place)
        except (DamagedError, AbsentError) as error:
            bad = [(id, str(error)) for id in ids_in(ids)]
        else:
            for id in ids_in(ids):
                found = frame.chunk(id)
                if found is None or not reader.check_chunk(frame.kind, frame.scope, id, found):
                    bad.append((id, f"chunk {id.hex()} is not what was stored"))
        # A chunk that was stored again elsewhere is healed, whatever became of its first copy.
        return place.size, [(id, why) for id, why in bad if self._counts(place, id)]

    def _counts(self, place: FramePlace, id: bytes) -> bool:
        now = self._vault.index.find(id)
        return now is None or (now.pack.id, now.offset) == (place.pack.id, place.offset)

    # --- what it means --------------------------------------------------------------------------------------------

    def found(self) -> Iterator[Found]:
        """The damage, with the snapshots and paths it hurts."""
        yield from self._direct
        if not self._bad:
            return
        hurt = _Hurt(self._vault, {id for bad in self._bad.values() for id in bad})
        for name, bad in sorted(self._bad.items()):
            snapshots, paths = hurt.by(bad)
            yield Found(name, next(iter(bad.values())), snapshots, paths)

    def record_lost(self) -> None:
        """Remember what is lost for the next run, or that nothing is any more; a vault that is read-only keeps silent."""
        vault = self._vault
        chunks = {id for bad in self._bad.values() for id in bad}
        with contextlib.suppress(StorageError):
            before = session.lost(vault.storage, vault.keys)
            if chunks == set(before.chunks):
                return
            if chunks:
                records = records_needing(vault.reader, vault.storage, chunks)
                session.put_record(vault.storage, vault.keys, Lost(chunks=sorted(chunks), records=records))
            if not chunks & set(before.chunks):
                for name, value in session.records(vault.storage, vault.keys).items():
                    if isinstance(value, Lost) and not chunks & set(value.chunks):
                        vault.storage.delete(name)


class _Hurt:
    """Which snapshots and paths need which damaged chunks."""

    def __init__(self, vault: Vault, bad: set[bytes]) -> None:
        self._by: dict[bytes, tuple[set[str], set[bytes]]] = {id: (set(), set()) for id in bad}
        for id in sorted(vault.ids()):
            with contextlib.suppress(DamagedError, AbsentError):
                self._look(vault, id)

    def _look(self, vault: Vault, id: str) -> None:
        reader = vault.reader
        for head in reader.snapshot(id).segments:
            if head.id in self._by:
                self._hurts(head.id, id, head.first)
                continue
            for path, record_id in reader.segment(head):
                try:
                    record = reader.record(record_id)
                except (DamagedError, AbsentError):
                    self._hurts(record_id, id, path)
                    continue
                for row in record.rows:
                    if row.references:
                        self._row(reader, row, id, path + b"/" + row.name)
                for chunk in ids_in(record.own_references):
                    if chunk in self._by:
                        self._hurts(chunk, id, path)

    def _row(self, reader: Reader, row: Row, id: str, path: bytes) -> None:
        ids = set(ids_in(row.references))
        if row.extra.depth:
            try:
                ids.update(ids_in(reader.references(row)))
            except (DamagedError, AbsentError):
                pass
        for chunk in ids & self._by.keys():
            self._hurts(chunk, id, path)

    def _hurts(self, chunk: bytes, id: str, path: bytes) -> None:
        snapshots, paths = self._by.setdefault(chunk, (set(), set()))
        snapshots.add(id)
        if len(paths) < _MOST_PATHS:
            paths.add(path)

    def by(self, chunks: Iterable[bytes]) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
        """The snapshots and paths that need any of these."""
        found = [self._by[id] for id in chunks if id in self._by]
        snapshots = sorted(set().union(*(item[0] for item in found)))
        paths = sorted(set().union(*(item[1] for item in found)))
        return tuple(snapshots), tuple(paths[:_MOST_PATHS])
