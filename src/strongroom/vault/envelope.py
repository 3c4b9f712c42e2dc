"""Small objects as sealed envelopes: snapshots, index runs, records, tombstones.

Layout: magic ``SRE1`` (4), kind (1), version (1), reserved zeros (2), salt (24), then AES-256-GCM ciphertext of the zstd
frame of the plaintext. The key is keyed BLAKE3 of kind and salt under a class key, used once, hence a zero nonce. The
vault's id, the first 32 bytes and the object's name are authenticated, so that no object can stand in another's place.
"""

from __future__ import annotations

import os
from enum import IntEnum

from blake3 import blake3

from strongroom.vault.codec import zstd
from strongroom.vault.crypto import Cipher, Forged
from strongroom.vault.errors import DamagedError

_MAGIC = b"SRE1"
_VERSION = 1
_HEAD = 32
_NONCE = bytes(12)
# An envelope never needs more than this; a forged size must not fill the memory.
_MOST_BYTES = 256 << 20


class Kind(IntEnum):
    """What an envelope holds."""

    SNAPSHOT = 1
    INDEX = 2
    RECORD = 3
    TOMBSTONE = 4
    TRAILER = 5


def close(kind: Kind, class_key: bytes, vault_id: bytes, name: str, plain: bytes) -> bytes:
    """Encrypt one object's bytes under its name."""
    head = _MAGIC + bytes((kind, _VERSION, 0, 0)) + os.urandom(24)
    return head + _cipher(class_key, head).encrypt(_NONCE, zstd.compress(plain, 3), vault_id + head + name.encode())


def open_(kind: Kind, class_key: bytes, vault_id: bytes, name: str, sealed: bytes) -> bytes:
    """Decrypt what `close` made. Raise DamagedError."""
    head = sealed[:_HEAD]
    # A vault with other versions says so in its header's features, and is refused before an envelope is read.
    if len(head) < _HEAD or head[:6] != _MAGIC + bytes((kind, _VERSION)) or head[6:8] != b"\0\0":
        raise DamagedError(f"{name} is damaged: it does not begin as it must")
    try:
        packed = _cipher(class_key, head).decrypt(_NONCE, sealed[_HEAD:], vault_id + head + name.encode())
        if zstd.get_frame_info(packed).decompressed_size > _MOST_BYTES:
            raise DamagedError(f"{name} is damaged: its size is beyond all bounds")
        return zstd.decompress(packed)
    except (Forged, zstd.ZstdError, TypeError) as error:
        raise DamagedError(f"{name} is damaged: it does not decrypt") from error


def _cipher(class_key: bytes, head: bytes) -> Cipher:
    return Cipher(blake3(b"strongroom envelope 1" + head[4:], key=class_key).digest())
