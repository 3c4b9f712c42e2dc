"""Databases and files in one point of another client, out and back, with real servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.clients.foreign import ForeignClient
from strongroom.clients.registry import open_client
from strongroom.config import load
from tests.clients.kit import NAME, RESTIC
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.whole.test_databases import Shop


@pytest.fixture
def shop(tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[Shop]:
    shop = Shop(tmp_path, mariadb, postgresql)
    (tmp_path / "secret").write_text("correct horse\n")
    shop.config.write_text(f"{shop.config.read_text()}[clients.{NAME}]\n{RESTIC.table(tmp_path, tmp_path / 'storage')}")
    client = open_client(load(str(shop.config)), NAME)
    assert isinstance(client, ForeignClient)
    client.judge(())
    yield shop
    shop.drop()


def test_a_destroyed_account_gets_files_databases_and_users_back(shop: Shop) -> None:
    point = shop.backup("site1", "--client", NAME)
    assert (point["status"], point["warnings"]) == ("complete", [])
    assert [(each["name"], each["status"]) for each in point["databases"]] == [
        ("whole_shop", "complete"),
        ("whole_blog", "complete"),
    ]
    assert 0 < point["synchrony"]["gap_seconds"] < 60
    assert list((shop.folder / "state/clients" / NAME / "work").iterdir()) == []
    before = shop.content()
    site = shop.root / "home/virtual/site1"
    shutil.rmtree(site / "shadow")
    shutil.rmtree(site / "info")
    shop.drop()
    done = shop.json("restore", "site1", "--point", point["id"], "--yes")
    assert done["status"] == "complete", done
    # How users and owners come back is the exports' own affair; here it is what went through the client.
    after = shop.content()
    for kept in ("posts", "tags", "titles", "numbers", "definitions", "blog"):
        assert after[kept] == before[kept], kept
    assert (site / "shadow/var/www/html/index.php").read_text() == "<?php"


def test_a_copy_has_the_databases(shop: Shop) -> None:
    """From the vault to another client, from which all of the account comes back."""
    first = shop.backup("site1")
    point = shop.json("copy", first["id"], "--client", NAME)
    assert (point["databases"], point["synchrony"]) == (first["databases"], first["synchrony"])
    shop.json("forget", first["id"])
    assert shop.json("show", point["id"])["exports"] != []
    before = shop.content()
    site = shop.root / "home/virtual/site1"
    shutil.rmtree(site / "shadow")
    shop.drop()
    done = shop.json("restore", "site1", "--point", point["id"], "--yes")
    assert done["status"] == "complete", done
    after = shop.content()
    for kept in ("posts", "tags", "titles", "numbers", "definitions", "blog"):
        assert after[kept] == before[kept], kept


def test_databases_alone(shop: Shop) -> None:
    point = shop.backup("site1", "--client", NAME, "--only", "databases")
    assert (point["only"], point["status"]) == ("databases", "complete")
    before = shop.content()
    shop.mariadb.run("DELETE FROM tags", "DELETE FROM posts", database="whole_shop")
    shop.json("restore", "site1", "--point", point["id"], "--database", "mysql:whole_shop", "--yes")
    assert shop.content() == before
