"""Databases and files in one point, out and back, through the real program and real servers."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.panel.servers import write
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.whole.ground import CONFIGURATION, Server

DATABASES = """
[databases.mysql]
socket = "{mysql}"
[databases.postgresql]
host = "{postgresql}"
"""
ROWS = 300
HASH = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


class Shop(Server):
    """site1 has a database on each server, site2 has one whose prefix begins like site1's."""

    def __init__(self, folder: Path, mariadb: MariaDB, postgresql: PostgreSQL) -> None:
        self.mariadb, self.postgresql = mariadb, postgresql
        tables = DATABASES.format(mysql=mariadb.socket, postgresql=postgresql.sockets)
        super().__init__(folder, CONFIGURATION + tables)
        for number, prefix in ((1, "whole_"), (2, "whole_two_")):
            info = self.site(number, f"site{number}.example", uid=10000 * number).parent / "info/current"
            for service in ("mysql", "pgsql"):
                write(info / service, f"[DEFAULT]\nenabled = 1\ndbaseprefix = {prefix}\ndbaseadmin = None\n")
        mariadb.run("CREATE DATABASE whole_shop", "CREATE DATABASE whole_two_other")
        mariadb.run(
            "CREATE TABLE posts (id INT PRIMARY KEY AUTO_INCREMENT, title VARCHAR(99), body LONGBLOB)",
            "CREATE TABLE tags (post INT, tag VARCHAR(9), FOREIGN KEY (post) REFERENCES posts (id))",
            "CREATE VIEW titles AS SELECT title FROM posts",
            "CREATE TABLE numbers (n INT PRIMARY KEY)",
            database="whole_shop",
        )
        for number in range(ROWS):
            mariadb.rows(
                "INSERT INTO posts (title, body) VALUES (%s, %s)",
                f"Grüße {number}",
                os.urandom(50),
                database="whole_shop",
            )
        mariadb.run("INSERT INTO tags VALUES (1, 'new')", database="whole_shop")
        mariadb.run(
            f"CREATE USER 'whole_web'@'localhost' IDENTIFIED BY PASSWORD '{HASH}'",
            "GRANT SELECT, INSERT ON whole_shop.* TO 'whole_web'@'localhost'",
            "CREATE ROLE whole_role",
            "GRANT SELECT ON whole_shop.* TO whole_role",
            "GRANT whole_role TO 'whole_web'@'localhost'",
        )
        postgresql.run("CREATE ROLE whole_app LOGIN PASSWORD 'secret'", "CREATE DATABASE whole_blog OWNER whole_app")
        postgresql.run(
            "CREATE TABLE posts (id SERIAL PRIMARY KEY, title TEXT)",
            "INSERT INTO posts (title) SELECT 'post ' || n FROM generate_series(1, 500) n",
            "ALTER TABLE posts OWNER TO whole_app",
            database="whole_blog",
        )
        write(self.root / "home/virtual/site1/shadow/var/www/html/index.php", "<?php")
        assert self.json("init")["created"] is True

    def drop(self) -> None:
        self.mariadb.run("DROP DATABASE IF EXISTS whole_shop", "DROP DATABASE IF EXISTS whole_two_other")
        self.mariadb.run("DROP USER IF EXISTS 'whole_web'@'localhost'", "DROP DATABASE IF EXISTS whole_again")
        self.mariadb.run("DROP ROLE IF EXISTS whole_role")
        self.postgresql.run("DROP DATABASE IF EXISTS whole_blog", "DROP DATABASE IF EXISTS whole_again")
        self.postgresql.run("DROP ROLE IF EXISTS whole_app")

    def content(self) -> dict[str, Any]:
        """What the account's databases hold, and who may use them."""
        tables = ("posts", "tags", "titles", "numbers")
        found: dict[str, Any] = {
            table: self.mariadb.rows(f"SELECT * FROM {table} ORDER BY 1", database="whole_shop") for table in tables
        }
        found["definitions"] = [
            self.mariadb.rows(f"SHOW CREATE TABLE {table}", database="whole_shop") for table in tables[:2]
        ]
        found["grants"] = self.mariadb.rows("SHOW GRANTS FOR 'whole_web'@'localhost'")
        found["blog"] = self.postgresql.rows("SELECT * FROM posts ORDER BY id", database="whole_blog")
        found["owner"] = self.postgresql.rows(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'posts'", database="whole_blog"
        )
        found["password"] = self.postgresql.rows("SELECT rolpassword FROM pg_authid WHERE rolname = 'whole_app'")
        return found


