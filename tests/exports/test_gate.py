"""The truth gate: whatever goes wrong on the way, no export says complete that is not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import ExportError
from strongroom.exports.manifest import Manifest, Table
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.mysql_dump import program as mysql_program
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Status
from tests.exports.taken import Taken, take
from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL, programs

ROWS = 60000


@pytest.fixture(scope="module")
def mysql(mariadb: MariaDB) -> Iterator[MariaDB]:
    mariadb.run("CREATE DATABASE gate", "CREATE TABLE gate.a (x INT)", "CREATE TABLE gate.b (x INT, pad CHAR(200))")
    mariadb.run(f"INSERT INTO gate.b SELECT seq, REPEAT('y', 200) FROM seq_1_to_{ROWS}", database="gate")
    mariadb.run("CREATE TABLE gate.z (x INT)", "INSERT INTO gate.z VALUES (1)")
    yield mariadb
    mariadb.run("DROP DATABASE gate")


@pytest.fixture(scope="module")
def pgsql(postgresql: PostgreSQL) -> Iterator[PostgreSQL]:
    postgresql.run("CREATE DATABASE gate")
    postgresql.run(
        "CREATE TABLE a (x int)",
        f"CREATE TABLE b AS SELECT i, repeat('y', 200) FROM generate_series(1, {ROWS}) i",
        "CREATE TABLE z AS SELECT 1",
        database="gate",
    )
    yield postgresql
    postgresql.run("DROP DATABASE gate")


@pytest.fixture
def tool() -> Iterator[Path]:
    """Where a test writes a program that stands for the one that dumps, and that everybody may run."""
    with server_folder() as folder:
        path = folder / "tool"
        path.touch(0o755)
        yield path


def script(tool: Path, text: str, real: str) -> str:
    tool.write_text(f"#!/bin/sh\n{text.format(real=real)}\n")
    return str(tool)


CASES = [
    # A tool that ends early, and says that all is well.
    ('"{real}" "$@" | head -c 3000000; exit 0', "cut short"),
    ('"{real}" "$@" | head -c 200; exit 0', "cut short"),
    ("exit 0", "cut short"),
    # One that writes everything, and then says that it failed.
    ('"{real}" "$@"; echo "out of luck" >&2; exit 3', "ended with status 3: .*out of luck"),
    ('"{real}" "$@" | head -c 3000000; kill -9 $$', "was killed by signal 9"),
]


@pytest.mark.parametrize(("text", "why"), CASES)
def test_a_mariadb_dump_that_goes_wrong_is_incomplete(mysql: MariaDB, tool: Path, text: str, why: str) -> None:
    _incomplete(take(MysqlServer(mysql.settings, script(tool, text, mysql_program())).export("gate")), "mysql", why)


@pytest.mark.parametrize(("text", "why"), CASES)
def test_a_pg_dump_that_goes_wrong_is_incomplete(pgsql: PostgreSQL, tool: Path, text: str, why: str) -> None:
    server = PostgresqlServer(pgsql.settings, script(tool, text, str(programs() / "pg_dump")))
    _incomplete(take(server.export("gate")), "postgresql", why)


def test_a_table_that_the_tool_forgot_is_named(mysql: MariaDB, pgsql: PostgreSQL, tool: Path) -> None:
    without = '"{real}" "$@" | sed -e "/CREATE TABLE .z. (/,/;$/d"'
    taken = take(MysqlServer(mysql.settings, script(tool, without, mysql_program())).export("gate"))
    _incomplete(taken, "mysql", "tables that the server has and the export has not: z")
    assert taken.manifest.status is Status.INCOMPLETE
    without = '"{real}" "$@" | sed -e "/^COPY public.z /,/^\\\\\\\\\\.$/d"'
    taken = take(PostgresqlServer(pgsql.settings, script(tool, without, str(programs() / "pg_dump"))).export("gate"))
    _incomplete(taken, "postgresql", "tables that the server has and the export has not: public.z")


def test_a_tool_that_is_not_there_is_one_line(mysql: MariaDB) -> None:
    with pytest.raises(ExportError, match="/nowhere/dump: No such file or directory; install"):
        take(MysqlServer(mysql.settings, "/nowhere/dump").export("gate"))


def test_a_view_on_a_table_that_is_gone_is_named_and_all_else_is_there(mysql: MariaDB) -> None:
    mysql.run(
        "CREATE TABLE gone (x INT)", "CREATE VIEW broken AS SELECT x FROM gone", "DROP TABLE gone", database="gate"
    )
    try:
        taken = take(MysqlServer(mysql.settings).export("gate"))
        assert taken.copy.status is Status.INCOMPLETE
        assert "mysql:gate: incomplete: view broken: " in taken.said
        assert "references invalid table(s)" in taken.said
        assert {table.name for table in taken.manifest.tables} == {"a", "b", "z"}
        assert "select `gate`.`gone`.`x`" in taken.manifest.unloadable["broken"]
        # What is there comes back.
        assert MysqlServer(mysql.settings).load_export("gate2", taken.manifest, taken.read) == []
        assert mysql.rows("SELECT COUNT(*) FROM gate2.b") == [(ROWS,)]
    finally:
        mysql.run("DROP VIEW gate.broken", "DROP DATABASE IF EXISTS gate2")


def test_a_server_that_is_killed_while_it_is_dumped_leaves_no_complete_export() -> None:
    with server_folder() as folder:
        server = MariaDB(folder, binlog=False)
        try:
            server.run("CREATE DATABASE d", "CREATE TABLE d.t (x INT, pad CHAR(250))")
            server.run("INSERT INTO t SELECT seq, REPEAT('y', 250) FROM seq_1_to_60000", database="d")
            with MysqlServer(server.settings).export("d", None) as export:
                failures = []
                for file in export.files():
                    next(file.pieces)
                    server.process.kill()
                    assert sum(map(len, file.pieces)) < 60000 * 250
                    failures.append(file.failure)
                copy, (remark,) = export.result()
        finally:
            server.process.kill()
    assert (copy.status, copy.position) == (Status.INCOMPLETE, "")
    assert failures == ["the dump was cut short: its end mark is missing, in table t"]
    assert "mysql:d: incomplete: " in remark.message
    assert "Lost connection" in remark.message or "gone away" in remark.message


def test_a_postgresql_that_loses_the_dumps_session_leaves_no_complete_export(pgsql: PostgreSQL) -> None:
    with PostgresqlServer(pgsql.settings).export("gate", None) as export:
        for file in export.files():
            if b"/tables/public.b" in file.path:
                next(file.pieces)
                pgsql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'")
            for _ in file.pieces:
                pass
        copy, remarks = export.result()
    assert copy.status is Status.INCOMPLETE
    assert "pg_dump ended with status 1" in remarks[0].message


def test_an_export_that_is_given_up_leaves_no_process_and_no_lock(mysql: MariaDB) -> None:
    threads, sessions = threading.active_count(), len(mysql.rows("SHOW PROCESSLIST"))
    with MysqlServer(mysql.settings).export("gate") as export:
        next(next(export.files()).pieces)
    assert threading.active_count() == threads
    until = time.monotonic() + 20
    while len(mysql.rows("SHOW PROCESSLIST")) > sessions and time.monotonic() < until:
        time.sleep(0.05)
    assert len(mysql.rows("SHOW PROCESSLIST")) == sessions


def test_what_has_shrunk_without_reason_is_a_warning(mysql: MariaDB) -> None:
    first = take(MysqlServer(mysql.settings).export("gate"))
    before = _with(first.manifest, a=1_000_000, gone=5)
    again = take(MysqlServer(mysql.settings).export("gate", before.encode()))
    assert again.copy.status is Status.COMPLETE
    assert again.said.split("\n") == [
        "mysql:gate: tables that the last export had are gone: gone",
        "mysql:gate: table a has 0 rows, and had 1000000 in the last export",
    ]
    assert take(MysqlServer(mysql.settings).export("gate", first.files["manifest.json"])).said == ""
    assert "cannot be compared" in take(MysqlServer(mysql.settings).export("gate", b"{")).said


def _with(manifest: Manifest, **rows: int) -> Manifest:
    kept = [table for table in manifest.tables if table.name not in rows]
    more = [Table(name=name, identity=name, file=name, rows=count, bytes=0) for name, count in rows.items()]
    return msgspec.structs.replace(manifest, tables=tuple(kept + more))


def _incomplete(taken: Taken, engine: str, why: str) -> None:
    assert taken.copy.status is Status.INCOMPLETE
    (remark,) = taken.remarks
    assert remark.message.startswith(f"{engine}:gate: incomplete: ")
    assert re.search(why, remark.message), remark.message
    assert "\n" not in remark.message
