"""Exports of PostgreSQL: what they hold, in whose moment, and that all of it comes back."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import msgspec
import pytest

from strongroom.errors import ExportError
from strongroom.exports.names import parts
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Status
from tests.exports.postgresql_shop import OWNER, READER, WEIRD, attributes, make, state
from tests.exports.taken import Taken, take
from tests.servers.postgresql import USER, PostgreSQL, programs


@pytest.fixture(scope="module")
def server(postgresql: PostgreSQL) -> PostgresqlServer:
    return PostgresqlServer(postgresql.settings)


@pytest.fixture(scope="module")
def shop(postgresql: PostgreSQL, server: PostgresqlServer) -> Taken:
    make(postgresql, "shop_wp")
    return take(server.export("shop_wp"))


@pytest.fixture
def other(postgresql: PostgreSQL, shop: Taken) -> Iterator[str]:
    yield "shop_other"
    postgresql.run("DROP DATABASE IF EXISTS shop_other")


def test_functions_that_find_names_as_sessions_do_stop_no_restore(
    postgresql: PostgreSQL, server: PostgresqlServer
) -> None:
    postgresql.run("DROP DATABASE IF EXISTS shop_path", "CREATE DATABASE shop_path")
    try:
        postgresql.run("ALTER DATABASE shop_path SET search_path = own, public")
        postgresql.run(
            "CREATE SCHEMA own",
            "CREATE TABLE own.a (id int PRIMARY KEY)",
            "INSERT INTO a VALUES (1)",
            "CREATE FUNCTION known(x int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM a WHERE id = x)'",
            "CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 2'",
            "CREATE FUNCTION again(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN twice(x); END'",
            "CREATE TABLE b (id int CHECK (known(id)))",
            "INSERT INTO b VALUES (1)",
            "CREATE INDEX b_again ON b (again(id))",
            "CREATE MATERIALIZED VIEW seen AS SELECT known(1) AS known",
            database="shop_path",
        )
        before = state(postgresql, "shop_path")
        taken = take(server.export("shop_path"))
        text = list(server.dump("shop_path"))
        assert server.load_export("shop_path", taken.manifest, taken.read) == []
        assert state(postgresql, "shop_path") == before
        assert server.load("shop_path", iter(text)) == []
        assert state(postgresql, "shop_path")["rows own.b"] == before["rows own.b"]
        postgresql.run("DROP TABLE a, b", "CREATE TABLE a (id text)", database="shop_path")
        taken = take(server.export("shop_path"))
        (said,) = server.load_export("shop_path", taken.manifest, taken.read)
        assert said.startswith("a materialized view has no rows: statement") and "operator does not exist" in said
    finally:
        postgresql.run("DROP DATABASE shop_path")


def test_an_export_is_complete_and_says_where_the_log_stood(shop: Taken) -> None:
    assert (shop.copy.status, shop.said, shop.failures) == (Status.COMPLETE, "", {})
    assert shop.copy.tables == 9
    assert shop.copy.bytes == sum(map(len, shop.files.values()))
    high, low = shop.copy.position.split("/")
    assert int(high, 16) + int(low, 16) > 0


def test_each_table_is_a_file_and_each_row_a_line(shop: Taken) -> None:
    rows = shop.files["tables/public.kinds.sql"].split(b"\n")[8:-2]
    assert len(rows) == shop.manifest.table("public.kinds").rows == 301
    assert shop.manifest.table("public.empty").rows == 0
    assert shop.manifest.table("public.nothing").rows == 1


def test_weird_names_are_files_that_say_them(shop: Taken) -> None:
    table = shop.manifest.table(f"sche.ma.{WEIRD}")
    assert parts(table.file.removeprefix("tables/").removesuffix(".sql")) == ("sche.ma", WEIRD)


def test_all_of_it_comes_back_in_place(postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken) -> None:
    before, known = state(postgresql, "shop_wp"), attributes(postgresql, "shop_wp")
    postgresql.run("DROP TABLE child CASCADE", "DELETE FROM kinds", "CREATE TABLE newer (x int)", database="shop_wp")
    # Somebody is still in it.
    with postgresql.connect("shop_wp"):
        assert server.load_export("shop_wp", shop.manifest, shop.read) == []
    assert state(postgresql, "shop_wp") == before
    assert attributes(postgresql, "shop_wp") == known


def test_it_comes_back_under_another_name(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken, other: str
) -> None:
    assert server.load_export(other, shop.manifest, shop.read) == []
    assert state(postgresql, other) == state(postgresql, "shop_wp")


def test_what_a_superuser_made_comes_back_as_far_as_it_may(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken
) -> None:
    postgresql.run("DROP DATABASE IF EXISTS shop_super", f"CREATE DATABASE shop_super OWNER {OWNER}")
    try:
        postgresql.run("REVOKE TEMPORARY ON DATABASE shop_super FROM PUBLIC")
        postgresql.run(
            "COMMENT ON SCHEMA public IS 'of its own'",
            "CREATE EXTENSION postgres_fdw",
            "CREATE EXTENSION file_fdw",
            "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere')",
            f"ALTER SERVER elsewhere OWNER TO {READER}",
            f"CREATE USER MAPPING FOR {OWNER} SERVER elsewhere OPTIONS (user 'u', password 'p')",
            "CREATE FOREIGN TABLE far (a int OPTIONS (column_name 'b')) SERVER elsewhere OPTIONS (table_name 't')",
            "CREATE TABLE theirs (id serial PRIMARY KEY)",
            "INSERT INTO theirs DEFAULT VALUES",
            f"GRANT SELECT ON theirs TO {OWNER}",
            "CREATE FUNCTION who() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'",
            database="shop_super",
        )
        before, known = state(postgresql, "shop_super"), attributes(postgresql, "shop_super")
        foreign = (
            "SELECT s.srvname, srvowner::regrole::text, usename, ARRAY(SELECT unnest(umoptions) ORDER BY 1) "
            "FROM pg_user_mappings m JOIN pg_foreign_server s ON m.srvid = s.oid"
        )
        servers = postgresql.rows(foreign, database="shop_super")
        assert [row[:3] for row in servers] == [("elsewhere", READER, OWNER)]
        taken = take(server.export("shop_super"))
        postgresql.run("DROP DATABASE shop_super")
        assert server.load_export("shop_super", taken.manifest, taken.read) == []
        assert state(postgresql, "shop_super") == before
        assert attributes(postgresql, "shop_super")[0][5:] == known[0][5:]
        assert "=T" not in attributes(postgresql, "shop_super")[0][4]
        assert postgresql.rows(foreign, database="shop_super") == servers
        # A name that only this server makes a superuser's gets nothing that a tenant may have written.
        none = msgspec.structs.replace(taken.manifest, superusers=())
        said = server.load_export("shop_super", none, taken.read)
        assert said == ["owners and privileges of role postgres were left out: it is a superuser"]
        assert postgresql.rows("SELECT who()", database="shop_super") == [(OWNER,)]
        # What the role that loads may not make is told, and stops nothing else.
        postgresql.run(
            "CREATE FUNCTION raw(int, int) RETURNS int LANGUAGE internal IMMUTABLE AS 'int4pl'",
            "CREATE VIEW rests AS SELECT raw(id, 1) FROM theirs",
            "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE hosts (line text) SERVER files OPTIONS (filename '/etc/hosts')",
            database="shop_super",
        )
        taken = take(server.export("shop_super"))
        said = server.load_export("shop_super", taken.manifest, taken.read)
        assert [line for line in said if "raw" in line and "permission denied for language internal" in line]
        assert [line for line in said if "rests" in line] and [line for line in said if "hosts" in line]
        assert postgresql.rows("SELECT id FROM theirs", database="shop_super") == [(1,)]
    finally:
        postgresql.run("DROP DATABASE IF EXISTS shop_super")


def test_a_database_that_did_not_change_exports_to_the_same_bytes(server: PostgresqlServer, shop: Taken) -> None:
    again = take(server.export("shop_wp", shop.files["manifest.json"]))
    assert again.said == ""
    assert {path for path in shop.files if again.files[path] != shop.files[path]} == {"manifest.json"}


def test_nobody_is_left_behind(postgresql: PostgreSQL, shop: Taken) -> None:
    assert postgresql.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE 'strongroom%'") == []
    assert postgresql.rows("SELECT datname FROM pg_database WHERE datname LIKE 'strongroom%'") == []


def test_the_servers_own_client_loads_the_files_too(postgresql: PostgreSQL, shop: Taken, other: str) -> None:
    postgresql.run(f"CREATE DATABASE {other} OWNER {OWNER} TEMPLATE template0")
    tables = [table.file for table in shop.manifest.tables]
    names = ["before.sql", *tables, "large-objects.sql", "after.sql", "privileges.sql"]
    _client(postgresql, other, b"".join(shop.files[name] for name in names))
    restored, original = state(postgresql, other), state(postgresql, "shop_wp")
    assert {key for key in original if restored[key] != original[key]} == set()


def test_a_dump_is_one_text_for_the_ordinary_client(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken, other: str
) -> None:
    text = b"".join(server.dump("shop_wp"))
    assert b"CREATE DATABASE" not in text
    assert b"\\connect" not in text
    postgresql.run(f"CREATE DATABASE {other} TEMPLATE template0")
    _client(postgresql, other, text)
    _same_rows(postgresql, other)


def test_a_dump_comes_back_as_the_owners(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken, other: str
) -> None:
    postgresql.run(f"CREATE DATABASE {other} OWNER {OWNER} TEMPLATE template0")
    postgresql.run("CREATE EXTENSION pageinspect", database=other)
    assert server.load(other, server.dump("shop_wp")) == []
    _same_rows(postgresql, other)
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert postgresql.rows(owners, database=other) == [(OWNER,)]


def test_one_table_comes_back_beside_the_live_one(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken
) -> None:
    key = "child_parent_fkey: public.child (parent) refers to public.parent (id)"
    assert shop.manifest.keys_of("public.parent") == [key]
    said = server.load_table("shop_wp", shop.manifest, shop.read, "public.child", "sche.ma.child of then")
    assert said == [f"without foreign key {key}"]
    try:
        query = 'SELECT id, parent, twice FROM "sche.ma"."child of then" ORDER BY id'
        assert postgresql.rows(query, database="shop_wp") == [(1, 1, 2), (2, 1, 2), (3, None, None)]
        owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'child of then'"
        assert postgresql.rows(owner, database="shop_wp") == [(OWNER,)]
        with pytest.raises(ExportError, match="has 'sche.ma.child of then' already"):
            server.load_table("shop_wp", shop.manifest, shop.read, "public.child", "sche.ma.child of then")
        with pytest.raises(ExportError, match="no schema 'nowhere'"):
            server.load_table("shop_wp", shop.manifest, shop.read, "public.child", "nowhere.x")
    finally:
        postgresql.run('DROP TABLE "sche.ma"."child of then"', database="shop_wp")


def test_the_servers_own_are_never_replaced(postgresql: PostgreSQL, server: PostgresqlServer) -> None:
    postgresql.run("CREATE DATABASE shop_mould IS_TEMPLATE true")
    try:
        for name, why in (("postgres", "the server's own"), ("template1", "the server's own"), ("shop_mould", "a template")):
            with pytest.raises(ExportError, match=why):
                server.load(name, iter([b"CREATE TABLE t (x int);"]))
        assert len(postgresql.rows("SELECT FROM pg_database WHERE datname IN ('postgres', 'template1', 'shop_mould')")) == 3
    finally:
        postgresql.run("ALTER DATABASE shop_mould IS_TEMPLATE false", "DROP DATABASE shop_mould")


def test_one_table_has_types_from_any_schema(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken, other: str
) -> None:
    postgresql.run(f"CREATE DATABASE {other} OWNER {OWNER}")
    postgresql.run(
        "CREATE SCHEMA aside",
        "CREATE EXTENSION hstore SCHEMA aside",
        "CREATE TABLE t (h aside.hstore)",
        "INSERT INTO t VALUES ('a=>1')",
        database=other,
    )
    taken = take(server.export(other))
    assert server.load_table(other, taken.manifest, taken.read, "public.t", "public.again") == []
    assert postgresql.rows("SELECT h::text FROM again", database=other) == [('"a"=>"1"',)]
    assert postgresql.rows("SELECT nspacl::text FROM pg_namespace WHERE nspname = 'aside'", database=other) in (
        [(None,)],
        [("{postgres=UC/postgres}",)],
    )


def test_a_load_that_fails_leaves_the_live_database_alone(
    postgresql: PostgreSQL, server: PostgresqlServer, shop: Taken
) -> None:
    before = state(postgresql, "shop_wp")
    changed = shop._replace(files={**shop.files, "after.sql": shop.files["after.sql"] + b"SELECT 1;\n"})
    with pytest.raises(ExportError, match=r"after.sql of postgresql:shop_wp is not what was exported"):
        server.load_export("shop_wp", changed.manifest, changed.read)
    assert state(postgresql, "shop_wp") == before


def test_rows_and_definitions_are_of_one_moment(postgresql: PostgreSQL, server: PostgresqlServer) -> None:
    postgresql.run("DROP DATABASE IF EXISTS busy", "CREATE DATABASE busy")
    postgresql.run(
        "CREATE TABLE a (id int)",
        "CREATE TABLE b (id int)",
        "INSERT INTO a SELECT generate_series(1, 20000)",
        database="busy",
    )
    stop, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        with postgresql.connect("busy") as connection:
            while not stop.is_set():
                with connection.transaction():
                    connection.execute("INSERT INTO a VALUES (0)")
                    connection.execute("INSERT INTO b VALUES (0)")
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = take(server.export("busy"))
    finally:
        stop.set()
        writer.join()
    tables = taken.manifest
    assert taken.copy.status is Status.COMPLETE
    assert tables.table("public.a").rows - 20000 == tables.table("public.b").rows < written
    postgresql.run("DROP DATABASE busy")


def _same_rows(postgresql: PostgreSQL, database: str) -> None:
    restored, original = state(postgresql, database), state(postgresql, "shop_wp")
    compared = [key for key in original if key.startswith(("rows ", "sequence ", "indexes", "constraints", "triggers"))]
    assert len(compared) > 10
    assert {key for key in compared if restored[key] != original[key]} == set()


def _client(postgresql: PostgreSQL, database: str, text: bytes) -> None:
    command = [
        str(programs() / "psql"),
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        str(postgresql.sockets),
        "-d",
        database,
    ]
    done = subprocess.run(command, input=text, capture_output=True, user=USER, group=USER, extra_groups=[], cwd="/")
    assert (done.returncode, done.stderr) == (0, b"")
