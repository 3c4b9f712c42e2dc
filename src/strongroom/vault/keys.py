"""Keys: what protects what, and who can open it.

The vault has an X25519 key pair. Its private key is wrapped by passphrase *slots* (Argon2id, RFC 9106; AES-256-GCM), each an
object of its own, so that slots come and go without touching data. Symmetric *class keys* are sealed to the public key:

* ``id`` names chunks and nodes (keyed BLAKE3) and seeds the chunker;
* ``index`` encrypts what is needed to find chunks;
* ``meta`` encrypts snapshots, references and records: enough to list, to forget and to mark, not to read;
* ``data`` is not one key: each writing process makes its own, sealed to the public key and named by each frame.

A host that held the first three and the public key alone could therefore write and not read. Sealing is ephemeral X25519,
HKDF-SHA256 (RFC 5869), AES-256-GCM with a zero nonce, since each derived key is used once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgspec
from blake3 import blake3

from strongroom.vault import crypto
from strongroom.vault.crypto import KEY_SIZE, Cipher, Forged
from strongroom.vault.errors import DamagedError, FormatError, PassphraseError

SEALED_SIZE = 32 + KEY_SIZE + 16
ID_SIZE = 20
_ZERO_NONCE = bytes(12)

# What a slot may ask for before it is authenticated: its parameters are anyone's who can write to the storage.
_MOST_MEMORY_KIB = 1 << 20
_MOST_ITERATIONS = 16
_MOST_LANES = 16
_SALT_SIZE = 16


class Cost(NamedTuple):
    """What stretching a passphrase takes: memory in KiB, passes over it, lanes."""

    memory: int
    iterations: int
    lanes: int


# About 0.2 s: makes guessing what a person thought of dear.
DEAR = Cost(64 << 10, 3, 4)
# Random 256 bits cannot be guessed at any price, so that every command may begin sooner.
CHEAP = Cost(8 << 10, 1, 1)


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One passphrase's way to the private key; ``memory`` in KiB, as RFC 9106 counts."""

    version: int
    kdf: str
    salt: bytes
    memory: int
    iterations: int
    lanes: int
    wrapped: bytes
    label: str = ""


def seal(public: bytes, key: bytes, context: bytes) -> bytes:
    """Encrypt a key of 32 bytes so that only the vault's private key opens it (80 bytes)."""
    ephemeral = crypto.new_private()
    sender = crypto.public_of(ephemeral)
    cipher = _sealing(crypto.exchange(ephemeral, public), sender, public, context)
    return sender + cipher.encrypt(_ZERO_NONCE, key, context)


def unseal(private: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what `seal` made. Raise DamagedError."""
    if len(sealed) != SEALED_SIZE:
        raise DamagedError("a sealed key has the wrong size")
    sender = sealed[:32]
    try:
        cipher = _sealing(crypto.exchange(private, sender), sender, crypto.public_of(private), context)
        return cipher.decrypt(_ZERO_NONCE, sealed[32:], context)
    except Forged as error:
        raise DamagedError("a sealed key does not open with this vault's private key") from error


def _sealing(shared: bytes, sender: bytes, public: bytes, context: bytes) -> Cipher:
    return Cipher(crypto.hkdf(shared, sender + public, b"strongroom seal 1" + context))


def new_slot(vault_id: bytes, private: bytes, passphrase: bytes, label: str = "", *, cost: Cost) -> Slot:
    """Wrap the private key by a passphrase."""
    slot = Slot(
        version=1, kdf="argon2id", salt=os.urandom(_SALT_SIZE), memory=cost.memory, iterations=cost.iterations,
        lanes=cost.lanes, wrapped=b"", label=label,
    )  # fmt: skip
    wrapped = Cipher(_slot_key(slot, passphrase)).encrypt(_ZERO_NONCE, private, _slot_context(vault_id, slot))
    return msgspec.structs.replace(slot, wrapped=wrapped)


def check_slot(slot: Slot) -> None:
    """Raise FormatError for a slot that asks too much, or that this program cannot know."""
    if slot.version != 1 or slot.kdf != "argon2id":
        raise FormatError(f"a key slot of kind {slot.kdf!r} version {slot.version} needs a newer strongroom")
    low = slot.memory < 8 * slot.lanes or slot.iterations < 1 or slot.lanes < 1 or len(slot.salt) != _SALT_SIZE
    if low or slot.memory > _MOST_MEMORY_KIB or slot.iterations > _MOST_ITERATIONS or slot.lanes > _MOST_LANES:
        raise FormatError("a key slot asks for what no slot may (1 GiB, 16 passes): it is damaged, or not strongroom's")


def open_slot(vault_id: bytes, slot: Slot, passphrase: bytes) -> bytes:
    """The private key. Raise PassphraseError, or FormatError for a slot that asks too much."""
    check_slot(slot)
    try:
        return Cipher(_slot_key(slot, passphrase)).decrypt(_ZERO_NONCE, slot.wrapped, _slot_context(vault_id, slot))
    except Forged as error:
        raise PassphraseError("the passphrase opens none of the vault's key slots; check passphrase_file") from error


def _slot_key(slot: Slot, passphrase: bytes) -> bytes:
    return crypto.argon2id(passphrase, slot.salt, memory=slot.memory, iterations=slot.iterations, lanes=slot.lanes)


def _slot_context(vault_id: bytes, slot: Slot) -> bytes:
    return b"strongroom slot 1" + vault_id + slot.salt


@dataclass(frozen=True)
class Keys:
    """An opened vault's keys. ``private`` is None on a host that may only write."""

    vault_id: bytes
    public: bytes
    id: bytes
    index: bytes
    meta: bytes
    private: bytes | None

    def derive(self, key: bytes, label: bytes) -> bytes:
        """A key for one purpose, from a class key."""
        return blake3(b"strongroom derive 1" + label, key=key).digest()

    def scope(self, alone: str) -> int:
        """Which chunks are shared: those of the whole vault (0, for no name), or only those stored under this name."""
        return int.from_bytes(self.derive(self.id, b"scope" + alone.encode())[:8], "little") | 1 if alone else 0

    def chunk_key(self, scope: int) -> bytes:
        """What file content is hashed with; scopes share nothing."""
        return self.derive(self.id, b"chunk" + scope.to_bytes(8, "little"))

    def node_key(self, scope: int) -> bytes:
        """What tree nodes are hashed with."""
        return self.derive(self.id, b"node" + scope.to_bytes(8, "little"))

    def chunker_seed(self, scope: int) -> int:
        """Moves the chunker's cut points: obfuscation, not secrecy."""
        return int.from_bytes(self.derive(self.id, b"cdc" + scope.to_bytes(8, "little"))[:8], "little") >> 1

    def data_key(self, sealed: bytes) -> bytes:
        """Open a writing process's data key. Raise DamagedError, PassphraseError on a write-only host."""
        if self.private is None:
            raise PassphraseError("this host may write to the vault, not read: give the passphrase of a slot")
        return _data_key(self.private, sealed, self.vault_id)


@lru_cache(maxsize=256)
def _data_key(private: bytes, sealed: bytes, vault_id: bytes) -> bytes:
    return unseal(private, sealed, b"data" + vault_id)
