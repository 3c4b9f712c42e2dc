"""Checking a vault, and recording what is lost.

The structure: every snapshot, every tree node reachable from one, a place in the index for every chunk, and the pack it lies
in. The data: every frame, or a share of them, decrypted, decompressed and each chunk hashed. What cannot be read back is
recorded as lost, so that the next run stores it again and does not rely on it. What is damaged and needed by nothing is for
a prune to take out, in its own order.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from strongroom.vault import header as headers
from strongroom.vault import pack, session, snapshot
from strongroom.vault.errors import AbsentError, DamagedError, StorageError
from strongroom.vault.hurt import Hurt
from strongroom.vault.index import FramePlace, PackEntry, PackHead
from strongroom.vault.mark import Reached, ids_in, mark, records_needing
from strongroom.vault.mending import damaged_runs, mend
from strongroom.vault.session import Lost
from strongroom.vault.vault import Vault

_THREADS = 2
_UNNEEDED = "nothing that points need was there: strongroom prune takes it out"


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


class Monitor(Protocol):
    """Is told how a check goes on; calls are frequent, and must not block."""

    def read_back(self, done: int, expected: int) -> None:
        """So many bytes of so many were read back."""

    def note(self, message: str) -> None:
        """Something was mended that an administrator has to know of."""


class Unwatched:
    """The monitor of a check that nobody watches."""

    def read_back(self, done: int, expected: int) -> None:
        """See the port."""

    def note(self, message: str) -> None:
        """See the port."""


def verify(vault: Vault, *, read_data: float = 0.0, repair: bool = False, monitor: Monitor | None = None) -> Checked:
    """Check a vault; ``read_data`` is the share of frames to read back (0 to 1)."""
    monitor = monitor or Unwatched()
    if repair:
        mend(vault, monitor.note)
    checker = _Checker(vault)
    checker.small_objects()
    checker.structure()
    if read_data > 0:
        checker.data(read_data, monitor.read_back)
    damage = tuple(checker.found())
    checker.record_lost(whole=read_data >= 1)
    return Checked(checker.objects, checker.bytes_read, damage)


class _Checker:
    """One check."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.objects = 1
        self.bytes_read = 0
        self._direct: list[Found] = []
        self._damaged_runs: dict[str, str] = {}
        # Frames that lie behind the end of their packs.
        self._beyond: set[tuple[bytes, int]] = set()
        # Chunks and nodes that cannot be read, by the object that they should be in.
        self._bad: dict[str, dict[bytes, str]] = {}

    # --- small objects ---------------------------------------------------------------------------------------------

    def small_objects(self) -> None:
        """Key slots, tombstones and records: what is damaged among them hurts no point, and stands in the way of work."""
        storage, keys = self._vault.storage, self._vault.keys
        for name in headers.damaged_slots(storage):
            self._direct.append(
                Found(name, "the key slot is damaged: its passphrase opens nothing; add it anew, remove this")
            )
        for name, stone in session.tombstones(storage, keys).items():
            if stone is None:
                message = "the tombstone is damaged: what it forgot is in sight again; run check --repair, and forget it again"
                self._direct.append(Found(name, message))
        for kind in ("lost", "pin", "foreign"):
            for name, record in session.records(storage, keys, kind).items():
                if record is None:
                    self._direct.append(Found(name, f"the record of kind {kind!r} is damaged"))

    # --- structure ------------------------------------------------------------------------------------------------

    def structure(self) -> None:
        """Everything but the content."""
        vault = self._vault
        listed = {item.name: item.size for item in vault.storage.list(pack.PREFIX)}
        self.objects += len(listed) + len(vault.index.runs)
        self._damaged_runs = {**vault.index.damaged, **damaged_runs(vault.index)}
        for name, message in self._damaged_runs.items():
            self._direct.append(Found(name, message))
        wrong = {
            head.id: self._why_wrong(listed.get(pack.name_of(head.id)), head.size)
            for head in vault.index.packs
            if listed.get(pack.name_of(head.id)) != head.size
        }
        reached = Reached(vault.state.folder)
        try:
            for id, message in mark(vault.reader, self._roots(), reached):
                self._note(id, message)
            self._out_of_reach(wrong, listed, reached)
        finally:
            reached.close()
        for id, message in wrong.items():
            if pack.name_of(id) not in self._bad:
                self._direct.append(Found(pack.name_of(id), f"{message}; {_UNNEEDED}"))

    def _out_of_reach(self, wrong: dict[bytes, str], listed: dict[str, int], reached: Reached) -> None:
        """Note what lay behind the end of packs that were cut short, or in packs that are gone."""
        for entry in self._entries() if wrong else ():
            if entry.id in wrong:
                size = listed.get(pack.name_of(entry.id), 0)
                for frame in entry.frames:
                    if frame.offset + frame.size > size:
                        self._beyond.add((entry.id, frame.offset))
                        place = FramePlace(PackHead(entry.id, entry.kind, entry.size), frame.offset, frame.size)
                        for id in ids_in(frame.ids):
                            if id in reached and self._counts(place, id):
                                self._note(id, wrong[entry.id])

    def _entries(self) -> Iterator[PackEntry]:
        for name in self._vault.index.runs:
            if name not in self._damaged_runs:
                yield from self._vault.index.read_run(name)

    @staticmethod
    def _why_wrong(size: int | None, expected: int) -> str:
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

    def data(self, share: float, tell: Callable[[int, int], None]) -> None:
        """Read frames back."""
        frames = [frame for frame in self._frames() if share >= 1 or random.random() < share]  # noqa: S311 - a sample
        expected = sum(place.size for place, _ in frames)
        with ThreadPoolExecutor(_THREADS) as pool:
            for size, bad in pool.map(self._read_back, frames):
                self.bytes_read += size
                tell(self.bytes_read, expected)
                for id, message in bad:
                    self._note(id, message)

    def _frames(self) -> Iterator[tuple[FramePlace, bytes]]:
        for entry in self._entries():
            for frame in entry.frames:
                if (entry.id, frame.offset) not in self._beyond:
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
        hurt = Hurt(self._vault, {id for bad in self._bad.values() for id in bad})
        for name, bad in sorted(self._bad.items()):
            snapshots, paths = hurt.by(bad)
            message = next(iter(bad.values()))
            yield Found(name, message if snapshots else f"{message}; {_UNNEEDED}", snapshots, paths)

    def record_lost(self, *, whole: bool) -> None:
        """Remember what is lost for the next run, or that nothing is any more; a vault that is read-only keeps silent.

        ``whole``: everything was read, so that this replaces all that was known; else it comes on top.
        """
        storage, keys, index = self._vault.storage, self._vault.keys, self._vault.index
        before = session.records(storage, keys, "lost")
        known = session.still_lost(before.values(), index)
        found = {id for bad in self._bad.values() for id in bad}
        lost = sorted(found if whole else found | set(known.chunks))
        outdated = [name for name, value in before.items() if value is not None or whole]
        if len(outdated) == len(before) <= 1 and lost == known.chunks and bool(lost) == bool(before):
            return
        with contextlib.suppress(StorageError):
            if lost:
                places = [index.find(id) for id in lost]
                packs = [place.pack.id if place else b"" for place in places]
                records = records_needing(self._vault.reader, storage, set(lost))
                session.put_record(storage, keys, Lost(chunks=lost, packs=packs, records=records))
            for name in outdated:
                storage.delete(name)
            storage.barrier()
