"""Frames: chunks compressed and encrypted together; the smallest thing that is read.

A frame names all that is needed to read it, so that one ranged read suffices and a pack that lost its tail loses that
alone. Layout: a clear head of 128 bytes (below), then three ciphertexts: the *contents* (ids and sizes of the chunks; class
``index``), the *references* (what tree nodes point to, and which chunks a `prefixed` body is compressed against; class
``meta``; absent in other frames), and the *body* (the chunks one after another; class ``data``). The head, the vault's id
and the pack's id are authenticated with each of them.

Head: magic ``SRF1`` (4), kind (1), codec (1), reserved zeros (2), chunks u32, scope u64, number u64, sizes of the three
ciphertexts u32 ×3, raw size of the body u32, sealed data key (80), reserved zeros (4). Little-endian throughout.

The three keys: the data key itself, and keyed BLAKE3 of the sealed key's first 32 bytes (unique to the writing process)
under the class keys. The nonce is the frame's number, unique below one data key.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from blake3 import blake3

from strongroom.vault.codec import zstd
from strongroom.vault.crypto import Cipher, Forged
from strongroom.vault.errors import DamagedError
from strongroom.vault.keys import ID_SIZE, SEALED_SIZE, Keys, seal

HEAD_SIZE = 128
TARGET = 1 << 20
# Nothing writes a frame above this (the record of a folder of two million entries is the largest chunk there is); a forged
# head must not fill the memory.
MOST_RAW = 512 << 20
_MAGIC = b"SRF1"
_HEAD = struct.Struct(f"<4sBB2sIQQIIII{SEALED_SIZE}s4s")
_ITEM = struct.Struct(f"<{ID_SIZE}sII")
_LEVEL = 3
# A prefixed body and the chunks that it rests on, together.
MOST_WINDOW = 16 << 20


class Kind(IntEnum):
    """What a frame's chunks are; a pack holds one kind only, so that the index says what a chunk's frame refers to.

    ``PREFIXED`` is file content as ``DATA`` is, in frames that rest on chunks of others: its codec is that, and no other's.
    """

    DATA = 0
    TREE = 1
    PREFIXED = 2


class Codec(IntEnum):
    """How a body is stored. ``PREFIXED`` is zstd against earlier chunks, the references of the frame's first."""

    RAW = 0
    ZSTD = 1
    PREFIXED = 2


_FORMS = frozenset(
    {(kind, codec) for kind in (Kind.DATA, Kind.TREE) for codec in (Codec.RAW, Codec.ZSTD)}
    | {(Kind.PREFIXED, Codec.PREFIXED)}
)


class Chunk(NamedTuple):
    """One chunk of a frame: its id, its bytes, and for tree nodes the ids it refers to, one after another."""

    id: bytes
    data: bytes
    references: bytes = b""


class Item(NamedTuple):
    """One line of a frame's contents: a chunk's id, its size, and how many ids it refers to."""

    id: bytes
    size: int
    references: int


class Head(NamedTuple):
    """The clear head of a frame."""

    kind: int
    codec: int
    scope: int
    chunks: int
    number: int
    contents_size: int
    references_size: int
    body_size: int
    raw_size: int
    sealed: bytes
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return HEAD_SIZE + self.contents_size + self.references_size + self.body_size


