"""The dumps that owners get, from real servers; the tools of the engines read them back."""

from __future__ import annotations

import gzip
import os
import subprocess
from datetime import datetime
from pathlib import Path

from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Account, DatabaseClaim, Location, Status
from strongroom.settings.databases import Databases, DumpingServer
from strongroom.settings.dumps import Dump, Dumper, restorable
from strongroom.settings.schedules import Schedules
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

ROWS = [(1, "grün"), (2, "it's \\ so\n")]


def dumped(folder: Path, server: DumpingServer, prefix: str) -> tuple[Account, list[Dump]]:
    """Dump everything of an account that has all databases with a prefix."""
    account = Account(
        name="site1",
        claims=(DatabaseClaim(engine=server.engine, prefix=prefix),),
        locations=(Location(tree="data", path=os.fsencode(folder / "site"), why="a test"),),
    )
    (folder / "site").mkdir(exist_ok=True)
    schedules = Schedules(os.fsencode(folder / "state"))
    dumper = Dumper(Databases([account], [server]), schedules, None, print, lambda: datetime(2026, 11, 25, 3, 0, 7))
    return account, list(dumper.everything())


def test_mariadb_reads_back_what_its_owner_got(mariadb: MariaDB, tmp_path: Path) -> None:
    mariadb.run("CREATE DATABASE own_shop", "CREATE DATABASE owner_of_another", "CREATE DATABASE own_back")
    mariadb.run("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", database="own_shop")
    for row in ROWS:
        mariadb.rows("INSERT INTO t VALUES (%s, %s)", *row, database="own_shop")
    account, dumps = dumped(tmp_path, MysqlServer(mariadb.settings), "own_")
    assert [(dump.target.name, dump.status) for dump in dumps] == [
        ("mysql:own_back", Status.COMPLETE),
        ("mysql:own_shop", Status.COMPLETE),
    ]
    (found,) = restorable(account, "mysql", "own_shop")
    text = gzip.decompress((tmp_path / "site/mysql_backups" / found.name).read_bytes())
    assert b"CREATE DATABASE" not in text and b"\nUSE " not in text
    client = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--user=root", "own_back"]
    subprocess.run(client, input=text, check=True)
    assert mariadb.rows("SELECT id, v FROM t ORDER BY id", database="own_back") == ROWS
    mariadb.run("DROP DATABASE own_shop", "DROP DATABASE owner_of_another", "DROP DATABASE own_back")


def test_postgresql_reads_back_what_its_owner_got(postgresql: PostgreSQL, tmp_path: Path) -> None:
    postgresql.run("CREATE DATABASE own_shop")
    postgresql.run("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", database="own_shop")
    with postgresql.connect("own_shop") as connection:
        connection.cursor().executemany("INSERT INTO t VALUES (%s, %s)", ROWS)
    account, dumps = dumped(tmp_path, PostgresqlServer(postgresql.settings), "own_")
    assert [(dump.target.name, dump.status, dump.message) for dump in dumps] == [
        ("postgresql:own_shop", Status.COMPLETE, "")
    ]
    (found,) = restorable(account, "postgresql", "own_shop")
    text = gzip.decompress((tmp_path / "site/pgsql_backups" / found.name).read_bytes())
    assert b"CREATE DATABASE" not in text and b"\\connect" not in text
    postgresql.run("DROP DATABASE own_shop", "CREATE DATABASE own_back")
    host = os.fsdecode(postgresql.settings.host)
    client = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", str(postgresql.settings.port)]
    subprocess.run(
        ["runuser", "-u", "postgres", "--", *client, "-U", postgresql.settings.user, "own_back"],
        input=text,
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )
    assert postgresql.rows("SELECT id, v FROM t ORDER BY id", database="own_back") == ROWS
    postgresql.run("DROP DATABASE own_back")


def test_a_dump_that_is_not_whole_leaves_the_owner_nothing(tmp_path: Path, mariadb: MariaDB) -> None:
    mariadb.run("CREATE DATABASE own_cut", "CREATE VIEW own_cut.v AS SELECT 1 AS a")
    mariadb.run(
        "CREATE TABLE own_cut.t (a INT)", "CREATE VIEW own_cut.w AS SELECT a FROM own_cut.t", "DROP TABLE own_cut.t"
    )
    _, (dump,) = dumped(tmp_path, MysqlServer(mariadb.settings), "own_cut")
    assert dump.status is Status.FAILED and dump.message
    assert os.listdir(tmp_path / "site/mysql_backups") == []
    mariadb.run("DROP DATABASE own_cut")
