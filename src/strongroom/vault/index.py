"""Which frame holds a chunk.

In the storage the index is a set of immutable runs (``index/…``), each the contents of some packs; all of it can be rebuilt
from the packs themselves. On this machine it is one `Table` in the state folder, brought up to date with the listed runs
whenever a vault is opened, plus what this session has added (in memory, then in a table of its own).

A chunk is *known* when its frame was appended to a pack that exists or is being written by this session, and nothing says
that the chunk is lost or its pack about to be swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from strongroom.vault import envelope
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.frame import Kind
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.storage import Storage
from strongroom.vault.table import Place, Row, Table

PREFIX = "index/"
# New chunks of a session kept in memory before they go to a table on disk: about 20 MB.
_MOST_IN_MEMORY = 100_000
# Bytes of ids in one run of the storage, far below what an envelope may hold: three million chunks.
_MOST_IDS = 64 << 20
# Session packs are numbered from here, packs of published runs from 0.
_SESSION = 1 << 31


class FrameEntry(msgspec.Struct, frozen=True, array_like=True):
    """One frame of a pack: offset, size in bytes, and the ids of its chunks one after another."""

    offset: int
    size: int
    ids: bytes


class PackEntry(msgspec.Struct, frozen=True, array_like=True):
    """One pack of an index run."""

    id: bytes
    kind: int
    size: int
    frames: list[FrameEntry]


class PackHead(msgspec.Struct, frozen=True, array_like=True):
    """A pack without its frames."""

    id: bytes
    kind: int
    size: int


class _Local(msgspec.Struct):
    """What the table on this machine holds; ``dirty`` while it is being changed."""

    runs: list[str]
    packs: list[PackHead]
    dirty: bool = False


class FramePlace(NamedTuple):
    """Where a frame lies."""

    pack: PackHead
    offset: int
    size: int


class Index:
    """The index of one vault, as this process sees it."""

    def __init__(self, storage: Storage, keys: Keys, folder: str) -> None:
        self._storage, self._keys, self._folder = storage, keys, folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._table: Table | None = None
        self._local = _Local([], [])
        self.damaged: dict[str, str] = {}
        self._absent_packs: frozenset[bytes] = frozenset()
        # Runs that this machine knew are gone: replaced by a prune elsewhere, or lost.
        self.vanished = False
        self._absent: set[int] = set()
        self._lost: frozenset[bytes] = frozenset()
        self._recent: dict[bytes, Place] = {}
        self._spilled: Table | None = None
        self._session: list[PackHead] = []
        self._numbers: dict[bytes, int] = {}
        self._unpublished: dict[bytes, PackEntry] = {}
        self._growing: dict[bytes, list[FrameEntry]] = {}
        self.reload()

    # --- what is listed -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Bring the table up to date with the runs that are listed now."""
        listed = {item.name for item in self._storage.list(PREFIX)}
        with self._locked():
            local = self._read_local()
            fresh = sorted(listed - set(local.runs))
            # Of a chunk that two runs name, the later run counts: an earlier one cannot be added after it.
            early = bool(fresh and local.runs and fresh[0] < max(local.runs))
            vanished = not set(local.runs) <= listed
            self.vanished = self.vanished or vanished or local.dirty
            if local.dirty or early or vanished or not os.path.exists(self._path("table")):
                self._rebuild(sorted(listed))
            else:
                if self._table is None or os.stat(self._path("table")).st_ino != self._table.inode:
                    self._reopen()
                self._local = local
                self._extend(fresh)
        self._number_absent()

    def _rebuild(self, names: Sequence[str]) -> None:
        for leftover in ("table", "local"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(leftover))
        self._reopen()
        self._local = _Local([], [])
        self._extend(names)

    def _reopen(self) -> None:
        if self._table is not None:
            self._table.close()
        self._table = Table(self._path("table"))

    def _extend(self, names: Sequence[str]) -> None:
        if not names:
            return
        assert self._table is not None  # noqa: S101 - reload() opened it
        self._table.recount()
        self._write_local(dirty=True)
        for name in names:
            try:
                packs = self.read_run(name)
            except AbsentError:
                continue  # a sweeper replaced it between our listing and now; the next reload sees what came instead
            except DamagedError as error:
                self.damaged[name] = str(error)  # its chunks count as unknown until check --repair reads the packs
                continue
            self._table.reserve(sum(len(frame.ids) // ID_SIZE for pack in packs for frame in pack.frames))
            self._table.add(self._rows(packs, len(self._local.packs)))
            self._local.packs.extend(PackHead(pack.id, pack.kind, pack.size) for pack in packs)
            self._local.runs.append(name)
        # In this order: a table that lost its last entries, or kept those of a run that is gone, must not look whole.
        self._table.sync()
        self._write_local(dirty=False)

    @staticmethod
    def _rows(packs: Sequence[PackEntry], first: int) -> Iterator[Row]:
        for number, pack in enumerate(packs, first):
            for frame in pack.frames:
                place = Place(number, frame.offset, frame.size)
                for at in range(0, len(frame.ids), ID_SIZE):
                    yield frame.ids[at : at + ID_SIZE], place

    def read_run(self, name: str) -> list[PackEntry]:
        """One run of the storage. Raise AbsentError, DamagedError."""
        plain = envelope.open_(
            envelope.Kind.INDEX, self._keys.index, self._keys.vault_id, name, self._storage.get(name)
        )
        try:
            return msgspec.msgpack.decode(plain, type=list[PackEntry])
        except msgspec.MsgspecError as error:
            raise DamagedError(f"{name} is damaged: it does not decode") from error

    @property
    def runs(self) -> list[str]:
        """The names of the runs that the table holds."""
        return list(self._local.runs)

    @property
    def packs(self) -> list[PackHead]:
        """The packs of those runs."""
        return list(self._local.packs)

    def pack_rows(self) -> Iterator[Row]:
        """Every chunk of the published runs with its place; `packs` resolves the numbers."""
        assert self._table is not None  # noqa: S101 - reload() opened it
        return self._table.rows()

    def chunks_in(self, packs: set[bytes]) -> list[bytes]:
        """The chunks of these published packs (a look at the whole table; none for none)."""
        numbers = {number for number, pack in enumerate(self._local.packs) if pack.id in packs}
        return [id for id, place in self.pack_rows() if place.pack in numbers] if numbers else []

    @staticmethod
    def remembered(folder: str) -> tuple[list[str], list[PackHead]] | None:
        """The runs and packs that the table in a state folder holds, without opening it; None where there is none."""
        try:
            with open(f"{folder}/local", "rb") as file:
                local = msgspec.msgpack.decode(file.read(), type=_Local)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return None if local.dirty else (local.runs, local.packs)

    # --- what is known --------------------------------------------------------------------------------------------

    def treat_as_absent(self, packs: Iterable[bytes], chunks: frozenset[bytes]) -> None:
        """Packs about to be swept or missing, and chunks known to be lost: store their content again."""
        self._absent_packs = frozenset(packs)
        self._lost = chunks
        self._number_absent()

    def _number_absent(self) -> None:
        """Packs get other numbers when the table is made anew."""
        absent = self._absent_packs
        self._absent = (
            {number for number, pack in enumerate(self._local.packs) if pack.id in absent} if absent else set()
        )

    def known(self, id: bytes) -> bool:
        """Whether a chunk need not be stored again."""
        if self.added(id):
            return True
        place = self._table.get(id) if self._table is not None and self._local.packs else None
        if place is None or id in self._lost:
            return False
        # The table is shared: what other processes added since we looked is nothing to rely on yet.
        return place.pack < len(self._local.packs) and place.pack not in self._absent

    def find(self, id: bytes) -> FramePlace | None:
        """Where a chunk lies, or None."""
        place = self._recent.get(id) or (self._spilled.get(id) if self._spilled is not None else None)
        if place is None and self._table is not None:
            place = self._table.get(id)
        if place is None:
            return None
        packs, number = (
            (self._session, place.pack - _SESSION) if place.pack >= _SESSION else (self._local.packs, place.pack)
        )
        if number >= len(packs):
            return None
        return FramePlace(packs[number], place.offset, place.size)

    # --- what a session adds --------------------------------------------------------------------------------------

    def add_frame(self, pack_id: bytes, kind: Kind, entry: FrameEntry) -> None:
        """A frame was appended to a pack under construction: its chunks are known from now on."""
        number = self._numbers.get(pack_id)
        if number is None:
            number = self._numbers[pack_id] = _SESSION + len(self._session)
            self._session.append(PackHead(pack_id, kind, 0))
            self._growing[pack_id] = []
        self._growing[pack_id].append(entry)
        place = Place(number, entry.offset, entry.size)
        ids = entry.ids
        for at in range(0, len(ids), ID_SIZE):
            self._recent[ids[at : at + ID_SIZE]] = place
        if len(self._recent) > _MOST_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = Table.scratch(self._folder)
        self._spilled.add(self._recent.items())
        self._recent.clear()

    def growing(self, pack_id: bytes) -> list[FrameEntry]:
        """The frames of a pack under construction."""
        return self._growing.get(pack_id, [])

    def growing_packs(self) -> set[bytes]:
        """The packs of file content under construction."""
        return {id for id in self._growing if self._session[self._numbers[id] - _SESSION].kind != Kind.TREE}

    def added(self, id: bytes) -> bool:
        """Whether this session has stored a chunk."""
        return id in self._recent or (self._spilled is not None and self._spilled.get(id) is not None)

    def growing_kind(self, pack_id: bytes) -> int:
        """The kind of a pack under construction."""
        return self._session[self._numbers[pack_id] - _SESSION].kind

    def finish_pack(self, pack_id: bytes, size: int) -> None:
        """A pack was put: the next `publish` covers it."""
        number = self._numbers[pack_id] - _SESSION
        kind = self._session[number].kind
        self._session[number] = PackHead(pack_id, kind, size)
        self._unpublished[pack_id] = PackEntry(pack_id, kind, size, self._growing.pop(pack_id))

    def publish(self) -> bool:
        """Put one run for the packs finished since the last; the caller sets the barrier."""
        if not self._unpublished:
            return False
        put_run(self._storage, self._keys, list(self._unpublished.values()))
        self._unpublished.clear()
        return True

    def close(self) -> None:
        """Close the tables; the session's is gone with that."""
        if self._table is not None:
            self._table.close()
        if self._spilled is not None:
            self._spilled.close()

    # --- files in the state folder --------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _read_local(self) -> _Local:
        try:
            with open(self._path("local"), "rb") as file:
                return msgspec.msgpack.decode(file.read(), type=_Local)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return _Local([], [], dirty=True)

    def _write_local(self, *, dirty: bool) -> None:
        """Durable, since after a power loss it must not call a table whole that is not."""
        self._local.dirty = dirty
        with open(self._path("local.new"), "wb") as file:
            file.write(msgspec.msgpack.encode(self._local))
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._path("local.new"), self._path("local"))


def put_run(storage: Storage, keys: Keys, packs: Sequence[PackEntry], moment: int | None = None) -> None:
    """Put packs as an index run, or as several where one would grow too large. Not durable before the next barrier.

    Names sort by time: of a chunk that is in two packs, the later one counts, since it was stored to heal the earlier. A run
    is later than all that are listed, whatever the clocks say, unless it takes the place of another at that `moment_of`.
    """
    if moment is None:
        last = max((moment_of(item.name) for item in storage.list(PREFIX)), default=0)
        moment = max(int(storage.now() * 1e6), last + 1)
    part: list[PackEntry] = []
    size = parts = 0
    for number, pack in enumerate(packs, 1):
        part.append(pack)
        size += sum(len(frame.ids) for frame in pack.frames)
        if size >= _MOST_IDS or number == len(packs):
            name = f"{PREFIX}{moment:016x}{parts:04x}{os.urandom(6).hex()}"
            plain = msgspec.msgpack.encode(part)
            storage.put(name, envelope.close(envelope.Kind.INDEX, keys.index, keys.vault_id, name, plain))
            part, size, parts = [], 0, parts + 1


def moment_of(name: str) -> int:
    """The moment in a run's name, in microseconds since 1970; 0 for a name that no run has."""
    try:
        return int(name.removeprefix(PREFIX)[:16], 16)
    except ValueError:
        return 0
