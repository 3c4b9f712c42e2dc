"""Reading a vault: chunks, records, and what a snapshot holds at a path.

Every chunk is hashed again when it is read. Decoded frames are kept, a few at a time, because neighbours in a folder are
neighbours in a frame. One file of a snapshot costs four gets: snapshot, segment, record, data; and one for each frame that
the data's rests on.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from blake3 import blake3

from strongroom.vault import pack, snapshot
from strongroom.vault import record as records
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.frame import HEAD_SIZE, Head, Item, Kind, Opener, read_head
from strongroom.vault.index import FramePlace, Index
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.record import Record, Row
from strongroom.vault.snapshot import SegmentHead, Snapshot
from strongroom.vault.storage import Storage

_KEPT_FRAMES = 24
_KEPT_BYTES = 48 << 20
# Frames rest on chunks of plain ones. Where such a chunk was lost and stored again, its frame may rest on others: a few
# steps of that are followed, and a circle is damage.
_DEEPEST = 4
# What is read of a frame to learn what it rests on; nearly always all of it.
_BEGINNING = 4096
_KEPT_BASES = 4096


class Piece(NamedTuple):
    """One chunk of a file: which of the asked files, the offset there, its size, and its id."""

    number: int
    offset: int
    size: int
    id: bytes


class Sealed(NamedTuple):
    """A frame as it is stored, but for its encryption."""

    scope: int
    items: list[Item]
    references: bytes
    body: bytes


class Frame:
    """A decoded frame."""

    def __init__(self, kind: int, scope: int, items: list[Item], references: bytes, body: bytes) -> None:
        self.kind, self.scope = kind, scope
        self._body, self._references = body, references
        self.size = len(body)
        self._at: dict[bytes, tuple[int, int, int, int]] = {}
        offset = reference = 0
        for item in items:
            end, last = offset + item.size, reference + item.references * ID_SIZE
            self._at[item.id] = (offset, end, reference, last)
            offset, reference = end, last

    def chunk(self, id: bytes) -> tuple[bytes, bytes] | None:
        """A chunk's bytes and references."""
        place = self._at.get(id)
        if place is None:
            return None
        return self._body[place[0] : place[1]], self._references[place[2] : place[3]]


