"""All databases of one account as one feed: what fails is named, and stops nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.config import Config, Databases, Mysql
from strongroom.exports.base import DatabaseServer
from strongroom.exports.feed import AccountExports, manifest_path, no_previous, servers
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Account, DatabaseClaim, Status
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

SITE = Account(
    name="site1",
    claims=(DatabaseClaim(engine="mysql", prefix="fd_"), DatabaseClaim(engine="postgresql", prefix="fd_")),
)


@pytest.fixture(scope="module")
def both(mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[list[DatabaseServer]]:
    config = Config(path=b"/x", databases=Databases(mysql=mariadb.settings, postgresql=postgresql.settings))
    mariadb.run(
        "CREATE DATABASE fd_a", "CREATE DATABASE fd_b", "CREATE TABLE fd_a.t (x INT)", "CREATE TABLE fd_b.t (x INT)"
    )
    mariadb.run("CREATE TABLE fd_a.g (x INT)", "CREATE VIEW fd_a.v AS SELECT x FROM fd_a.g", "DROP TABLE fd_a.g")
    postgresql.run("CREATE DATABASE fd_c")
    yield servers(config)
    mariadb.run("DROP DATABASE fd_a", "DROP DATABASE fd_b")
    postgresql.run("DROP DATABASE fd_c")


def drained(exports: AccountExports) -> list[str]:
    paths = []
    for file in exports.files():
        for _ in file.pieces:
            pass
        assert file.failure == ""
        paths.append(file.path.decode())
    return paths


def test_the_configuration_says_which_servers_there_are(both: list[DatabaseServer]) -> None:
    assert [type(server) for server in both] == [MysqlServer, PostgresqlServer]
    assert servers(Config(path=b"/x")) == []


def test_all_databases_come_and_the_one_that_is_broken_is_named(both: list[DatabaseServer]) -> None:
    asked = []

    def previous(engine: str, database: str) -> bytes | None:
        asked.append((engine, database))
        return None

    before = time.time()
    exports = AccountExports(SITE, [SITE], both, previous)
    paths = drained(exports)
    result = exports.result()
    assert [path for path in paths if path.endswith(("manifest.json", "users.sql"))] == [
        "mysql/fd_a/manifest.json",
        "mysql/fd_b/manifest.json",
        "postgresql/fd_c/manifest.json",
        "mysql/users.sql",
        "postgresql/users.sql",
    ]
    assert manifest_path("mysql", "fd_a").decode() in paths
    assert [(copy.engine, copy.name, copy.status) for copy in result.databases] == [
        ("mysql", "fd_a", Status.INCOMPLETE),
        ("mysql", "fd_b", Status.COMPLETE),
        ("postgresql", "fd_c", Status.COMPLETE),
    ]
    assert asked == [("mysql", "fd_a"), ("mysql", "fd_b"), ("postgresql", "fd_c")]
    assert result.incomplete
    assert [remark.path for remark in result.remarks] == [b"mysql/fd_a"]
    assert result.started is not None
    assert result.opened is not None
    assert before <= result.started <= result.opened <= time.time()
    assert exports.opened == result.opened


class Freezing:
    """Notes when it is asked to freeze, and what the databases held then."""

    def __init__(self, mariadb: MariaDB, *, possible: bool = True) -> None:
        self._mariadb, self._possible = mariadb, possible
        self.taken = self.released = 0

    def possible(self) -> bool:
        return self._possible

    def take(self) -> dict[str, bytes]:
        self.taken += 1
        # What is written while the folders are frozen is in neither: every transaction is open already.
        self._mariadb.run("INSERT INTO fd_b.t VALUES (4711)")
        return {"data": b"/frozen"}

    def release(self) -> None:
        self.released += 1


def test_folders_are_frozen_while_all_transactions_are_open(both: list[DatabaseServer], mariadb: MariaDB) -> None:
    freezing = Freezing(mariadb)
    exports = AccountExports(SITE, [SITE], both, no_previous, freezing)
    content = {file.path: b"".join(file.pieces) for file in exports.files()}
    result = exports.result()
    assert (freezing.taken, exports.roots) == (1, {"data": b"/frozen"})
    assert result.opened is not None and result.frozen is not None and result.opened <= result.frozen
    assert len(result.databases) == 3
    assert b"4711" not in b"".join(content.values())
    exports.release()
    assert freezing.released == 1
    ordinary = AccountExports(SITE, [SITE], both, no_previous, Freezing(mariadb, possible=False))
    assert b"4711" in b"".join(b"".join(file.pieces) for file in ordinary.files())
    assert (ordinary.roots, ordinary.result().frozen) == ({}, None)


def test_an_account_without_databases_asks_no_server(tmp_path: Path) -> None:
    exports = AccountExports(Account(name="server"), [SITE], [MysqlServer(Mysql(socket=b"/nowhere"))], no_previous)
    assert drained(exports) == []
    result = exports.result()
    assert (result.databases, result.opened, result.started, result.incomplete) == ((), None, None, False)


def test_a_server_that_is_down_makes_what_is_known_incomplete_and_stops_no_other(both: list[DatabaseServer]) -> None:
    down = MysqlServer(Mysql(socket=b"/nowhere/mysqld.sock"))
    known = Account(name="site1", databases=("mysql:fd_a",), claims=SITE.claims)
    exports = AccountExports(known, [known], [down, both[1]], no_previous)
    drained(exports)
    result = exports.result()
    assert [(copy.name, copy.status) for copy in result.databases] == [
        ("fd_a", Status.INCOMPLETE),
        ("fd_c", Status.COMPLETE),
    ]
    assert result.incomplete
    (remark,) = result.remarks
    assert remark.message.startswith("mysql:fd_a: incomplete: MySQL server at /nowhere/mysqld.sock cannot be reached: ")


def test_a_server_that_is_down_is_missed_even_when_no_database_is_known() -> None:
    exports = AccountExports(SITE, [SITE], [MysqlServer(Mysql(socket=b"/nowhere/mysqld.sock"))], no_previous)
    drained(exports)
    result = exports.result()
    assert (result.databases, result.incomplete) == ((), True)
    assert result.remarks[0].path == b"mysql"
    assert result.remarks[0].message.startswith("databases of mysql are missing: MySQL server at /nowhere")


def test_a_database_that_is_named_and_not_there_is_incomplete(both: list[DatabaseServer]) -> None:
    plain = Account(name="p", claims=(DatabaseClaim(engine="mysql", names=("fd_b", "fd_lost")),))
    exports = AccountExports(plain, [plain], both, no_previous)
    drained(exports)
    result = exports.result()
    assert {copy.name: copy.status for copy in result.databases} == {
        "fd_b": Status.COMPLETE,
        "fd_lost": Status.INCOMPLETE,
    }
    assert result.remarks[0].message == "mysql:fd_lost: incomplete: the server has no database of that name"


def test_a_database_that_was_dropped_is_told_and_makes_nothing_incomplete(both: list[DatabaseServer]) -> None:
    plain = Account(name="p", claims=(DatabaseClaim(engine="mysql", prefix="gone_"),))
    held = [("mysql", "gone_shop"), ("postgresql", "gone_blog"), ("oracle", "gone_too")]
    exports = AccountExports(plain, [plain], both, no_previous, held=held)
    drained(exports)
    result = exports.result()
    gone = "it was in the point before, and the server has it no more"
    assert [remark.message for remark in result.remarks] == [f"mysql:gone_shop: {gone}", f"postgresql:gone_blog: {gone}"]
    assert not result.incomplete
    # Of a server that cannot be asked nobody knows.
    down: list[DatabaseServer] = [MysqlServer(Mysql(socket=b"/nowhere/mysqld.sock"))]
    exports = AccountExports(plain, [plain], down, no_previous, held=held)
    drained(exports)
    result = exports.result()
    assert gone not in repr(result.remarks) and result.incomplete
    # They are missed by name, so that the next point knows of them too.
    assert [(copy.engine, copy.name, copy.status) for copy in result.databases] == [
        ("mysql", "gone_shop", Status.INCOMPLETE)
    ]
    assert result.remarks[0].message.startswith("mysql:gone_shop: incomplete: MySQL server at /nowhere/mysqld.sock cannot")


def test_databases_of_a_server_that_is_not_configured_are_incomplete() -> None:
    plain = Account(name="p", claims=(DatabaseClaim(engine="mysql", names=("fd_b",)),))
    exports = AccountExports(plain, [plain], [], no_previous)
    drained(exports)
    assert exports.result().remarks[0].message == (
        "mysql:fd_b: incomplete: there is no [databases.mysql] in the configuration"
    )


def test_a_database_of_two_accounts_is_incomplete_and_names_them(both: list[DatabaseServer]) -> None:
    twin = Account(name="site2", claims=(DatabaseClaim(engine="mysql", names=("fd_b",)),))
    exports = AccountExports(SITE, [SITE, twin], both[:1], no_previous)
    drained(exports)
    assert "mysql:fd_b: incomplete: belongs to site1 and site2; make it one account's" in [
        remark.message for remark in exports.result().remarks
    ]
