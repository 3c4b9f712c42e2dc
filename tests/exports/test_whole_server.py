"""What belongs to no account: users and grants of each server and the mail map, good for a rebuild, or named as missing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence

import pytest

from strongroom.config import Mysql, Postgresql
from strongroom.exports.base import DatabaseServer
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.exports.whole_server import ServerExports
from strongroom.model import GLOBALS, GRANTS, MAIL_MAP, Exported
from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.panel import Panel, panel
from tests.servers.postgresql import PostgreSQL, programs


@pytest.fixture
def mail(postgresql: PostgreSQL) -> Iterator[Panel]:
    with panel(postgresql) as found:
        yield found


def drawn(servers: Sequence[DatabaseServer], without: set[bytes] | None = None) -> tuple[dict[bytes, bytes], Exported]:
    exports = ServerExports(servers, without or set())
    files = {file.path: b"".join(file.pieces) for file in exports.files()}
    return files, exports.result()


def both(mariadb: MariaDB, postgresql: PostgreSQL) -> list[DatabaseServer]:
    return [MysqlServer(mariadb.settings), PostgresqlServer(postgresql.settings)]


def test_all_that_is_not_made_elsewhere_is_made(mail: Panel, mariadb: MariaDB, postgresql: PostgreSQL) -> None:
    files, result = drawn(both(mariadb, postgresql))
    assert list(files) == [GRANTS, GLOBALS, MAIL_MAP]
    assert (result.incomplete, result.remarks, result.databases, result.opened) == (False, (), (), None)
    assert list(drawn(both(mariadb, postgresql), {GRANTS, MAIL_MAP})[0]) == [GLOBALS]
    assert drawn(both(mariadb, postgresql), {GRANTS, GLOBALS, MAIL_MAP})[0] == {}
    assert b"diskquota" not in files[MAIL_MAP]


def test_a_server_without_a_panel_has_no_mail_map(postgresql: PostgreSQL) -> None:
    files, result = drawn([PostgresqlServer(postgresql.settings)])
    assert (list(files), result.incomplete) == ([GLOBALS], False)


USERS = "`gr_a`@`localhost`, `gr_b`@`%`, `gr_l`@`localhost`, ``@`gr.host`"


def test_grants_make_the_servers_users_again(mariadb: MariaDB) -> None:
    mariadb.run(
        "CREATE DATABASE gr_shop",
        "CREATE TABLE gr_shop.t (x INT, y INT)",
        "CREATE ROLE gr_role",
        "CREATE ROLE gr_inner",
        "CREATE USER gr_a@localhost IDENTIFIED BY 'geheim' WITH MAX_USER_CONNECTIONS 5",
        "CREATE USER gr_b@`%` IDENTIFIED BY 'p''w' REQUIRE SSL",
        "CREATE USER gr_l@localhost ACCOUNT LOCK",
        "CREATE USER ``@`gr.host`",
        "GRANT ALL ON *.* TO gr_a@localhost WITH GRANT OPTION",
        "GRANT SELECT (x), INSERT ON gr_shop.t TO gr_b@`%`",
        "GRANT SELECT ON `gr\\_%`.* TO gr_role",
        "GRANT UPDATE ON gr_shop.* TO gr_inner",
        "GRANT gr_inner TO gr_role",
        "GRANT gr_role TO gr_b@`%` WITH ADMIN OPTION",
        "SET DEFAULT ROLE gr_role FOR gr_b@`%`",
        "GRANT PROXY ON gr_b@`%` TO gr_a@localhost",
        "GRANT SELECT ON gr_shop.t TO PUBLIC",
    )
    try:
        (text,) = drawn([MysqlServer(mariadb.settings)])[0].values()
        assert b"geheim" not in text and b"mariadb.sys" not in text
        before = _state(mariadb)
        mariadb.run(f"DROP USER {USERS}", "DROP ROLE gr_role, gr_inner", "REVOKE SELECT ON gr_shop.t FROM PUBLIC")
        assert _state(mariadb) != before
        command = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}"]
        subprocess.run(command, input=text, check=True, capture_output=True)
        assert _state(mariadb) == before
        again = drawn([MysqlServer(mariadb.settings)])[0][GRANTS]
        assert again.splitlines() == text.splitlines()
    finally:
        mariadb.run(f"DROP USER IF EXISTS {USERS}", "DROP ROLE IF EXISTS gr_role, gr_inner", "DROP DATABASE gr_shop")
        mariadb.run("DELETE FROM mysql.tables_priv WHERE Db = 'gr_shop'", "FLUSH PRIVILEGES")


def _state(mariadb: MariaDB) -> list[str]:
    """All that the server knows of users and rights, but for when, and by whom, each was given.

    Without root, whose mask of all rights is written otherwise by each way of giving them.
    """
    tables = {
        "global_priv": "Host, User, JSON_REMOVE(Priv, '$.password_last_changed')",
        "db": "*",
        "tables_priv": "Host, Db, User, Table_name, Table_priv, Column_priv",
        "columns_priv": "Host, Db, User, Table_name, Column_name, Column_priv",
        "roles_mapping": "*",
        "proxies_priv": "Host, User, Proxied_host, Proxied_user, With_grant",
    }
    queries = [f"SELECT {what} FROM mysql.{table} WHERE User <> 'root'" for table, what in tables.items()]
    return [row for query in queries for row in sorted(map(repr, mariadb.rows(query)))]


def test_globals_and_the_mail_map_load_into_a_new_place(mail: Panel, postgresql: PostgreSQL) -> None:
    postgresql.run("CREATE ROLE gl_app LOGIN PASSWORD 'geheim'", "CREATE ROLE gl_team", "GRANT gl_team TO gl_app")
    query = "SELECT rolname, rolpassword, rolcanlogin FROM pg_authid WHERE rolname ~ '^gl_' ORDER BY 1"
    domains, addresses = mail.domains(), mail.addresses("example.com", "example.org")
    try:
        files, _ = drawn([PostgresqlServer(postgresql.settings)])
        before = postgresql.rows(query)
        assert len(before) == 2
        postgresql.run("DROP ROLE gl_app", "DROP ROLE gl_team")
        _psql(postgresql, files[GLOBALS], "postgres")
        assert postgresql.rows(query) == before
        mail.run("DROP TABLE email_lookup, domain_lookup, uids, gids, siteinfo")
        _psql(postgresql, files[MAIL_MAP], "appldb")
        assert (mail.domains(), mail.addresses("example.com", "example.org")) == (domains, addresses)
    finally:
        postgresql.run("DROP ROLE IF EXISTS gl_app", "DROP ROLE IF EXISTS gl_team")


def _psql(postgresql: PostgreSQL, text: bytes, database: str) -> None:
    command = [f"{programs()}/psql", "-X", "-q", "-h", str(postgresql.sockets), "-d", database]
    subprocess.run(command, input=text, check=True, capture_output=True, user="postgres", cwd="/")


def test_a_table_that_is_missing_makes_the_point_incomplete(mail: Panel, postgresql: PostgreSQL) -> None:
    mail.run("DROP TABLE email_lookup")
    files, result = drawn([PostgresqlServer(postgresql.settings)])
    assert result.incomplete
    assert [(remark.path, remark.message) for remark in result.remarks] == [
        (MAIL_MAP, "what the whole server has of its own is not whole: database appldb has no table email_lookup")
    ]
    assert files[GLOBALS]


@pytest.mark.parametrize(("ends", "why"), [("head -c 300", "end mark"), ("cat; exit 3", "status 3")])
def test_a_dump_that_is_cut_or_fails_makes_the_point_incomplete(
    mail: Panel, postgresql: PostgreSQL, ends: str, why: str
) -> None:
    with server_folder() as folder:
        tool = folder / "pg_dump"
        tool.write_text(f'#!/bin/sh\n{programs()}/pg_dump "$@" | ({ends})\n')
        tool.chmod(0o755)
        _, result = drawn([PostgresqlServer(postgresql.settings, str(tool))], {GLOBALS})
    assert result.incomplete
    (remark,) = result.remarks
    assert remark.path == MAIL_MAP and why in remark.message


def test_servers_that_are_down_are_named_each() -> None:
    down: list[DatabaseServer] = [
        MysqlServer(Mysql(socket=b"/nowhere/x.sock")),
        PostgresqlServer(Postgresql(host="/nowhere")),
    ]
    files, result = drawn(down)
    assert result.incomplete
    assert [remark.path for remark in result.remarks] == [GRANTS, GLOBALS, b"postgresql"]
    assert all("cannot be reached" in remark.message for remark in result.remarks)
    assert not any(files.values())
