from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from strongroom.errors import ClientError, UnknownError, UsageError
from strongroom.model import Level, Remark, Status
from strongroom.runs.catalog import Catalog, Identity
from tests.fakes import FakeClient

HERE = Identity(server="", account="site1")


@pytest.fixture
def client() -> FakeClient:
    client = FakeClient()
    for _ in range(3):
        client.add(
            "site1",
            domains=("example.com", "shop.example.com"),
            warnings=(Remark(path=b"data/\xff", message="socket"),),
        )
    client.add("site2")
    return client


def opened(folder: Path, client: FakeClient, notes: list[str] | None = None) -> Catalog:
    catalog = Catalog.open(os.fsencode(folder), (notes if notes is not None else []).append)
    catalog.refresh(client)
    return catalog


def test_points_come_back_whole_and_newest_first(tmp_path: Path, client: FakeClient) -> None:
    with opened(tmp_path, client) as catalog:
        assert [point.seq for point in catalog.of(HERE)] == [3, 2, 1]
        assert sorted(catalog.all(), key=lambda p: p.id) == sorted(client.points(), key=lambda p: p.id)


def test_a_catalog_that_is_up_to_date_loads_nothing(tmp_path: Path, client: FakeClient) -> None:
    opened(tmp_path, client).close()
    opened(tmp_path, client).close()
    assert client.loads == 1


def test_what_the_client_no_longer_has_is_dropped_with_its_names(tmp_path: Path, client: FakeClient) -> None:
    opened(tmp_path, client).close()
    client.forget([point.id for point in client.points() if point.account == "site1"])
    with opened(tmp_path, client) as catalog:
        assert not catalog.identities("example.com")
        assert [point.account for point in catalog.all()] == ["site2"]


def test_a_state_folder_that_vanished_is_made_again_and_private(tmp_path: Path, client: FakeClient) -> None:
    state = tmp_path / "var" / "state"
    opened(state, client).close()
    assert stat.S_IMODE((state / "catalog.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [b"not a database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_set_aside_said_once_and_built_again(
    tmp_path: Path, client: FakeClient, damage: bytes
) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(damage)
    notes: list[str] = []
    with opened(tmp_path, client, notes) as catalog:
        assert len(catalog.all()) == 4
    assert len(notes) == 1 and "set aside" in notes[0]
    assert [p.read_bytes() for p in tmp_path.glob("catalog.sqlite.damaged-*")] == [damage]
    opened(tmp_path, client, notes).close()
    assert len(notes) == 1


def test_damage_inside_a_page_is_found_too(tmp_path: Path, client: FakeClient) -> None:
    for _ in range(300):
        client.add("site3")
    opened(tmp_path, client).close()
    path = tmp_path / "catalog.sqlite"
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xa5" * 8192
    path.write_bytes(content)
    notes: list[str] = []
    with opened(tmp_path, client, notes) as catalog:
        assert len(catalog.all()) == 304
    assert len(notes) == 1


def test_a_row_that_no_longer_decodes_is_one_line_that_says_what_to_do(tmp_path: Path, client: FakeClient) -> None:
    import sqlite3

    opened(tmp_path, client).close()
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    database.execute("UPDATE points SET point = x'81a0'")
    database.commit()
    database.close()
    with opened(tmp_path, client) as catalog, pytest.raises(ClientError, match="delete this file"):
        catalog.all()


def test_where_nothing_can_be_written_the_catalog_lives_in_memory(tmp_path: Path, client: FakeClient) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    notes: list[str] = []
    with opened(tmp_path / "state", client, notes) as catalog:
        assert len(catalog.all()) == 4
    assert "in memory" in notes[0]


def test_another_versions_tables_are_replaced_without_a_word(tmp_path: Path, client: FakeClient) -> None:
    import sqlite3

    opened(tmp_path, client).close()
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    notes: list[str] = []
    with opened(tmp_path, client, notes) as catalog:
        assert len(catalog.all()) == 4
    assert not notes


def test_a_point_is_found_by_id_and_by_a_unique_prefix(tmp_path: Path, client: FakeClient) -> None:
    with opened(tmp_path, client) as catalog:
        point = client.points()[0]
        assert catalog.point(point.id) == point
        assert catalog.point(point.id[:8]) == point


def test_an_ambiguous_prefix_names_its_candidates(tmp_path: Path) -> None:
    client = FakeClient()
    client.add("site1", id="abc1")
    client.add("site1", id="abd2")
    with opened(tmp_path, client) as catalog:
        with pytest.raises(UsageError, match="abc1.*abd2"):
            catalog.point("ab")
        for wrong in ("zz", "", "%", "ab%", "AB"):
            with pytest.raises(UnknownError):
                catalog.point(wrong)


def test_an_id_that_is_a_prefix_of_another_is_itself(tmp_path: Path) -> None:
    client = FakeClient()
    client.add("site1", id="abc")
    client.add("site1", id="abcd")
    with opened(tmp_path, client) as catalog:
        assert catalog.point("abc").id == "abc"


def test_the_newest_complete_point_is_not_always_the_newest(tmp_path: Path, client: FakeClient) -> None:
    last = client.add("site1", status=Status.INCOMPLETE)
    with opened(tmp_path, client) as catalog:
        assert catalog.newest(HERE) == last
        complete = catalog.newest(HERE, covering=True)
        assert complete is not None and complete.seq == 3
        assert catalog.newest(HERE, client="other") is None


def test_the_last_full_point_is_looked_for_client_by_client(tmp_path: Path, client: FakeClient) -> None:
    with opened(tmp_path, client) as catalog:
        full = catalog.last_full(HERE, "vault")
        assert full is not None and full.seq == 1 and full.level is Level.FULL
        assert catalog.last_full(HERE, "other") is None


def test_accounts_are_found_by_name_and_by_any_domain_they_had(tmp_path: Path, client: FakeClient) -> None:
    with opened(tmp_path, client) as catalog:
        assert catalog.identities("Shop.Example.com") == [HERE]
        assert catalog.identities("site1") == [HERE]
        assert catalog.identities("nowhere.example") == []
        assert catalog.identities("no\udcffbody") == []
        assert [who.account for who in catalog.identities()] == ["site1", "site2"]


def test_two_servers_accounts_of_one_name_stay_apart(tmp_path: Path, client: FakeClient) -> None:
    client.add("site1", id="elsewhere", server="other", seq=9)
    with opened(tmp_path, client) as catalog:
        newest = catalog.newest(HERE)
        assert newest is not None and newest.seq == 3
        assert len(catalog.identities("site1")) == 2


def test_one_clients_refresh_leaves_anothers_rows(tmp_path: Path, client: FakeClient) -> None:
    other = FakeClient()
    other.name = "restic"
    other.add("site1", id="r1")
    with opened(tmp_path, client) as catalog:
        catalog.refresh(other)
        catalog.refresh(client)
        assert len(catalog.all()) == 5
        assert [point.id for point in catalog.all(client="restic")] == ["r1"]


def test_a_point_of_a_part_covers_nothing_and_only_files_make_a_full_one(tmp_path: Path, client: FakeClient) -> None:
    client.add("site1", only="databases", level=Level.FULL)
    with opened(tmp_path, client) as catalog:
        newest, covering, full = (
            catalog.newest(HERE),
            catalog.newest(HERE, covering=True),
            catalog.last_full(HERE, "vault"),
        )
        assert newest is not None and covering is not None and full is not None
        assert (newest.only, covering.seq, full.seq) == ("databases", 3, 1)
