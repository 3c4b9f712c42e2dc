"""What a stranger wrote into a dump touches his own database, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import ExportError
from strongroom.exports.postgresql import PostgresqlServer
from tests.servers.folder import server_folder
from tests.servers.postgresql import PostgreSQL


@pytest.fixture(scope="module")
def server(postgresql: PostgreSQL) -> Iterator[PostgresqlServer]:
    """A server with the stranger's database, and a victim's beside it."""
    postgresql.run("CREATE ROLE mine_user LOGIN", "CREATE DATABASE mine_db OWNER mine_user", "CREATE DATABASE victim")
    postgresql.run("CREATE TABLE t AS SELECT 1 AS x", database="victim")
    yield PostgresqlServer(postgresql.settings)
    postgresql.run("DROP DATABASE mine_db", "DROP DATABASE victim", "DROP ROLE mine_user")


@pytest.fixture(autouse=True)
def nothing_else_is_touched(postgresql: PostgreSQL, server: PostgresqlServer) -> Iterator[None]:
    def seen() -> list[object]:
        return [
            postgresql.rows("SELECT rolname, rolsuper FROM pg_roles ORDER BY 1"),
            postgresql.rows("SELECT datname, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1"),
            postgresql.rows("SELECT x FROM t", database="victim"),
            postgresql.rows(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace", database="victim"
            ),
        ]

    before = seen()
    yield
    assert seen() == before


def pieces(text: str) -> Iterator[bytes]:
    """The text in pieces that cut it anywhere."""
    content = text.encode()
    yield from (content[at : at + 3] for at in range(0, len(content), 3))


@pytest.fixture
def marker() -> Iterator[Path]:
    with server_folder() as folder:
        folder.chmod(0o777)
        yield folder / "marker"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CREATE TABLE f (x text); COPY f FROM PROGRAM 'touch {marker}';", "must be superuser"),
        ("CREATE TABLE f (x text); COPY f FROM '/etc/passwd';", "must be superuser"),
        ("CREATE TABLE f (x text); COPY f TO '{marker}';", "must be superuser"),
        ("SELECT pg_read_file('/etc/passwd');", "denied"),
        ("SELECT lo_import('/etc/passwd');", "denied"),
        ("SELECT lo_export(lo_from_bytea(0, 'x'), '{marker}');", "denied"),
        ("\\! touch {marker}\n", "command of the client program psql"),
        ("SELECT 1\\; \\! touch {marker}\n;", "syntax"),
        ("\\copy f from program 'touch {marker}'\n", "command of the client program psql"),
        ("\\i {marker}\n", "command of the client program psql"),
        ("\\connect victim\nDROP TABLE t;", "several databases"),
        ("\\c victim\nDROP TABLE t;", "several databases"),
        ("SELECT 1 \\g {marker}\n;", "syntax"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid';", "denied"),
        ("CREATE EXTENSION dblink; SELECT dblink_connect('dbname=victim');", "does not exist"),
        ("ALTER SYSTEM SET archive_command = 'touch {marker}';", "denied"),
        ("DO $$ BEGIN CREATE ROLE evil SUPERUSER; END $$;", "must be superuser"),
        ("DO $$ BEGIN ALTER ROLE postgres PASSWORD 'x'; END $$;", "denied|must be"),
        ("DO $$ BEGIN EXECUTE 'CREATE DATABASE evil'; END $$;", "denied|cannot be executed"),
        ("DO $$ BEGIN EXECUTE 'ALTER DATABASE victim OWNER TO mine_user'; END $$;", "must be owner"),
        ("LOAD '/tmp/x.so';", "denied|not allowed|could not"),
        ("SET SESSION AUTHORIZATION postgres; SELEKT 1;", "syntax"),
        ("SET ROLE postgres; SELECT pg_read_file('/etc/passwd');", "denied"),
        ("SELECT set_config('role', 'postgres', false);", "denied"),
        ("SELECT 'never closed", "unterminated"),
        ("CREATE TABLE f (x int); COPY f FROM stdin;\n1\nx\n\\.\n", "invalid input syntax"),
    ],
)
def test_what_a_stranger_tries_is_refused_in_one_line(
    server: PostgresqlServer, marker: Path, text: str, why: str
) -> None:
    with pytest.raises(ExportError, match=f"(?i){why}") as refused:
        server.load("mine_db", pieces(text.format(marker=marker)))
    assert "\n" not in str(refused.value)
    assert not marker.exists()


def test_statements_of_root_in_a_text_are_left_to_root(server: PostgresqlServer, postgresql: PostgreSQL) -> None:
    text = """
        \\restrict abc
        CREATE ROLE evil SUPERUSER; ALTER ROLE mine_user SUPERUSER; DROP DATABASE victim;
        CREATE SCHEMA s; CREATE TABLE s.t (x int);
        ALTER TABLE s.t OWNER TO postgres; GRANT ALL ON s.t TO PUBLIC;
        CREATE FUNCTION s.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
        ALTER FUNCTION s.f() OWNER TO postgres;
        COPY s.t (x) FROM stdin;
7
\\.
        \\unrestrict abc
    """
    assert server.load("mine_db", pieces(text)) == []
    assert postgresql.rows("SELECT x, s.f() FROM s.t", database="mine_db") == [(7, "mine_user")]
    owner = "SELECT pg_get_userbyid(relowner), relacl FROM pg_class WHERE relname = 't'"
    assert postgresql.rows(owner, database="mine_db") == [("mine_user", None)]


def test_what_only_a_superuser_makes_is_left_out_and_told(server: PostgresqlServer) -> None:
    said = server.load(
        "mine_db", pieces("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f(); CREATE EXTENSION dblink;")
    )
    assert [line.split(":")[0] for line in said] == ["left out, as only a superuser may make it", "left out"]


def test_a_load_that_fails_leaves_the_live_database_alone(server: PostgresqlServer, postgresql: PostgreSQL) -> None:
    server.load("mine_db", pieces("CREATE TABLE t (x int);"))
    with pytest.raises(ExportError, match="statement 2 was refused: .* SELEKT 1"):
        server.load("mine_db", pieces("CREATE TABLE other (x int); SELEKT 1;"))
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert postgresql.rows(query, database="mine_db") == [("t",)]