class Sealer:
    """Makes frames under one data key of its own. Make it after fork: a key used by two processes repeats nonces."""

    def __init__(self, keys: Keys, kind: Kind) -> None:
        key = os.urandom(32)
        self._sealed = seal(keys.public, key, b"data" + keys.vault_id)
        self._kind = kind
        self._vault_id = keys.vault_id
        self._body = Cipher(key)
        self._contents = Cipher(blake3(b"strongroom contents 1" + self._sealed[:32], key=keys.index).digest())
        self._references = Cipher(blake3(b"strongroom references 1" + self._sealed[:32], key=keys.meta).digest())
        self._zstd = zstd.ZstdCompressor(level=_LEVEL)
        self._number = 0

    def seal(self, pack_id: bytes, scope: int, chunks: Sequence[Chunk], *, compress: bool = True) -> bytes:
        """One frame for that pack."""
        raw = b"".join([chunk.data for chunk in chunks])
        body, codec = self._compressed(raw) if compress else (raw, Codec.RAW)
        items = [Item(chunk.id, len(chunk.data), len(chunk.references) // ID_SIZE) for chunk in chunks]
        return self.packed(pack_id, scope, items, b"".join([chunk.references for chunk in chunks]), body, codec)

    def packed(
        self, pack_id: bytes, scope: int, items: Sequence[Item], references: bytes, body: bytes, codec: Codec
    ) -> bytes:
        """One frame for that pack, of a body that is compressed already."""
        contents = b"".join([_ITEM.pack(*item) for item in items])
        raw_size = sum([item.size for item in items])
        self._number += 1
        head = _HEAD.pack(
            _MAGIC, self._kind, codec, b"\0\0", len(items), scope, self._number,
            len(contents) + 16, len(references) + 16 if references else 0, len(body) + 16, raw_size, self._sealed, bytes(4),
        )  # fmt: skip
        nonce = self._number.to_bytes(12, "little")
        context = self._vault_id + pack_id + head
        sealed = [head, self._contents.encrypt(nonce, contents, context)]
        if references:
            sealed.append(self._references.encrypt(nonce, references, context))
        sealed.append(self._body.encrypt(nonce, body, context))
        return b"".join(sealed)

    def _compressed(self, raw: bytes) -> tuple[bytes, Codec]:
        body = self._zstd.compress(raw, mode=zstd.ZstdCompressor.FLUSH_FRAME)
        return (body, Codec.ZSTD) if len(body) < len(raw) else (raw, Codec.RAW)


def compress_against(prefix: bytes, raw: bytes) -> bytes:
    """A body compressed against earlier bytes; both together are at most `MOST_WINDOW`."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        # Long-distance matching finds the rows that stayed, wherever they are in the window.
        zstd.CompressionParameter.enable_long_distance_matching: 1,
        zstd.CompressionParameter.window_log: max((len(prefix) + len(raw) - 1).bit_length(), 10),
    }
    base = zstd.ZstdDict(prefix, is_raw=True).as_prefix
    return zstd.ZstdCompressor(options=options, zstd_dict=base).compress(raw, mode=zstd.ZstdCompressor.FLUSH_FRAME)


def _decompressor(prefix: bytes) -> zstd.ZstdDecompressor:
    if not prefix:
        return zstd.ZstdDecompressor()
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: (MOST_WINDOW - 1).bit_length()}
    return zstd.ZstdDecompressor(zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix, options=options)


def read_head(data: bytes, offset: int = 0) -> Head:
    """Parse the clear head at an offset. Raise DamagedError."""
    raw = data[offset : offset + HEAD_SIZE]
    if len(raw) < HEAD_SIZE:
        raise DamagedError("a frame is cut short")
    magic, kind, codec, zeros, chunks, scope, number, contents, references, body, size, sealed, more = _HEAD.unpack(raw)
    if magic != _MAGIC or zeros != b"\0\0" or more != bytes(4):
        raise DamagedError("a frame does not begin as it must")
    # A vault with frames of other kinds says so in its features, and is refused before a frame is read.
    if (kind, codec) not in _FORMS:
        raise DamagedError("a frame is of no known kind")
    if size > MOST_RAW or body > MOST_RAW + 1024 or contents != chunks * _ITEM.size + 16:
        raise DamagedError("a frame's sizes are beyond all bounds")
    return Head(kind, codec, scope, chunks, number, contents, references, body, size, sealed, raw)


class Opener:
    """Reads frames."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def contents(self, pack_id: bytes, head: Head, data: bytes, offset: int = 0) -> list[Item]:
        """What a frame holds; needs the ``index`` key. ``data`` has the frame's head at ``offset``."""
        start = offset + HEAD_SIZE
        sealed = data[start : start + head.contents_size]
        plain = self._decrypt(self._class_key(b"contents", self._keys.index, head), pack_id, head, sealed)
        return [Item(*values) for values in _ITEM.iter_unpack(plain)]

    def references(self, pack_id: bytes, head: Head, data: bytes, offset: int = 0) -> bytes:
        """The ids that the chunks refer to, one after another; needs the ``meta`` key."""
        if not head.references_size:
            return b""
        start = offset + HEAD_SIZE + head.contents_size
        sealed = data[start : start + head.references_size]
        return self._decrypt(self._class_key(b"references", self._keys.meta, head), pack_id, head, sealed)

    def packed(self, pack_id: bytes, head: Head, data: bytes) -> bytes:
        """The body as it is compressed; needs the ``data`` class."""
        start = HEAD_SIZE + head.contents_size + head.references_size
        return self._decrypt(self._keys.data_key(head.sealed), pack_id, head, data[start : start + head.body_size])

    def body(self, pack_id: bytes, head: Head, data: bytes, prefix: bytes = b"") -> bytes:
        """The chunks' bytes one after another; ``prefix`` is what a prefixed frame rests on."""
        packed = self.packed(pack_id, head, data)
        if head.codec == Codec.RAW:
            raw = packed
        else:
            try:
                # The frame's own size field is authenticated with it; no more than the head says may come out.
                raw = _decompressor(prefix).decompress(packed, head.raw_size)
            except zstd.ZstdError as error:
                raise DamagedError("a frame does not decompress") from error
        if len(raw) != head.raw_size:
            raise DamagedError("a frame's body has the wrong size")
        return raw

    @staticmethod
    def _class_key(label: bytes, class_key: bytes, head: Head) -> bytes:
        return blake3(b"strongroom " + label + b" 1" + head.sealed[:32], key=class_key).digest()

    def _decrypt(self, key: bytes, pack_id: bytes, head: Head, sealed: bytes) -> bytes:
        nonce = head.number.to_bytes(12, "little")
        try:
            return Cipher(key).decrypt(nonce, sealed, self._keys.vault_id + pack_id + head.raw)
        except Forged as error:
            raise DamagedError("a frame is damaged: it does not decrypt") from error
