"""Frames, packs and envelopes: nothing that was altered, moved or made up is taken for what was stored."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.vault import envelope, header
from strongroom.vault.codec import zstd
from strongroom.vault.crypto import Cipher
from strongroom.vault.errors import DamagedError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.frame import HEAD_SIZE, Chunk, Codec, Kind, Opener, Sealer, read_head
from strongroom.vault.keys import CHEAP, Keys
from strongroom.vault.pack import PackWriter, name_of, read_frames

PACK = b"p" * 16
NAME = "snapshots/one"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return header.create(FolderStorage(str(tmp_path_factory.mktemp("keys"))), b"x", cost=CHEAP)


def other_keys(tmp_path: Path) -> Keys:
    return header.create(FolderStorage(str(tmp_path / "other")), b"x", cost=CHEAP)


def opened(keys: Keys, data: bytes, pack: bytes = PACK) -> tuple[list[bytes], bytes, bytes]:
    head, opener = read_head(data), Opener(keys)
    items = opener.contents(pack, head, data)
    return [item.id for item in items], opener.references(pack, head, data), opener.body(pack, head, data)


# --- frames -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.binary(max_size=300), st.integers(0, 3)), max_size=6),
    st.booleans(),
)
def test_a_frame_opens_as_it_was_sealed(keys: Keys, chunks: list[tuple[bytes, bytes, int]], compress: bool) -> None:
    made = [Chunk(id, data, bytes(20 * count)) for id, data, count in chunks]
    data = Sealer(keys, Kind.TREE).seal(PACK, 3, made, compress=compress)
    head = read_head(data)
    assert (head.size, head.scope, head.chunks) == (len(data), 3, len(made))
    ids, references, body = opened(keys, data)
    assert ids == [chunk.id for chunk in made]
    assert references == b"".join([chunk.references for chunk in made])
    assert body == b"".join([chunk.data for chunk in made])


def test_not_one_flipped_bit_goes_unnoticed(keys: Keys) -> None:
    data = Sealer(keys, Kind.TREE).seal(PACK, 0, [Chunk(b"i" * 20, b"some text" * 10, b"r" * 40)])
    for at in range(len(data)):
        altered = data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :]
        with pytest.raises(DamagedError):
            opened(keys, altered)


@pytest.mark.parametrize("left", [0, 1, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 20, -1])
def test_a_frame_that_is_cut_short_is_damaged(keys: Keys, left: int) -> None:
    data = Sealer(keys, Kind.DATA).seal(PACK, 0, [Chunk(b"i" * 20, b"some text")])
    with pytest.raises(DamagedError):
        opened(keys, data[:left])


def test_a_frame_belongs_to_its_pack_and_its_vault(keys: Keys, tmp_path: Path) -> None:
    data = Sealer(keys, Kind.DATA).seal(PACK, 0, [Chunk(b"i" * 20, b"some text")])
    with pytest.raises(DamagedError):
        opened(keys, data, b"q" * 16)
    with pytest.raises(DamagedError):
        opened(other_keys(tmp_path), data)


def test_no_two_frames_of_one_key_have_one_nonce(keys: Keys) -> None:
    sealer = Sealer(keys, Kind.DATA)
    heads = [read_head(sealer.seal(PACK, 0, [Chunk(b"i" * 20, b"the same")])) for _ in range(5)]
    assert len({head.sealed for head in heads}) == 1
    assert len({head.number for head in heads}) == 5
    assert read_head(Sealer(keys, Kind.DATA).seal(PACK, 0, [])).sealed != heads[0].sealed


# The head: magic, kind, codec, zeros (2), scope, chunks, number u64, then four sizes u32.
_SIZES = {"contents": 24, "references": 28, "body": 32, "raw": 36}


@pytest.mark.parametrize("field", _SIZES)
def test_a_size_beyond_all_bounds_is_refused_before_anything_is_allocated(keys: Keys, field: str) -> None:
    data = bytearray(Sealer(keys, Kind.TREE).seal(PACK, 0, [Chunk(b"i" * 20, b"x" * 100, b"r" * 20)]))
    struct.pack_into("<I", data, _SIZES[field], 0xFFFFFFF0)
    with pytest.raises(DamagedError):
        opened(keys, bytes(data))


def test_what_does_not_compress_is_stored_raw(keys: Keys) -> None:
    noise = os.urandom(5000)
    data = Sealer(keys, Kind.DATA).seal(PACK, 0, [Chunk(b"i" * 20, noise)])
    assert read_head(data).codec == Codec.RAW
    assert opened(keys, data)[2] == noise


# --- packs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pack(keys: Keys, tmp_path: Path) -> tuple[FolderStorage, str, list[bytes]]:
    """A pack of five frames in a folder."""
    storage = FolderStorage(str(tmp_path / "vault"))
    writer = PackWriter(storage, keys, Sealer(keys, Kind.DATA), Kind.DATA)
    frames = [writer.append(0, [Chunk(bytes([number]) * 20, os.urandom(400))]) for number in range(5)]
    writer.finish()
    storage.put(name_of(writer.id), writer.spool)
    return storage, name_of(writer.id), [frame.ids for frame in frames]


def rewritten(storage: FolderStorage, name: str, data: bytes) -> int:
    (Path(storage.root) / name).write_bytes(data)
    return len(data)


def test_a_whole_pack_names_all_it_holds(keys: Keys, pack: tuple[FolderStorage, str, list[bytes]]) -> None:
    storage, name, ids = pack
    kind, frames, whole = read_frames(storage, keys, name, len(storage.get(name)))
    assert (kind, [frame.ids for frame in frames], whole) == (Kind.DATA, ids, True)


def test_a_pack_that_lost_its_tail_loses_that_alone(keys: Keys, pack: tuple[FolderStorage, str, list[bytes]]) -> None:
    storage, name, ids = pack
    data = storage.get(name)
    _, frames, _ = read_frames(storage, keys, name, len(data))
    for kept in range(1, 5):
        cut = frames[kept].offset + 50
        size = rewritten(storage, name, data[:cut])
        _, left, whole = read_frames(storage, keys, name, size)
        assert [frame.ids for frame in left] == ids[:kept]
        assert not whole


def test_one_bad_frame_hides_no_other_while_the_trailer_is_there(
    keys: Keys, pack: tuple[FolderStorage, str, list[bytes]]
) -> None:
    storage, name, ids = pack
    data = bytearray(storage.get(name))
    _, frames, _ = read_frames(storage, keys, name, len(data))
    data[frames[2].offset + HEAD_SIZE + 5] ^= 1
    _, left, whole = read_frames(storage, keys, name, rewritten(storage, name, bytes(data)))
    assert [frame.ids for frame in left] == ids[:2] + ids[3:]
    assert not whole


def test_a_pack_under_anothers_name_has_nothing_to_say(
    keys: Keys, pack: tuple[FolderStorage, str, list[bytes]]
) -> None:
    storage, name, _ = pack
    other = name_of(b"o" * 16)
    storage.put(other, storage.get(name))
    with pytest.raises(DamagedError):
        read_frames(storage, keys, other, len(storage.get(name)))


# --- envelopes --------------------------------------------------------------------------------------------------------


def sealed(keys: Keys, plain: bytes = b"the plain bytes") -> bytes:
    return envelope.close(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, NAME, plain)


def test_an_envelope_opens_under_its_name_kind_key_and_vault_alone(keys: Keys) -> None:
    data = sealed(keys)
    assert envelope.open_(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, NAME, data) == b"the plain bytes"
    wrong = [
        (envelope.Kind.RECORD, keys.meta, keys.vault_id, NAME),
        (envelope.Kind.SNAPSHOT, keys.index, keys.vault_id, NAME),
        (envelope.Kind.SNAPSHOT, keys.meta, b"v" * 16, NAME),
        (envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, "snapshots/two"),
    ]
    for kind, key, vault_id, name in wrong:
        with pytest.raises(DamagedError):
            envelope.open_(kind, key, vault_id, name, data)


def test_not_one_flipped_bit_of_an_envelope_goes_unnoticed(keys: Keys) -> None:
    data = sealed(keys)
    for at in range(len(data)):
        with pytest.raises(DamagedError):
            altered = data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :]
            envelope.open_(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, NAME, altered)


@given(st.binary(max_size=80))
def test_what_nobody_sealed_is_damaged(keys: Keys, data: bytes) -> None:
    for made in (data, b"SRE1\x01\x01\0\0" + data):
        with pytest.raises(DamagedError):
            envelope.open_(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, NAME, made)


@pytest.mark.parametrize("packed", [b"no zstd", zstd.compress(bytes(300 << 20), 1)])
def test_an_envelope_that_unpacks_to_nonsense_is_damaged(keys: Keys, packed: bytes) -> None:
    """Only who has the key can make one, and even then no size is taken on trust."""
    head = sealed(keys)[:32]
    key = blake3(b"strongroom envelope 1" + head[4:], key=keys.meta).digest()
    data = head + Cipher(key).encrypt(bytes(12), packed, keys.vault_id + head + NAME.encode())
    with pytest.raises(DamagedError):
        envelope.open_(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, NAME, data)
