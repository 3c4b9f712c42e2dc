"""Reading frames: found by the index, decoded, and kept for a while, because neighbours in a folder are neighbours in a frame."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from blake3 import blake3

from strongroom.vault import pack
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.frame import HEAD_SIZE, Head, Item, Kind, Opener, read_head
from strongroom.vault.index import FramePlace, Index
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.storage import Storage

_KEPT_FRAMES = 24
KEPT_BYTES = 48 << 20
# Frames rest on chunks of plain ones. Where such a chunk was lost and stored again, its frame may rest on others: a few
# steps of that are followed, and a circle is damage.
_DEEPEST = 4
# What is read of a frame to learn what it rests on; nearly always all of it.
_BEGINNING = 4096
_KEPT_BASES = 4096


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


class FrameReader:
    """Reads frames through an index. Of decoded ones at most ``kept`` bytes stay, but always one."""

    def __init__(self, storage: Storage, keys: Keys, index: Index, *, kept: int = KEPT_BYTES) -> None:
        self.storage, self.keys, self.index = storage, keys, index
        self._most_kept = kept
        self._opener = Opener(keys)
        self._frames: OrderedDict[tuple[bytes, int], Frame] = OrderedDict()
        self._kept_bytes = 0
        self._keeping = threading.Lock()  # a check reads with several threads
        self._bases: OrderedDict[tuple[bytes, int], tuple[bytes, ...]] = OrderedDict()
        self._chunk_keys: dict[int, bytes] = {}

    def locate(self, id: bytes) -> FramePlace:
        """Where a chunk lies; looks once more at the storage when it is not known. Raise AbsentError."""
        place = self.index.find(id)
        if place is None:
            self.index.reload()
            place = self.index.find(id)
        if place is None:
            raise AbsentError(f"chunk {id.hex()} is not in the vault's index; run: strongroom check --repair")
        return place

    def frame(self, place: FramePlace, depth: int = 0, *, keep: bool = True) -> Frame:
        """A decoded frame; not to ``keep`` is for one that is not asked for again. Raise DamagedError, AbsentError."""
        key = (place.pack.id, place.offset)
        with self._keeping:
            frame = self._frames.get(key)
            if frame is not None:
                self._frames.move_to_end(key)
                return frame
        frame = self.read_frame(place, depth)
        if not keep:
            return frame
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
                base = self.frame_of(id, depth + 1)
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

    def frame_of(self, id: bytes, depth: int = 0) -> Frame:
        """The frame that holds a chunk. A sweeper may have carried it elsewhere since we looked: look once more."""
        try:
            return self.frame(self.locate(id), depth)
        except AbsentError:
            self.index.reload()
            return self.frame(self.locate(id), depth)

    def hash_data(self, data: bytes, scope: int) -> bytes:
        """The id that a data chunk must have."""
        key = self._chunk_keys.get(scope)
        if key is None:
            key = self._chunk_keys[scope] = self.keys.chunk_key(scope)
        return blake3(data, key=key).digest(ID_SIZE)


@contextlib.contextmanager
def _named(place: FramePlace) -> Iterator[None]:
    """Say where damage is."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"{pack.name_of(place.pack.id)} is damaged at byte {place.offset}: {error}") from error


def _ids(references: bytes) -> Iterator[bytes]:
    return (references[at : at + ID_SIZE] for at in range(0, len(references), ID_SIZE))
