"""The vault's header: made once, never changed, readable without a key but not alterable.

It names the format, the public key, the class keys sealed to it,
and the chunker's parameters (advice: no reader needs them). A MAC under the ``meta`` key covers all of it.
"""

from __future__ import annotations

import os

import msgspec
from blake3 import blake3

from strongroom.vault import crypto, keys
from strongroom.vault.errors import AbsentError, DamagedError, FormatError, PassphraseError, VaultError
from strongroom.vault.keys import DEAR, Cost, Keys
from strongroom.vault.storage import Storage

NAME = "vault"
SLOTS = "keys/"
FEATURES = "features/"
FORMAT = 1
_MAGIC = "strongroom vault"
_SEALING = "x25519-hkdf-sha256-aes256gcm"
# Frames that rest on chunks of others: who does not know them could neither read, nor say what is needed.
PREFIXED = "prefixed"
_KNOWN_FEATURES = frozenset({PREFIXED})


class Chunker(msgspec.Struct, frozen=True, kw_only=True):
    """FastCDC's sizes in bytes, for files above the size of a frame."""

    name: str = "fastcdc"
    least: int = 256 << 10
    average: int = 512 << 10
    most: int = 4 << 20


CHUNKER = Chunker()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the object ``vault`` holds."""

    magic: str
    format: int
    id: bytes
    public: bytes
    sealed: dict[str, bytes]
    dedup: str
    chunker: Chunker
    sealing: str = _SEALING
    mac: bytes = b""


def create(
    storage: Storage,
    passphrase: bytes,
    *,
    dedup: str = "vault",
    cost: Cost = DEAR,
    chunker: Chunker = CHUNKER,
) -> Keys:
    """Make a vault in an empty storage; ``cost`` is that of stretching the passphrase.

    Raise FormatError when there is one already.
    """
    private = crypto.new_private()
    public = crypto.public_of(private)
    vault_id = os.urandom(16)
    classes = {name: os.urandom(crypto.KEY_SIZE) for name in ("id", "index", "meta")}
    header = Header(
        magic=_MAGIC,
        format=FORMAT,
        id=vault_id,
        public=public,
        sealed={name: keys.seal(public, key, name.encode() + vault_id) for name, key in classes.items()},
        dedup=dedup,
        chunker=chunker,
    )
    header = msgspec.structs.replace(header, mac=_mac(header, classes["meta"]))
    # The slot first: a vault whose header is there can always be opened.
    add_slot(storage, vault_id, private, passphrase, label="init", cost=cost)
    storage.barrier()
    if not storage.put_if_absent(NAME, msgspec.msgpack.encode(header)):
        raise FormatError("there is a vault already; it is left as it is")
    storage.barrier()
    return Keys(vault_id=vault_id, public=public, private=private, **classes)


def load(storage: Storage) -> Header:
    """Read the header. Raise AbsentError, FormatError, DamagedError."""
    try:
        header = msgspec.msgpack.decode(storage.get(NAME), type=Header)
    except AbsentError as error:
        raise AbsentError("there is no vault there; make one with: strongroom init") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError("the vault's header is damaged; copy the object 'vault' back from a copy") from error
    if header.magic != _MAGIC:
        raise FormatError("the object 'vault' is not the header of a strongroom vault")
    if header.format != FORMAT or header.sealing != _SEALING:
        raise FormatError(f"the vault has format {header.format}: it needs a newer strongroom")
    refuse(storage, "read", "open")
    return header


def refuse(storage: Storage, what: str, doing: str) -> None:
    """Raise FormatError when a vault uses features that this program does not know and must, to ``read``, ``write`` or ``prune``.

    A feature is an empty object ``features/WHAT-NAME``, put before the first object that uses it: the header never changes,
    and yet a vault can grow.
    """
    prefix = f"{FEATURES}{what}-"
    used = {item.name.removeprefix(prefix) for item in storage.list(FEATURES) if item.name.startswith(prefix)}
    if unknown := sorted(used - _KNOWN_FEATURES):
        raise FormatError(f"cannot {doing} this vault: it uses {', '.join(unknown)}; use a newer strongroom")


def announce(storage: Storage, feature: str) -> None:
    """Say, durably, that a vault uses a feature which readers, writers and sweepers must all know; see `refuse`."""
    wanted = [f"{FEATURES}{what}-{feature}" for what in ("read", "write", "prune")]
    there = {item.name for item in storage.list(FEATURES)}
    for name in wanted:
        if name not in there:
            storage.put_if_absent(name, b"")
    # What is there may have been put by a run that was killed before it could make it durable.
    storage.distrust(FEATURES)
    storage.barrier()


def unlock(storage: Storage, header: Header, passphrase: bytes, first: str | None = None) -> tuple[Keys, str]:
    """Open the vault with a passphrase: the keys, and the name of the slot that fitted (try it ``first`` next time)."""
    names = sorted((listed.name for listed in storage.list(SLOTS)), key=lambda name: (name != first, name))
    refused: VaultError | None = None
    for name in names:
        try:
            slot = msgspec.msgpack.decode(storage.get(name), type=keys.Slot)
            private = keys.open_slot(header.id, slot, passphrase)
        except (PassphraseError, FormatError) as error:
            refused = refused or error
        except AbsentError:
            continue  # taken away between listing and reading
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            refused = PassphraseError(f"key slot {name} is damaged, and no other slot opens with this passphrase")
            refused.__cause__ = error
        else:
            return _keys(header, private), name
    raise refused or DamagedError("the vault has no key slot left: without one, nothing in it can be read")


def damaged_slots(storage: Storage) -> list[str]:
    """The names of key slots that do not even decode."""
    damaged = []
    for item in storage.list(SLOTS):
        try:
            keys.check_slot(msgspec.msgpack.decode(storage.get(item.name), type=keys.Slot))
        except (msgspec.MsgspecError, UnicodeDecodeError, FormatError):
            damaged.append(item.name)
        except AbsentError:
            continue
    return damaged


def _keys(header: Header, private: bytes) -> Keys:
    public = crypto.public_of(private)
    classes = {
        name: keys.unseal(private, header.sealed.get(name, b""), name.encode() + header.id)
        for name in ("id", "index", "meta")
    }
    if public != header.public or header.mac != _mac(header, classes["meta"]):
        raise DamagedError("the vault's header was altered: its keys and its seal do not fit")
    return Keys(vault_id=header.id, public=public, private=private, **classes)


def add_slot(
    storage: Storage, vault_id: bytes, private: bytes, passphrase: bytes, label: str = "", *, cost: Cost = DEAR
) -> str:
    """Let one more passphrase open the vault; returns the slot's name."""
    name = SLOTS + os.urandom(8).hex()
    storage.put(name, msgspec.msgpack.encode(keys.new_slot(vault_id, private, passphrase, label, cost=cost)))
    storage.barrier()
    return name


def remove_slot(storage: Storage, name: str) -> None:
    """Take a slot away; the last one stays. Raise DamagedError."""
    if [listed.name for listed in storage.list(SLOTS)] == [name]:
        raise DamagedError("this is the vault's last key slot; add another before removing it")
    storage.delete(name)
    storage.barrier()


def _mac(header: Header, meta: bytes) -> bytes:
    bare = msgspec.structs.replace(header, mac=b"")
    return blake3(b"strongroom header 1" + msgspec.msgpack.encode(bare), key=meta).digest()