@pytest.fixture
def shop(tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[Shop]:
    shop = Shop(tmp_path, mariadb, postgresql)
    yield shop
    shop.drop()


def test_a_point_holds_databases_and_files_and_says_how_far_apart_they_are(shop: Shop) -> None:
    point = shop.backup("site1")
    assert [(each["engine"], each["name"], each["status"]) for each in point["databases"]] == [
        ("mysql", "whole_shop", "complete"),
        ("postgresql", "whole_blog", "complete"),
    ]
    assert all(each["position"] and each["bytes"] and each["tables"] for each in point["databases"])
    synchrony = point["synchrony"]
    moments = [synchrony[key] for key in ("exports_started", "transaction_opened", "files_started", "files_finished")]
    assert moments == sorted(moments) and synchrony["method"] == "sequence"
    assert synchrony["gap_seconds"] > 0
    assert point["warnings"] == [] and point["status"] == "complete"
    names = {each["path"] for each in shop.json("ls", point["id"], "databases:/mysql/whole_shop", "-R")}
    assert {"databases:/mysql/whole_shop/manifest.json", "databases:/mysql/whole_shop/tables/posts.sql"} <= names
    text = shop("show", point["id"]).out.decode()
    assert "mysql:whole_shop" in text and "synchrony" in text
    listed = {each["account"]: each["databases"] for each in shop.json("accounts")}
    assert listed["site1"] == ["mysql:whole_shop", "postgresql:whole_blog"]
    assert listed["site2"] == ["mysql:whole_two_other"]
    (other,) = shop.json("backup", "site2")["points"]
    assert [each["name"] for each in other["databases"]] == ["whole_two_other"]


def test_a_list_of_accounts_asks_each_server_once(shop: Shop) -> None:
    def connections() -> int:
        return int(shop.mariadb.rows("SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])

    own = -(connections() - connections())
    before = connections()
    accounts = {account["account"]: account["databases"] for account in shop.json("accounts")}
    assert connections() - before == own + 1
    assert accounts["site1"] == ["mysql:whole_shop", "postgresql:whole_blog"]
    assert accounts["site2"] == ["mysql:whole_two_other"]


def test_a_destroyed_account_gets_files_databases_and_users_back(shop: Shop) -> None:
    point = shop.backup("site1")
    before = shop.content()
    site = shop.root / "home/virtual/site1"
    shutil.rmtree(site / "shadow")
    shutil.rmtree(site / "info")
    shop.drop()
    expected = shop.json("restore", "site1", "--dry-run")["databases"]
    assert [(each["name"], each["status"], each["replaces"]) for each in expected] == [
        ("whole_shop", "complete", None),
        ("whole_blog", "complete", None),
    ]
    done = shop.json("restore", "site1", "--point", point["id"], "--yes")
    assert done["status"] == "complete", done
    assert [(each["name"], each["status"]) for each in done["databases"]] == [
        ("whole_shop", "complete"),
        ("whole_blog", "complete"),
    ]
    assert shop.content() == before
    assert (site / "shadow/var/www/html/index.php").read_text() == "<?php"


def test_a_database_in_place_is_asked_about_and_what_stood_there_is_kept(shop: Shop) -> None:
    point = shop.backup("site1")
    before = shop.content()
    shop.mariadb.run("DELETE FROM tags", "DELETE FROM posts WHERE id > 10", database="whole_shop")
    refused = shop("--json", "restore", "site1", "--database", "mysql:whole_shop")
    assert refused.status == 2 and "mysql:whole_shop replaced" in refused.document["error"]["message"]
    forecast = shop.json("restore", "site1", "--database", "mysql:whole_shop", "--dry-run")
    assert forecast["dry_run"] and forecast["databases"][0]["replaces"] is True
    assert len(shop.mariadb.rows("SELECT id FROM posts", database="whole_shop")) == 10
    done = shop.json("restore", "site1", "--database", "mysql:whole_shop", "--yes")
    (back,) = done["databases"]
    assert (done["status"], done["files"]["written"], done["point"]) == ("complete", 0, point["id"])
    assert shop.content() == before
    kept = shop.root / "home/virtual/site1/shadow" / back["kept"].lstrip("/")
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o777) == (10000, 0o600)
    text = gzip.decompress(kept.read_bytes())
    assert b"CREATE TABLE `posts`" in text and "Grüße 9'".encode() in text and "Grüße 10'".encode() not in text


def test_beside_the_live_one_whole_or_one_table(shop: Shop) -> None:
    shop.backup("site1")
    before = shop.content()
    shop.mariadb.run("DELETE FROM tags", "DELETE FROM posts", database="whole_shop")
    one = shop.json("restore", "site1", "--database", "mysql:whole_shop", "--into", "whole_again", "--yes")
    assert one["databases"][0]["status"] == "complete"
    assert shop.mariadb.rows("SELECT * FROM posts ORDER BY id", database="whole_again") == before["posts"]
    assert shop.mariadb.rows("SELECT * FROM posts", database="whole_shop") == []
    arguments = ("restore", "site1", "--database", "mysql:whole_shop", "--table", "tags", "--into", "tags_then")
    assert "refers to" in shop(*arguments, "--dry-run").out.decode()
    shop.json(*arguments, "--yes", status=0)
    assert shop.mariadb.rows("SELECT * FROM tags_then", database="whole_shop") == before["tags"]
    shop.json("restore", "site1", "--database", "postgresql:whole_blog", "--into", "whole_again", "--yes")
    assert shop.postgresql.rows("SELECT * FROM posts ORDER BY id", database="whole_again") == before["blog"]
    taken = shop("--json", "restore", "site1", "--database", "mysql:whole_shop", "--into", "whole_again", "--yes")
    assert taken.status == 2 and "there already" in taken.document["error"]["message"]
    tables = len(shop.mariadb.rows("SHOW TABLES FROM mysql"))
    for engine, name in (("mysql:whole_shop", "mysql"), ("mysql:whole_shop", "sys"), ("postgresql:whole_blog", "postgres")):
        servers = shop("--json", "restore", "site1", "--database", engine, "--into", name, "--yes")
        assert servers.status == 2 and f"{name} is not a database of site1" in servers.document["error"]["message"]
    assert len(shop.mariadb.rows("SHOW TABLES FROM mysql")) == tables
    foreign = shop("--json", "restore", "site1", "--database", "mysql:whole_shop", "--into", "whole_two_x", "--yes")
    assert foreign.status == 2 and "not a database of site1" in foreign.document["error"]["message"]


def test_to_a_folder_an_export_comes_as_files(shop: Shop) -> None:
    shop.backup("site1")
    out = shop.folder / "out"
    shop.json("restore", "site1", "--to", out)
    assert (out / "data/var/www/html/index.php").exists() and (out / "info/current/mysql").exists()
    assert (out / "databases/mysql/whole_shop/tables/posts.sql").read_text().count("\n") >= ROWS
    assert (out / "databases/postgresql/users.sql").exists()
    one = shop.folder / "one"
    arguments = ("--database", "mysql:whole_shop", "--table", "posts", "--to", one)
    shop.json("restore", "site1", *arguments)
    found = [str(path.relative_to(one)) for path in one.rglob("*") if path.is_file()]
    assert found == ["databases/mysql/whole_shop/tables/posts.sql"]


def test_databases_alone_make_a_point_that_no_whole_restore_takes(shop: Shop) -> None:
    whole = shop.backup("site1")
    alone = shop.backup("site1", "--only", "databases")
    assert (alone["only"], alone["files"]["removed"]) == ("databases", 0)
    assert shop.json("restore", "site1", "--dry-run")["point"] == whole["id"]
    assert shop.json("restore", "site1", "--only", "databases", "--dry-run")["point"] == alone["id"]
    (would,) = shop.json("backup", "site1", "--dry-run")["would"]
    assert "mysql:whole_shop" in would["databases"]
    assert shop.json("backup", "site1", "--only", "files", "--dry-run")["would"][0]["databases"] == []
    files = shop.backup("site1", "--only", "files")
    assert (files["only"], files["databases"], files["files"]["changed"]) == ("files", [], 0)


def test_what_the_certificate_says_is_the_difference(shop: Shop) -> None:
    folder = shop.root / "home/virtual/site1/shadow/numbers"
    folder.mkdir()
    for number in range(2000):
        write(folder.parent / f"bulk/{number % 50}/{number}", b"x" * 2000)
    began, ended = threading.Event(), threading.Event()

    def count() -> None:
        with shop.mariadb.connect("whole_shop") as connection, connection.cursor() as cursor:
            number = 0
            while not ended.is_set():
                cursor.execute("INSERT INTO numbers VALUES (%s)", (number,))
                (folder / f"{number:06d}").write_bytes(b"")
                number += 1
                began.set()
                time.sleep(0.01)  # of what changes in the gap, a thousand files are named

    writer = threading.Thread(target=count)
    writer.start()
    try:
        began.wait()
        # On a busy machine the writer may stand still for as long as the gap is.
        points = (shop.backup("site1") for _ in range(50))
        point = next(point for point in points if point["synchrony"]["changed_in_gap"])
    finally:
        ended.set()
        writer.join()
    out = shop.folder / "out"
    shop.json("restore", "site1", "--point", point["id"], "--to", out)
    text = (out / "databases/mysql/whole_shop/tables/numbers.sql").read_text()
    rows = {int(line.partition("VALUES (")[2].partition(")")[0]) for line in text.splitlines() if "VALUES (" in line}
    files = {int(path.name) for path in (out / "data/numbers").iterdir()}
    certified = {int(path.rpartition("/")[2]) for path in point["synchrony"]["changed_paths"] if "/numbers/" in path}
    assert rows and files and len(files - rows) > 0, "nothing happened in the gap"
    # A row whose file was not there yet, at the moment between the two.
    assert len(rows - files) <= 1
    assert files - rows <= certified
    assert max(certified - (files - rows), default=-1) <= max(rows), (
        "what is named was written around the moment or later"
    )
    assert point["synchrony"]["changed_in_gap"] >= len(files - rows)


def test_a_server_that_dies_in_a_dump_makes_the_point_incomplete_and_status_red(shop: Shop, mariadb: MariaDB) -> None:
    assert shop.backup("site1")["status"] == "complete"
    shop.mariadb.run(
        "INSERT INTO posts (title, body) SELECT title, REPEAT('x', 20000) FROM posts", database="whole_shop"
    )
    ended = threading.Event()

    def kill() -> None:
        # As soon as a dump reads the table, it loses its connection.
        while not ended.is_set():
            with mariadb.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SQL_NO_CACHE%posts%'")
                for (thread,) in cursor.fetchall():
                    if thread != connection.thread_id():
                        with contextlib.suppress(pymysql.err.OperationalError):  # it has ended meanwhile
                            cursor.execute(f"KILL {thread}")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        # On a busy machine it may be read before anybody saw it.
        nights = (shop("--json", "backup", "site1") for _ in range(50))
        done = next(done for done in nights if done.status)
    finally:
        ended.set()
        killer.join()
    (point,) = done.document["points"]
    assert (done.status, point["status"]) == (1, "incomplete")
    statuses = {each["name"]: each["status"] for each in point["databases"]}
    assert statuses == {"whole_shop": "incomplete", "whole_blog": "complete"}
    assert any("mysql:whole_shop" in each["message"] for each in point["warnings"])
    red = shop("status", "--json")
    (covered,) = [each for each in red.document["accounts"] if each["account"] == "site1"]
    assert red.status == 1 and "whole_shop" in covered["problems"][0]
    refused = shop("--json", "restore", "site1", "--database", "mysql:whole_shop", "--yes")
    assert refused.status == 2 and "take another point" in refused.document["error"]["message"]


def test_a_server_that_is_down_names_every_database_that_is_known(shop: Shop) -> None:
    known = shop.backup("site1")
    config = shop.config.read_text()
    shop.config.write_text(config.replace(str(shop.mariadb.socket), "/nowhere/mysqld.sock"))
    for _ in range(2):
        point = shop.backup("site1", status=1)
        assert point["status"] == "incomplete"
        assert any("/nowhere/mysqld.sock" in each["message"] for each in point["warnings"])
        assert [(each["name"], each["status"]) for each in point["databases"]] == [
            ("whole_shop", "incomplete"),
            ("whole_blog", "complete"),
        ]
    told = shop("accounts", "--json")
    assert told.status == 0 and "/nowhere/mysqld.sock" in told.err and len(told.err.splitlines()) == 1
    # What falls is what has fallen since the last complete export.
    shop.config.write_text(config)
    shop.mariadb.run("DELETE FROM posts WHERE id > 10", database="whole_shop")
    fallen = shop.backup("site1")
    assert [each["status"] for each in known["databases"]] == [each["status"] for each in fallen["databases"]]
    assert any("table posts has 10 rows, and had 300" in each["message"] for each in fallen["warnings"])


def test_a_server_without_a_map_of_mail_may_be_down_for_who_has_nothing_there(shop: Shop) -> None:
    (shop.root / "home/virtual/site1/info/current/pgsql").unlink()
    config = shop.config.read_text()
    shop.config.write_text(config.replace(str(shop.postgresql.sockets), "/nowhere"))
    unknown = shop.backup("site1", status=1)
    assert [each["message"].partition(": Postgre")[0] for each in unknown["warnings"]] == [
        "the account's domains and addresses in the panel's map of mail are missing"
    ]
    shop.config.write_text(config)
    shop.backup("site1")
    shop.config.write_text(config.replace(str(shop.postgresql.sockets), "/nowhere"))
    for _ in range(2):
        done = shop.backup("site1")
        assert done["status"] == "complete"
        assert [each["message"].partition(": Postgre")[0] for each in done["warnings"]] == [
            "the account's domains and addresses in the panel's map of mail were not looked for, "
            "and the last complete point has none"
        ]


def test_no_password_is_seen_by_other_users(shop: Shop, mariadb: MariaDB) -> None:
    mariadb.run("CREATE USER 'whole_root'@'localhost' IDENTIFIED BY 'sw0rdfish-sw0rdfish'")
    mariadb.run("GRANT ALL ON *.* TO 'whole_root'@'localhost' WITH GRANT OPTION")
    try:
        secret = write(shop.folder / "mysql-password", "sw0rdfish-sw0rdfish\n")
        secret.chmod(0o600)
        text = shop.config.read_text().replace(
            "[databases.mysql]", f'[databases.mysql]\nuser = "whole_root"\npassword_file = "{secret}"'
        )
        shop.config.write_text(text)
        seen: set[bytes] = set()
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                for process in Path("/proc").glob("[0-9]*"):
                    for name in ("cmdline", "environ"):
                        try:
                            seen.add((process / name).read_bytes())
                        except OSError:
                            continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            assert shop.backup("site1")["status"] == "complete"
        finally:
            ended.set()
            watcher.join()
        assert not any(b"sw0rdfish" in each for each in seen)
    finally:
        mariadb.run("DROP USER 'whole_root'@'localhost'")


def test_a_frozen_account_has_a_gap_of_the_time_it_took(
    tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL
) -> None:
    image, place = tmp_path / "image", tmp_path / "btrfs"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        shop = Shop(place, mariadb, postgresql)
        try:
            first = shop.backup("site1")
            write(shop.root / "home/virtual/site1/shadow/var/www/html/new.php", "<?php new")
            second = shop.backup("site1")
            for point in (first, second):
                assert (point["status"], point["synchrony"]["method"]) == ("complete", "freeze")
                synchrony = point["synchrony"]
                opened, finished = (
                    datetime.fromisoformat(synchrony[key]) for key in ("transaction_opened", "files_finished")
                )
                assert 0 < synchrony["gap_seconds"] < (finished - opened).total_seconds(), "the freeze ended it"
            out = place / "out"
            shop.json("restore", "site1", "--to", out)
            assert (out / "data/var/www/html/new.php").read_text() == "<?php new"
        finally:
            shop.drop()
    finally:
        subprocess.run(["umount", "-l", place], check=True)