class Reader:
    """Reads chunks and records through an index. Of decoded frames at most ``kept`` bytes stay, but always one."""

    def __init__(self, storage: Storage, keys: Keys, index: Index, *, kept: int = _KEPT_BYTES) -> None:
        self.storage, self.keys, self.index = storage, keys, index
        self._most_kept = kept
        self._opener = Opener(keys)
        self._frames: OrderedDict[tuple[bytes, int], Frame] = OrderedDict()
        self._kept_bytes = 0
        self._keeping = threading.Lock()  # a check reads with several threads
        self._bases: OrderedDict[tuple[bytes, int], tuple[bytes, ...]] = OrderedDict()
        self._chunk_keys: dict[int, bytes] = {}
        self._node_keys: dict[int, bytes] = {}

    # --- chunks ---------------------------------------------------------------------------------------------------

    def locate(self, id: bytes) -> FramePlace:
        """Where a chunk lies; looks once more at the storage when it is not known. Raise AbsentError."""
        place = self.index.find(id)
        if place is None:
            self.index.reload()
            place = self.index.find(id)
        if place is None:
            raise AbsentError(f"chunk {id.hex()} is not in the vault's index; run: strongroom check --repair")
        return place

    def frame(self, place: FramePlace, depth: int = 0) -> Frame:
        """A decoded frame. Raise DamagedError, AbsentError."""
        key = (place.pack.id, place.offset)
        with self._keeping:
            frame = self._frames.get(key)
            if frame is not None:
                self._frames.move_to_end(key)
                return frame
        frame = self.read_frame(place, depth)
        with self._keeping:
            if key not in self._frames:
                self._frames[key] = frame
                self._kept_bytes += frame.size
            while len(self._frames) > 1 and (len(self._frames) > _KEPT_FRAMES or self._kept_bytes > self._most_kept):
                self._kept_bytes -= self._frames.popitem(last=False)[1].size
        return frame

    def read_frame(self, place: FramePlace, depth: int = 0) -> Frame:
        """Read and decode a frame, with no chunk's hash compared yet, but those of the chunks that it rests on."""
        head, items, references, data = self._open(place)
        with _named(place):
            prefix = self._prefix(head, references, depth) if head.kind == Kind.PREFIXED else b""
            body = self._opener.body(place.pack.id, head, data, prefix)
            if sum(item.size for item in items) != len(body):
                raise DamagedError("its contents do not add up")
        return Frame(head.kind, head.scope, items, references, body)

    def sealed(self, place: FramePlace) -> Sealed:
        """A frame's parts with its body compressed as it is. Raise DamagedError, AbsentError."""
        head, items, references, data = self._open(place)
        with _named(place):
            return Sealed(head.scope, items, references, self._opener.packed(place.pack.id, head, data))

    def _open(self, place: FramePlace) -> tuple[Head, list[Item], bytes, bytes]:
        """A frame's head, contents, references, and all of its bytes."""
        data = self.storage.get(pack.name_of(place.pack.id), place.offset, place.size)
        with _named(place):
            head = read_head(data)
            if head.size != place.size or len(data) < place.size:
                raise DamagedError("a frame is cut short")
            items = self._opener.contents(place.pack.id, head, data)
            references = self._opener.references(place.pack.id, head, data)
            if sum(item.references for item in items) * ID_SIZE != len(references):
                raise DamagedError("its contents do not add up")
        return head, items, references, data

    def _prefix(self, head: Head, references: bytes, depth: int) -> bytes:
        """The bytes that a prefixed frame rests on. Raise DamagedError."""
        if depth >= _DEEPEST or not references:
            raise DamagedError("a frame rests on nothing, or on itself")
        found = []
        for id in _ids(references):
            try:
                base = self._frame_of(id, depth + 1)
            except AbsentError as error:
                raise DamagedError(f"chunk {id.hex()} is gone, which it rests on") from error
            chunk = base.chunk(id)
            if chunk is None or base.scope != head.scope or self.hash_data(chunk[0], base.scope) != id:
                raise DamagedError(f"chunk {id.hex()}, which it rests on, is not what was stored")
            found.append(chunk[0])
        return b"".join(found)

    def bases(self, place: FramePlace) -> tuple[bytes, ...]:
        """The chunks that a frame rests on; none for most. Raise DamagedError, AbsentError."""
        if place.pack.kind != Kind.PREFIXED:
            return ()
        key = (place.pack.id, place.offset)
        if key not in self._bases:
            name = pack.name_of(place.pack.id)
            with _named(place):
                data = self.storage.get(name, place.offset, min(place.size, _BEGINNING))
                head = read_head(data)
                if HEAD_SIZE + head.contents_size + head.references_size > len(data):
                    data = self.storage.get(name, place.offset, place.size)
                references = self._opener.references(place.pack.id, head, data)
            self._bases[key] = tuple(_ids(references))
            if len(self._bases) > _KEPT_BASES:
                self._bases.popitem(last=False)
        return self._bases[key]

    def places(self, id: bytes) -> Iterator[FramePlace]:
        """The frames to be read for a chunk: its own, and those that this one rests on. Raise DamagedError, AbsentError."""
        place = self.locate(id)
        yield place
        for base in self.bases(place):
            yield self.locate(base)

    def _frame_of(self, id: bytes, depth: int = 0) -> Frame:
        """The frame that holds a chunk. A sweeper may have carried it elsewhere since we looked: look once more."""
        try:
            return self.frame(self.locate(id), depth)
        except AbsentError:
            self.index.reload()
            return self.frame(self.locate(id), depth)

    def chunk(self, id: bytes) -> bytes:
        """A data chunk's bytes, hashed again. Raise AbsentError, DamagedError."""
        frame = self._frame_of(id)
        found = frame.chunk(id)
        if found is None or self.hash_data(found[0], frame.scope) != id:
            raise DamagedError(f"chunk {id.hex()} is not what was stored")
        return found[0]

    def node(self, id: bytes) -> tuple[bytes, bytes]:
        """A tree node's body and references, hashed again. Raise AbsentError, DamagedError."""
        frame = self._frame_of(id)
        found = frame.chunk(id)
        if found is None or self.hash_node(found[1], found[0], frame.scope) != id:
            raise DamagedError(f"tree node {id.hex()} is not what was stored")
        return found

    def hash_data(self, data: bytes, scope: int) -> bytes:
        """The id that a data chunk must have."""
        key = self._chunk_keys.get(scope)
        if key is None:
            key = self._chunk_keys[scope] = self.keys.chunk_key(scope)
        return blake3(data, key=key).digest(ID_SIZE)

    def hash_node(self, references: bytes, body: bytes, scope: int) -> bytes:
        """The id that a tree node must have."""
        key = self._node_keys.get(scope)
        if key is None:
            key = self._node_keys[scope] = self.keys.node_key(scope)
        return records.node_id(key, references, body)

    def check_chunk(self, kind: int, scope: int, id: bytes, found: tuple[bytes, bytes]) -> bool:
        """Whether a chunk of a decoded frame is what its id says."""
        if kind == Kind.TREE:
            return self.hash_node(found[1], found[0], scope) == id
        return self.hash_data(found[0], scope) == id

    # --- snapshots ------------------------------------------------------------------------------------------------

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """One snapshot. Raise AbsentError, DamagedError."""
        return snapshot.decode(self.storage.get(snapshot.name_of(snapshot_id)), snapshot_id, self.keys)

    def segment(self, head: SegmentHead) -> list[tuple[bytes, bytes]]:
        """The folders of one segment of a map."""
        return snapshot.decode_segment(*self.node(head.id))

    def record(self, record_id: bytes) -> Record:
        """One directory record."""
        return records.decode(*self.node(record_id))

    def record_id(self, of: Snapshot, path: bytes) -> bytes | None:
        """The record id of a folder, or None."""
        number = snapshot.segment_for(of.segments, path)
        if number is None:
            return None
        for folder, record_id in self.segment(of.segments[number]):
            if folder == path:
                return record_id
        return None

    def directories(self, of: Snapshot, below: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The (path, record id) pairs at and below a folder, sorted; all of them for no path."""
        first = snapshot.segment_for(of.segments, below) if below else 0
        inside = below + b"/"
        for head in of.segments[first or 0 :]:
            beyond = records.sort_key(head.first) > records.sort_key(below)
            if below and beyond and not head.first.startswith(inside):
                return
            for path, record_id in self.segment(head):
                if not below or path == below or path.startswith(inside):
                    yield path, record_id

    def row(self, of: Snapshot, path: bytes) -> Row | None:
        """The row of a path that is not a folder, or None."""
        folder, _, name = path.rpartition(b"/")
        record_id = self.record_id(of, folder) if folder else None
        if record_id is None:
            return None
        for row in self.record(record_id).rows:
            if row.name == name and row.type != records.Type.DIR:
                return row
        return None

    # --- content --------------------------------------------------------------------------------------------------

    def references(self, row: Row) -> bytes:
        """The chunk ids of a row's content, list nodes resolved."""
        ids = records.content_references(row)
        for _ in range(row.extra.depth):
            ids = b"".join([self.node(ids[at : at + ID_SIZE])[1] for at in range(0, len(ids), ID_SIZE)])
        return ids

    def lengths(self, row: Row) -> tuple[int, ...]:
        """The sizes of a row's chunks, in order."""
        if row.extra.depth:
            return tuple(self._listed_lengths(records.content_references(row), row.extra.depth))
        content = stored_size(row)
        return row.extra.lengths or ((content,) if content else ())

    def _listed_lengths(self, ids: bytes, depth: int) -> Iterator[int]:
        for at in range(0, len(ids), ID_SIZE):
            body, references = self.node(ids[at : at + ID_SIZE])
            if depth > 1:
                yield from self._listed_lengths(references, depth - 1)
            else:
                yield from msgspec.msgpack.decode(body, type=records.ListNode).lengths

    def xattrs(self, extra: records.Extra, references: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """An entry's extended attributes with the large values fetched."""
        large = sum(isinstance(value, int) for _, value in extra.xattrs)
        ids = references[len(references) - large * ID_SIZE :]
        return tuple(
            (name, value if isinstance(value, bytes) else self.chunk(ids[value * ID_SIZE : (value + 1) * ID_SIZE]))
            for name, value in extra.xattrs
        )

    def pieces(self, rows: Sequence[Row]) -> Iterator[Piece]:
        """Where the chunks of files belong, file by file."""
        for number, row in enumerate(rows):
            ids = self.references(row)
            at = 0
            places = _offsets(row, self.lengths(row))
            for offset, size in places:
                yield Piece(number, offset, size, ids[at : at + ID_SIZE])
                at += ID_SIZE

    def contents(self, rows: Sequence[Row]) -> Iterator[tuple[int, int, bytes]]:
        """The content of files as (number, offset, bytes), frame by frame. Raise AbsentError, DamagedError."""
        wanted: dict[tuple[bytes, int], tuple[FramePlace, list[Piece]]] = {}
        for piece in self.pieces(rows):
            place = self.locate(piece.id)
            wanted.setdefault((place.pack.id, place.offset), (place, []))[1].append(piece)
        for place, pieces in wanted.values():
            try:
                together = self.frame(place)
            except AbsentError:
                together = None  # carried over into other frames while we read
            for piece in pieces:
                frame = together or self._frame_of(piece.id)
                found = frame.chunk(piece.id)
                if found is None or len(found[0]) != piece.size or self.hash_data(found[0], frame.scope) != piece.id:
                    raise DamagedError(f"chunk {piece.id.hex()} is not what was stored")
                yield piece.number, piece.offset, found[0]


@contextlib.contextmanager
def _named(place: FramePlace) -> Iterator[None]:
    """Say where damage is."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"{pack.name_of(place.pack.id)} is damaged at byte {place.offset}: {error}") from error


def _ids(references: bytes) -> Iterator[bytes]:
    return (references[at : at + ID_SIZE] for at in range(0, len(references), ID_SIZE))


def stored_size(row: Row) -> int:
    """How many bytes of a file are not holes."""
    if row.type != records.Type.FILE or row.extra.defect in (records.Defect.UNREAD, records.Defect.FOREIGN):
        return 0
    if row.extra.extents is None:
        return row.size
    return sum(size for _, size in row.extra.extents)


def _offsets(row: Row, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Offset and size of each chunk; chunks never span two extents."""
    extents = iter(((0, row.size),) if row.extra.extents is None else row.extra.extents)
    offset = left = 0
    for length in lengths:
        while left == 0:
            offset, left = next(extents, (offset, length))
        yield offset, length
        offset += length
        left -= length
