"""The table of chunk ids."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.vault.table import Place, Table


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "table")


def numbered(number: int) -> bytes:
    return number.to_bytes(6, "little") + number.to_bytes(14, "big")


def test_it_finds_what_was_added_after_any_growth(path: str) -> None:
    table = Table(path)
    rows = {os.urandom(20): Place(number % 7, number, number * 2) for number in range(20_000)}
    for at in range(0, len(rows), 3_000):
        table.add(list(rows.items())[at : at + 3_000])
    assert len(table) == len(rows)
    assert all(table.get(id) == place for id, place in rows.items())
    assert table.get(os.urandom(20)) is None
    assert dict(table.rows()) == rows


def test_it_grows_within_one_large_addition(path: str) -> None:
    table = Table(path)
    rows = {os.urandom(20): Place(1, number, 1) for number in range(120_000)}
    table.add(rows.items())
    assert len(table) == len(rows)
    assert all(table.get(id) == place for id, place in rows.items())


def test_a_full_bucket_overflows_into_the_next_and_round_the_end(path: str) -> None:
    table = Table(path)
    last = 63  # the last of 64 buckets: what does not fit goes to the first
    ids = [last.to_bytes(6, "little") + os.urandom(14) for _ in range(100)]
    table.add((id, Place(1, number, 2)) for number, id in enumerate(ids))
    assert [table.get(id) for id in ids] == [Place(1, number, 2) for number in range(100)]
    assert table.get(last.to_bytes(6, "little") + os.urandom(14)) is None


def test_an_entry_is_replaced_wherever_it_lies(path: str) -> None:
    table = Table(path)
    ids = [bytes(6) + os.urandom(14) for _ in range(60)]
    table.add((id, Place(1, 1, 1)) for id in ids)
    table.add((id, Place(2, 2, 2)) for id in ids)
    assert len(table) == 60
    assert {table.get(id) for id in ids} == {Place(2, 2, 2)}


def test_of_equal_ids_in_one_addition_the_last_counts(path: str) -> None:
    table = Table(path)
    table.add([(numbered(1), Place(9, 9, 9)), (numbered(2), Place(1, 1, 1)), (numbered(1), Place(0, 0, 1))])
    assert table.get(numbered(1)) == Place(0, 0, 1)
    assert len(table) == 2


def test_it_is_there_for_the_next_process(path: str) -> None:
    table = Table(path)
    table.add((numbered(number), Place(number, 0, 1)) for number in range(5_000))
    table.sync()
    table.close()
    again = Table(path)
    assert again.recount() == 5_000
    assert all(again.get(numbered(number)) == Place(number, 0, 1) for number in range(5_000))


def test_growth_takes_nothing_from_what_a_killed_process_left(path: str) -> None:
    Path(f"{path}.new").write_bytes(b"\x05" * 1024 * 256)
    table = Table(path)
    table.add((numbered(number), Place(1, 1, 1)) for number in range(5_000))
    assert len(list(table.rows())) == 5_000
    assert not os.path.exists(f"{path}.new")


def test_a_torn_file_is_an_empty_table(path: str) -> None:
    Path(path).write_bytes(b"torn")
    table = Table(path)
    assert table.get(numbered(1)) is None


def test_an_id_within_the_bytes_of_others_is_not_found(path: str) -> None:
    inside = bytes(20)
    table = Table(path)
    table.add([(b"\0" * 19 + b"\1", Place(0, 0, 0)), (b"\0" * 18 + b"\1\0", Place(0, 0, 0))])
    assert table.get(inside) is None


def test_a_scratch_table_has_no_name(tmp_path: Path) -> None:
    table = Table.scratch(str(tmp_path))
    table.add((numbered(number), Place(1, 1, 1)) for number in range(3_000))
    assert list(tmp_path.iterdir()) == []
    assert table.get(numbered(2_999)) == Place(1, 1, 1)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), max_size=400))
def test_it_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    table = Table(str(tmp_path_factory.mktemp("table") / "table"))
    expected: dict[bytes, Place] = {}
    for number, value in changes:
        id = (number % 5).to_bytes(6, "little") + number.to_bytes(14, "big")
        expected[id] = Place(value, value, value)
        table.add([(id, expected[id])])
    assert dict(table.rows()) == expected
    assert all(table.get(id) == place for id, place in expected.items())
