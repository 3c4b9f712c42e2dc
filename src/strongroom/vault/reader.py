"""Reading a vault: chunks, records, and what a snapshot holds at a path.

Every chunk is hashed again when it is read. One file of a snapshot costs four gets: snapshot, segment, record, data; and one
for each frame that the data's rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from strongroom.vault import record as records
from strongroom.vault import snapshot
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.frame import Kind
from strongroom.vault.frames import KEPT_BYTES, FrameReader
from strongroom.vault.index import FramePlace, Index
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.record import Record, Row
from strongroom.vault.snapshot import SegmentHead, Snapshot
from strongroom.vault.storage import Storage

# Frames that are kept for whoever asks for more of them: of more than so many, none is.
_FEW = 8


class Piece(NamedTuple):
    """One chunk of a file: which of the asked files, the offset there, its size, and its id."""

    number: int
    offset: int
    size: int
    id: bytes


class Reader(FrameReader):
    """Reads chunks, records and snapshots."""

    def __init__(self, storage: Storage, keys: Keys, index: Index, *, kept: int = KEPT_BYTES) -> None:
        super().__init__(storage, keys, index, kept=kept)
        self._node_keys: dict[int, bytes] = {}

    # --- chunks ---------------------------------------------------------------------------------------------------

    def chunk(self, id: bytes) -> bytes:
        """A data chunk's bytes, hashed again. Raise AbsentError, DamagedError."""
        frame = self.frame_of(id)
        found = frame.chunk(id)
        if found is None or self.hash_data(found[0], frame.scope) != id:
            raise DamagedError(f"chunk {id.hex()} is not what was stored")
        return found[0]

    def node(self, id: bytes) -> tuple[bytes, bytes]:
        """A tree node's body and references, hashed again. Raise AbsentError, DamagedError."""
        frame = self.frame_of(id)
        found = frame.chunk(id)
        if found is None or self.hash_node(found[1], found[0], frame.scope) != id:
            raise DamagedError(f"tree node {id.hex()} is not what was stored")
        return found

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
            if row.extra is records.NOTHING and len(row.references) == ID_SIZE:  # as nearly all are
                yield Piece(number, 0, row.size, row.references)
                continue
            ids = self.references(row)
            at = 0
            places = _offsets(row, self.lengths(row))
            for offset, size in places:
                yield Piece(number, offset, size, ids[at : at + ID_SIZE])
                at += ID_SIZE

    def contents(self, rows: Sequence[Row]) -> Iterator[tuple[int, int, bytes]]:
        """The content of files as (number, offset, bytes), frame by frame. Raise AbsentError, DamagedError.

        Of many frames none is kept: each is decoded once, and in the same few pages of memory.
        """
        wanted: dict[tuple[bytes, int], tuple[FramePlace, list[Piece]]] = {}
        for piece in self.pieces(rows):
            place = self.locate(piece.id)
            wanted.setdefault((place.pack.id, place.offset), (place, []))[1].append(piece)
        keep = len(wanted) <= _FEW
        for place, pieces in wanted.values():
            try:
                together = self.frame(place, keep=keep)
            except AbsentError:
                together = None  # carried over into other frames while we read
            for piece in pieces:
                frame = together or self.frame_of(piece.id)
                found = frame.chunk(piece.id)
                if found is None or len(found[0]) != piece.size or self.hash_data(found[0], frame.scope) != piece.id:
                    raise DamagedError(f"chunk {piece.id.hex()} is not what was stored")
                yield piece.number, piece.offset, found[0]


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
