"""Key slots and the header: who opens a vault, and what is refused before a passphrase is stretched."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from strongroom.vault import crypto, header, keys
from strongroom.vault.errors import AbsentError, DamagedError, FormatError, PassphraseError, VaultError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.keys import CHEAP, DEAR, Cost, Keys, Slot

QUICK = Cost(64, 1, 1)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(str(tmp_path / "vault"))


@pytest.fixture
def made(storage: FolderStorage) -> Keys:
    return header.create(storage, b"first", cost=QUICK)


def unlock(storage: FolderStorage, passphrase: bytes, first: str | None = None) -> tuple[Keys, str]:
    return header.unlock(storage, header.load(storage), passphrase, first)


def slots(storage: FolderStorage) -> list[str]:
    return [item.name for item in storage.list(header.SLOTS)]


def add(storage: FolderStorage, made: Keys, passphrase: bytes) -> str:
    assert made.private is not None
    return header.add_slot(storage, made.vault_id, made.private, passphrase, cost=QUICK)


def replace(storage: FolderStorage, name: str, data: bytes) -> None:
    (Path(storage.root) / name).write_bytes(data)


def test_the_same_keys_come_out_whatever_slot_opens(storage: FolderStorage, made: Keys) -> None:
    second = add(storage, made, b"second")
    assert unlock(storage, b"first")[0] == unlock(storage, b"second")[0] == made
    assert unlock(storage, b"second")[1] == second


def test_a_removed_slot_opens_nothing_and_the_last_one_stays(storage: FolderStorage, made: Keys) -> None:
    (first,) = slots(storage)
    second = add(storage, made, b"second")
    header.remove_slot(storage, first)
    with pytest.raises(PassphraseError):
        unlock(storage, b"first")
    assert unlock(storage, b"second")[0] == made
    with pytest.raises(DamagedError, match="last key slot"):
        header.remove_slot(storage, second)


def test_a_wrong_passphrase_is_one_line(storage: FolderStorage, made: Keys) -> None:
    with pytest.raises(PassphraseError, match=r"^the passphrase opens none of .*; check passphrase_file$"):
        unlock(storage, b"First")


def test_the_slot_that_fitted_last_time_is_tried_first(storage: FolderStorage, made: Keys) -> None:
    names = [add(storage, made, b"same") for _ in range(3)]
    for name in names:
        assert unlock(storage, b"same", name)[1] == name
    assert unlock(storage, b"same", "keys/gone")[0] == made


def test_without_a_slot_nothing_opens(storage: FolderStorage, made: Keys) -> None:
    for name in slots(storage):
        storage.delete(name)
    with pytest.raises(DamagedError, match="no key slot left"):
        unlock(storage, b"first")


@pytest.mark.parametrize(
    "cost",
    [
        Cost(2 << 20, 1, 1),
        Cost(64, 17, 1),
        Cost(1024, 1, 17),
        Cost(7, 1, 1),
        Cost(64, 0, 1),
        Cost(64, 1, 0),
        Cost(-1, 1, 1),
    ],
)
def test_what_no_slot_may_ask_is_refused_before_anything_is_stretched(
    storage: FolderStorage, made: Keys, cost: Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = slots(storage)
    slot = msgspec.msgpack.decode(storage.get(name), type=Slot)
    asking = msgspec.structs.replace(slot, memory=cost.memory, iterations=cost.iterations, lanes=cost.lanes)
    replace(storage, name, msgspec.msgpack.encode(asking))
    with monkeypatch.context() as patched, pytest.raises(FormatError, match="what no slot may"):
        patched.setattr(crypto, "argon2id", None)
        unlock(storage, b"first")
    # It does not hide a slot that opens.
    made_again = add(storage, made, b"second")
    assert unlock(storage, b"second", name)[1] == made_again
    assert header.damaged_slots(storage) == [name]


def test_whatever_is_done_to_a_slot_is_told_in_one_line(storage: FolderStorage, made: Keys) -> None:
    (name,) = slots(storage)
    data = storage.get(name)
    for at in range(len(data)):
        for bit in (0, 6):
            replace(storage, name, data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :])
            try:
                opened, _ = unlock(storage, b"first")
            except VaultError as error:
                assert "\n" not in str(error)
            else:
                assert opened == made  # the label, which nothing rests on


def test_whatever_is_done_to_the_header_is_refused_or_changes_nothing(storage: FolderStorage, made: Keys) -> None:
    data, whole = storage.get(header.NAME), header.load(storage)
    for at in range(len(data)):
        replace(storage, header.NAME, data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
        try:
            assert unlock(storage, b"first")[0] == made
        except (DamagedError, FormatError, PassphraseError) as error:
            assert "\n" not in str(error)
        else:
            assert header.load(storage) == whole  # the name of a field that has its usual value


def test_a_vault_is_never_made_over_another(storage: FolderStorage, made: Keys) -> None:
    with pytest.raises(FormatError, match="left as it is"):
        header.create(storage, b"other", cost=QUICK)
    assert unlock(storage, b"first")[0] == made


def test_where_none_is_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="strongroom init"):
        header.load(FolderStorage(str(tmp_path)))


def test_unknown_features_refuse_what_they_are_about_and_no_more(storage: FolderStorage, made: Keys) -> None:
    for what in ("write", "prune"):
        storage.put(f"{header.FEATURES}{what}-tomorrow", b"")
        assert unlock(storage, b"first")[0] == made
        with pytest.raises(FormatError, match="tomorrow; use a newer strongroom"):
            header.refuse(storage, what, "do it in")
    storage.put(f"{header.FEATURES}read-tomorrow", b"")
    with pytest.raises(FormatError, match="cannot open this vault: it uses tomorrow"):
        header.load(storage)


def test_a_person_s_passphrase_is_dear_and_a_random_one_cheap() -> None:
    assert DEAR.memory * DEAR.iterations > 10 * CHEAP.memory * CHEAP.iterations
    slot = keys.new_slot(b"v" * 16, b"k" * 32, b"x", cost=DEAR)
    assert (slot.memory, slot.iterations, slot.lanes) == (65536, 3, 4)
    assert keys.open_slot(b"v" * 16, slot, b"x") == b"k" * 32


def test_sealed_keys_open_with_the_private_key_and_context_alone(made: Keys) -> None:
    assert made.private is not None
    sealed = keys.seal(made.public, b"k" * 32, b"here")
    assert keys.unseal(made.private, sealed, b"here") == b"k" * 32
    assert keys.seal(made.public, b"k" * 32, b"here") != sealed
    for private, data, context in (
        (made.private, sealed, b"there"),
        (b"\1" * 32, sealed, b"here"),
        (made.private, sealed[:-1], b"here"),
        (made.private, bytes(80), b"here"),
        (made.private, sealed[:40] + bytes((sealed[40] ^ 1,)) + sealed[41:], b"here"),
    ):
        with pytest.raises(DamagedError):
            keys.unseal(private, data, context)


def test_scopes_share_no_key(made: Keys) -> None:
    for key in (made.chunk_key, made.node_key, made.chunker_seed):
        assert key(0) != key(1)
    assert made.chunk_key(0) != made.node_key(0)
