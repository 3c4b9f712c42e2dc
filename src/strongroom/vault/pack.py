"""Packs: the objects that hold frames.

Layout: head of 64 bytes (magic ``SRPACK1\\n``, vault id, pack id, kind u32, zeros), frames, then the trailer: an envelope
(class ``index``) of the frames' offsets and sizes as u32 pairs, its length u32, and the magic ``SRPEND1\\n``. The trailer is a
convenience: without it the frames are found by hopping from head to head.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from strongroom.vault import envelope
from strongroom.vault.errors import DamagedError
from strongroom.vault.frame import HEAD_SIZE, Chunk, Codec, Head, Item, Kind, Opener, Sealer, read_head
from strongroom.vault.index import FrameEntry
from strongroom.vault.keys import Keys
from strongroom.vault.storage import Spool, Storage

PREFIX = "packs/"
# Finished when it has grown to this: large enough that a vault of terabytes lists quickly, small enough to rewrite.
FULL = 64 << 20
_HEAD = struct.Struct("<8s16s16sI20s")
_MAGIC = b"SRPACK1\n"
_END = b"SRPEND1\n"
_PAIR = struct.Struct("<II")
_FOOT = struct.Struct("<I8s")


def name_of(pack_id: bytes) -> str:
    """The object's name of a pack."""
    text = pack_id.hex()
    return f"{PREFIX}{text[:2]}/{text}"


def id_of(name: str) -> bytes:
    """The pack id in an object's name. Raise DamagedError for another's file."""
    try:
        pack_id = bytes.fromhex(name.rsplit("/", 1)[1])
    except ValueError:
        pack_id = b""
    if len(pack_id) != 16:
        raise DamagedError(f"{name} is no pack of this vault")
    return pack_id


class PackWriter:
    """A pack under construction in a spool."""

    def __init__(self, storage: Storage, keys: Keys, sealer: Sealer, kind: Kind) -> None:
        self.id = os.urandom(16)
        self.kind = kind
        self._keys, self._sealer = keys, sealer
        self.spool = storage.spool()
        self.frames: list[FrameEntry] = []
        head = _HEAD.pack(_MAGIC, keys.vault_id, self.id, kind, bytes(20))
        self.spool.append(head)
        self.size = len(head)

    def append(self, scope: int, chunks: Sequence[Chunk], *, compress: bool = True) -> FrameEntry:
        """Seal chunks into one frame and append it."""
        data = self._sealer.seal(self.id, scope, chunks, compress=compress)
        return self._append(data, b"".join([chunk.id for chunk in chunks]))

    def append_prefixed(self, scope: int, items: Sequence[Item], bases: bytes, body: bytes) -> FrameEntry:
        """Append a frame whose body is compressed against these chunks."""
        data = self._sealer.packed(self.id, scope, items, bases, body, Codec.PREFIXED)
        return self._append(data, b"".join([item.id for item in items]))

    def _append(self, data: bytes, ids: bytes) -> FrameEntry:
        self.spool.append(data)
        entry = FrameEntry(self.size, len(data), ids)
        self.size += len(data)
        self.frames.append(entry)
        return entry

    @property
    def full(self) -> bool:
        """Whether the next frame belongs in another pack."""
        return self.size >= FULL

    def finish(self) -> int:
        """Append the trailer and sync; the spool can be put. Returns the object's size in bytes."""
        return finish(self._keys, self.spool, self.id, self.frames, self.size)


def finish(keys: Keys, spool: Spool, pack_id: bytes, frames: Sequence[FrameEntry], size: int) -> int:
    """Append a trailer after ``size`` bytes of head and frames, and sync. Returns the object's size in bytes.

    Also how the coordinating process finishes the pack of a worker that died: what was acknowledged is whole, and what lies
    behind it is cut off.
    """
    spool.truncate(size)
    pairs = b"".join([_PAIR.pack(frame.offset, frame.size) for frame in frames])
    sealed = envelope.close(envelope.Kind.TRAILER, keys.index, keys.vault_id, name_of(pack_id), pairs)
    foot = sealed + _FOOT.pack(len(sealed), _END)
    spool.append(foot)
    spool.sync()
    return size + len(foot)


def read_frames(storage: Storage, keys: Keys, name: str, size: int) -> tuple[Kind, list[FrameEntry], bool]:
    """Rebuild a pack's index entry from the pack: its kind, its frames, and whether all of it was readable.

    A frame that cannot be read hides those behind it only where the trailer cannot be read either. Raise DamagedError when
    nothing can be read.
    """
    pack_id = id_of(name)
    head = storage.get(name, 0, _HEAD.size)
    whole = len(head) == _HEAD.size and _HEAD.unpack(head)[:3] == (_MAGIC, keys.vault_id, pack_id)
    places = _trailer(storage, keys, name, size)
    offsets = iter(place for place, _ in places) if places is not None else None
    opener = Opener(keys)
    kind = Kind.DATA
    frames: list[FrameEntry] = []
    at: int | None = _HEAD.size if offsets is None else next(offsets, None)
    while at is not None and at < size:
        try:
            found, data = _frame_head(storage, name, at, size)
            ids = b"".join([item.id for item in opener.contents(pack_id, found, data)])
        except DamagedError:
            whole = False
            at = None if offsets is None else next(offsets, None)
            continue
        kind = Kind(found.kind)
        frames.append(FrameEntry(at, found.size, ids))
        at = at + found.size if offsets is None else next(offsets, None)
    if not whole and not frames:
        raise DamagedError(f"{name} is damaged: nothing in it can be read")
    return kind, frames, whole and places is not None


def _trailer(storage: Storage, keys: Keys, name: str, size: int) -> list[tuple[int, int]] | None:
    """The frames' offsets and sizes by the trailer, or None when that cannot be read."""
    foot = storage.get(name, max(size - _FOOT.size, 0), _FOOT.size)
    if len(foot) < _FOOT.size:
        return None
    length, magic = _FOOT.unpack(foot)
    if magic != _END or length + _FOOT.size > size:
        return None
    try:
        sealed = storage.get(name, size - _FOOT.size - length, length)
        pairs = envelope.open_(envelope.Kind.TRAILER, keys.index, keys.vault_id, name, sealed)
    except DamagedError:
        return None
    return list(_PAIR.iter_unpack(pairs))


def _frame_head(storage: Storage, name: str, offset: int, size: int) -> tuple[Head, bytes]:
    """A frame's head, and the bytes of head and contents. Raise DamagedError."""
    head = read_head(storage.get(name, offset, HEAD_SIZE))
    if offset + head.size > size:
        raise DamagedError(f"{name} is damaged: a frame goes beyond its end")
    return head, storage.get(name, offset, HEAD_SIZE + head.contents_size)
