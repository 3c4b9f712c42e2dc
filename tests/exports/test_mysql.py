"""Exports of MariaDB: what they hold, in whose moment, and that all of it comes back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from strongroom.errors import ExportError
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.names import parts
from strongroom.model import Status
from tests.exports.mysql_shop import OWNER, WEIRD, make, state
from tests.exports.taken import Taken, take
from tests.servers.mariadb import MariaDB


@pytest.fixture(scope="module")
def server(mariadb: MariaDB) -> MysqlServer:
    return MysqlServer(mariadb.settings)


@pytest.fixture(scope="module")
def shop(mariadb: MariaDB, server: MysqlServer) -> Taken:
    make(mariadb, "shop_wp")
    return take(server.export("shop_wp"))


@pytest.fixture
def other(mariadb: MariaDB, shop: Taken) -> Iterator[str]:
    mariadb.run("DROP DATABASE IF EXISTS shop_other", f"GRANT ALL ON shop_other.* TO {OWNER}@localhost")
    yield "shop_other"
    mariadb.run("DROP DATABASE IF EXISTS shop_other")


def test_an_export_is_complete_and_says_where_the_log_stood(shop: Taken) -> None:
    assert (shop.copy.status, shop.failures) == (Status.COMPLETE, {})
    assert shop.said.startswith("mysql:shop_wp: table versioned keeps a history of its rows, which is not exported")
    assert shop.copy.tables == 11
    assert shop.copy.bytes == sum(map(len, shop.files.values()))
    assert shop.copy.position.startswith("server.0")
    assert " gtid 0-7-" in shop.copy.position


def test_each_table_is_a_file_and_each_row_a_line(shop: Taken) -> None:
    rows = shop.files["tables/kinds.sql"].split(b"\n")[4:-1]
    assert len(rows) == shop.manifest.table("kinds").rows == 301
    assert all(row.startswith(b"INSERT INTO `kinds` (`i`, ") and row.endswith(b");") for row in rows)
    assert shop.manifest.table("empty").rows == 0


def test_weird_names_are_files_that_say_them(shop: Taken) -> None:
    (file,) = [table.file for table in shop.manifest.tables if table.name == WEIRD]
    assert "/" not in file.removeprefix("tables/")
    assert "".join(parts(file.removeprefix("tables/").removesuffix(".sql").replace(".", "%2E"))) == WEIRD


def test_all_of_it_comes_back_in_place(mariadb: MariaDB, server: MysqlServer, shop: Taken) -> None:
    before = state(mariadb, "shop_wp")
    mariadb.run("DROP TABLE child", "DELETE FROM kinds", "CREATE TABLE newer (x INT)", database="shop_wp")
    assert server.load_export("shop_wp", shop.manifest, shop.read) == []
    after = state(mariadb, "shop_wp")
    assert len(before) > 30
    assert after == before


def test_it_comes_back_under_another_name(mariadb: MariaDB, server: MysqlServer, shop: Taken, other: str) -> None:
    server.load_export(other, shop.manifest, shop.read)
    assert state(mariadb, other) == state(mariadb, "shop_wp")


def test_one_writes_through_views_on_views_as_before(mariadb: MariaDB, server: MysqlServer, other: str) -> None:
    mariadb.run(f"CREATE DATABASE {other}", f"GRANT ALL ON {other}.* TO {OWNER}@localhost")
    try:
        mariadb.run(
            "CREATE TABLE t (id INT)",
            f"CREATE DEFINER = {OWNER}@localhost VIEW zbase AS SELECT id FROM t",
            f"CREATE DEFINER = {OWNER}@localhost VIEW among AS SELECT id FROM zbase",
            f"CREATE DEFINER = {OWNER}@localhost VIEW checked AS SELECT id FROM among WHERE id > 0 WITH CASCADED CHECK OPTION",
            database=other,
        )
        query = f"SELECT * FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{other}' ORDER BY TABLE_NAME"
        before = mariadb.rows(query)
        taken, text = take(server.export(other)), list(server.dump(other))
        assert server.load_export(other, taken.manifest, taken.read) == []
        assert mariadb.rows(query) == before
        assert server.load(other, iter(text)) == []
        assert mariadb.rows(query) == before
        mariadb.run("INSERT INTO checked VALUES (1)", database=other)
        # One that nothing helps ends a stranger's text, as any other statement would.
        with pytest.raises(ExportError, match="view zbase was refused: .*gone"):
            server.load(other, iter([b"".join(text).replace(b"from `t`", b"from `gone`")]))
    finally:
        mariadb.run(f"REVOKE ALL ON {other}.* FROM {OWNER}@localhost")


def test_a_database_that_did_not_change_exports_to_the_same_bytes(server: MysqlServer, shop: Taken) -> None:
    again = take(server.export("shop_wp", shop.files["manifest.json"]))
    assert again.said == shop.said
    unlike = {path for path in shop.files if again.files[path] != shop.files[path]}
    # The manifest has its time, and the tables were made anew by the tests above with the next number a step further.
    assert unlike <= {"manifest.json", "before.sql"}


def test_nobody_is_left_behind(mariadb: MariaDB, shop: Taken) -> None:
    assert mariadb.rows("SELECT User FROM mysql.user WHERE User LIKE 'strongroom%%'") == []
    assert mariadb.rows("SELECT @@max_allowed_packet") == [(16777216,)]


def test_the_tools_own_client_loads_the_files_too(mariadb: MariaDB, shop: Taken, other: str) -> None:
    mariadb.run(f"CREATE DATABASE {other} CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci")
    tables = [table.file for table in shop.manifest.tables]
    _client(mariadb, other, b"".join(shop.files[path] for path in ["before.sql", *tables, "after.sql"]))
    assert state(mariadb, other) == state(mariadb, "shop_wp")


def test_a_dump_is_one_text_for_the_ordinary_client(
    mariadb: MariaDB, server: MysqlServer, shop: Taken, other: str
) -> None:
    text = b"".join(server.dump("shop_wp"))
    assert b"CREATE DATABASE" not in text
    assert b"\nUSE " not in text
    mariadb.run(f"CREATE DATABASE {other} CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci")
    _client(mariadb, other, text)
    assert state(mariadb, other) == state(mariadb, "shop_wp")


def test_what_is_broken_is_in_the_dump_before_it_is_replaced(
    mariadb: MariaDB, server: MysqlServer, other: str
) -> None:
    mariadb.run("CREATE DATABASE shop_other")
    mariadb.run(
        "CREATE TABLE gone (id INT)", "CREATE VIEW seen AS SELECT id FROM gone", "DROP TABLE gone", database=other
    )
    with pytest.raises(ExportError, match="views that the server cannot use: seen"):
        list(server.dump(other))
    text = b"".join(server.dump(other, broken_views=True))
    assert b"-- A view that the server could not use: CREATE ALGORITHM=UNDEFINED DEFINER=" in text
    assert text.endswith(b" AS `id` from `gone`\n")
    assert server.load(other, iter([text])) == []


def test_a_dump_comes_back_as_the_owners(mariadb: MariaDB, server: MysqlServer, shop: Taken, other: str) -> None:
    mariadb.run(f"CREATE DATABASE {other} CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci")
    assert server.load(other, server.dump("shop_wp")) == []
    assert state(mariadb, other) == state(mariadb, "shop_wp")


def test_one_table_comes_back_beside_the_live_one(mariadb: MariaDB, server: MysqlServer, shop: Taken) -> None:
    keys = shop.manifest.keys_of("parent")
    assert keys == ["child_parent: child (parent) refers to parent (id)"]
    said = server.load_table("shop_wp", shop.manifest, shop.read, "child", "child old")
    assert said == ["without foreign key child_parent: child (parent) refers to parent (id)"]
    try:
        assert mariadb.rows("SELECT * FROM `child old` ORDER BY id", database="shop_wp") == [(1, 1), (2, 1), (3, None)]
        with pytest.raises(ExportError, match="has a table 'child old' already"):
            server.load_table("shop_wp", shop.manifest, shop.read, "child", "child old")
    finally:
        mariadb.run("DROP TABLE `child old`", database="shop_wp")


def test_what_reaches_into_other_databases_comes_back_too_or_is_named(
    mariadb: MariaDB, server: MysqlServer, other: str
) -> None:
    mariadb.run(
        "CREATE DATABASE shop_other", "CREATE DATABASE shop_far", f"GRANT ALL ON shop_far.* TO {OWNER}@localhost"
    )
    try:
        mariadb.run(
            "CREATE TABLE there (id INT PRIMARY KEY)",
            "INSERT INTO there VALUES (1), (2)",
            "CREATE VIEW beyond AS SELECT id FROM there",
            database="shop_far",
        )
        mariadb.run(
            "CREATE TABLE here (id INT PRIMARY KEY, CONSTRAINT far FOREIGN KEY (id) REFERENCES shop_far.there (id))",
            "INSERT INTO here VALUES (1)",
            # By name before and after the one it rests on.
            f"CREATE DEFINER = {OWNER}@localhost VIEW middle AS SELECT id FROM shop_far.beyond",
            f"CREATE DEFINER = {OWNER}@localhost VIEW after AS SELECT id FROM middle",
            f"CREATE DEFINER = {OWNER}@localhost VIEW zlast AS SELECT id FROM middle",
            database="shop_other",
        )
        taken = take(server.export("shop_other"))
        said = server.load_export("shop_other", taken.manifest, taken.read)
        assert len(said) == 1 and "FOREIGN KEY (`id`) REFERENCES `shop_far`.`there` (`id`)" in said[0]
        query = "SELECT TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'shop_other' ORDER BY 1"
        assert mariadb.rows(query) == [(name, f"{OWNER}@localhost") for name in ("after", "middle", "zlast")]
        assert mariadb.rows("SHOW CREATE VIEW middle", database="shop_other")[0][1].endswith(
            " from `shop_far`.`beyond`"
        )
        assert mariadb.rows("SELECT id FROM here", database="shop_other") == [(1,)]
        mariadb.run("DROP DATABASE shop_far")
        said = server.load_export("shop_other", taken.manifest, taken.read)
        assert {what.partition(" was left out: ")[0] for what in said[1:]} == {
            "view after",
            "view middle",
            "view zlast",
        }
        assert mariadb.rows(query) == [] and mariadb.rows("SELECT id FROM here", database="shop_other") == [(1,)]
    finally:
        mariadb.run(
            "DROP DATABASE shop_other",
            "DROP DATABASE IF EXISTS shop_far",
            f"REVOKE ALL ON shop_far.* FROM {OWNER}@localhost",
        )


def test_a_servers_own_defaults_make_no_difference(mariadb: MariaDB, server: MysqlServer, other: str) -> None:
    modes = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,PIPES_AS_CONCAT"
    mariadb.run("CREATE DATABASE shop_other")
    mariadb.run(
        "SET sql_mode = ''",
        r"CREATE TABLE t (d DATE, s VARCHAR(9) DEFAULT 'a\\b')",
        r"INSERT INTO t VALUES ('0000-00-00', '\\\'\n')",
        f"CREATE DEFINER = {OWNER}@localhost VIEW v AS SELECT * FROM t",
        f"CREATE DEFINER = {OWNER}@localhost TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.s = 'x'",
        database=other,
    )
    shown = ("SHOW CREATE TABLE t", "SHOW CREATE VIEW v", "SELECT * FROM v", "SHOW TRIGGERS")
    before = [mariadb.rows(each, database=other)[0][:3] for each in shown]
    (was,) = mariadb.rows("SELECT @@GLOBAL.sql_mode, @@GLOBAL.wait_timeout")
    mariadb.run(f"SET GLOBAL sql_mode = '{modes}', GLOBAL wait_timeout = 1, GLOBAL autocommit = 0")
    try:
        taken = take(server.export(other))
        assert (taken.copy.status, server.load_export(other, taken.manifest, taken.read)) == (Status.COMPLETE, [])
    finally:
        mariadb.run(f"SET GLOBAL sql_mode = '{was[0]}', GLOBAL wait_timeout = {was[1]}, GLOBAL autocommit = 1")
    assert [mariadb.rows(each, database=other)[0][:3] for each in shown] == before


def test_a_table_that_the_server_would_not_take_today_comes_back(
    mariadb: MariaDB, server: MysqlServer, other: str
) -> None:
    mariadb.run("CREATE DATABASE shop_other")
    columns = ", ".join(f"c{number} VARCHAR(250)" for number in range(160))
    mariadb.run(
        "SET innodb_strict_mode = 0, check_constraint_checks = 0",
        f"CREATE TABLE wide ({columns}) ROW_FORMAT = COMPACT CHARACTER SET latin1",
        "CREATE TABLE checked (n INT CHECK (n > 0))",
        "INSERT INTO checked VALUES (-1)",
        database=other,
    )
    before = [mariadb.rows(f"SHOW CREATE TABLE {table}", database=other) for table in ("wide", "checked")]
    taken = take(server.export(other))
    assert server.load_export(other, taken.manifest, taken.read) == []
    assert [mariadb.rows(f"SHOW CREATE TABLE {table}", database=other) for table in ("wide", "checked")] == before
    assert mariadb.rows("SELECT n FROM checked", database=other) == [(-1,)]


def test_floats_that_the_server_rounds_in_its_text_are_told(mariadb: MariaDB, server: MysqlServer, other: str) -> None:
    mariadb.run("CREATE DATABASE shop_other")
    mariadb.run("CREATE TABLE exact (f FLOAT)", "CREATE TABLE more (f FLOAT, g FLOAT(9, 3))", database=other)
    mariadb.run("INSERT INTO exact VALUES (0.1), (-3.14)", "INSERT INTO more VALUES (16777217, 1)", database=other)
    taken = take(server.export(other))
    assert taken.copy.status is Status.COMPLETE
    assert taken.said == (
        "mysql:shop_other: table more has values of type FLOAT with more than the six digits that the server writes of them"
    )


def test_rows_beyond_the_servers_limit_leave_a_log_whose_position_can_be_asked(
    mariadb: MariaDB, server: MysqlServer, other: str
) -> None:
    mariadb.run("CREATE DATABASE shop_other")
    mariadb.run("CREATE TABLE large (b LONGBLOB)", "INSERT INTO large VALUES (REPEAT('x', 3000000))", database=other)
    taken = take(server.export(other))
    before = mariadb.rows("SELECT @@GLOBAL.max_allowed_packet")[0][0]
    mariadb.run(f"SET GLOBAL max_allowed_packet = {1 << 20}")
    try:
        assert server.load_export(other, taken.manifest, taken.read) == []
        again = take(server.export(other))
        assert (again.copy.status, again.said) == (Status.COMPLETE, "") and again.copy.position
        # The same by somebody else's doing: there is nobody to ask.
        mariadb.run(f"SET GLOBAL max_allowed_packet = {4 << 20}")
        mariadb.rows("INSERT INTO large VALUES (%s)", "y" * 3_000_000, database=other)
        mariadb.run(f"SET GLOBAL max_allowed_packet = {1 << 20}")
        blind = take(server.export(other))
        assert (blind.copy.status, blind.copy.position) == (Status.COMPLETE, "")
        assert blind.said.endswith("the server could not say where its binary log stood, so that no position is known")
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {before}", "FLUSH BINARY LOGS")


def test_a_file_that_is_not_what_was_exported_is_refused(server: MysqlServer, shop: Taken, other: str) -> None:
    changed = shop._replace(files={**shop.files, "after.sql": shop.files["after.sql"] + b"SELECT 1;\n"})
    with pytest.raises(ExportError, match=r"after.sql of mysql:shop_wp is not what was exported"):
        server.load_export(other, changed.manifest, changed.read)


def test_an_empty_database_and_one_of_routines_alone_are_exported(mariadb: MariaDB, server: MysqlServer) -> None:
    mariadb.run("CREATE DATABASE bare")
    try:
        taken = take(server.export("bare"))
        assert (taken.copy.status, taken.copy.tables, taken.said) == (Status.COMPLETE, 0, "")
        mariadb.run("CREATE PROCEDURE p() SELECT 1", database="bare")
        taken = take(server.export("bare"))
        mariadb.run("DROP DATABASE bare")
        assert server.load_export("bare", taken.manifest, taken.read) == []
        assert mariadb.rows("CALL p()", database="bare") == [(1,)]
    finally:
        mariadb.run("DROP DATABASE IF EXISTS bare")


def test_writers_of_transactional_tables_never_wait(mariadb: MariaDB, server: MysqlServer) -> None:
    """A writer adds rows to InnoDB all through an export; what came in is what was there when the transaction opened."""
    mariadb.run("DROP DATABASE IF EXISTS busy", "CREATE DATABASE busy")
    mariadb.run(
        "CREATE TABLE rows_ (id INT PRIMARY KEY, pad CHAR(200))", "CREATE TABLE other LIKE rows_", database="busy"
    )
    mariadb.run("INSERT INTO rows_ SELECT seq, REPEAT('x', 200) FROM seq_1_to_20000", database="busy")
    stop, times = threading.Event(), [time.time()]

    def write() -> None:
        with mariadb.connect("busy") as connection, connection.cursor() as cursor:
            number = 0
            while not stop.is_set():
                number += 1
                cursor.execute("START TRANSACTION")
                cursor.execute("INSERT INTO rows_ VALUES (%s, '')", (100000 + number,))
                cursor.execute("INSERT INTO other VALUES (%s, '')", (100000 + number,))
                cursor.execute("COMMIT")
                times.append(time.time())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = take(server.export("busy"))
    finally:
        stop.set()
        writer.join()
    rows, others = (taken.files[f"tables/{name}.sql"].split(b"\n")[4:-1] for name in ("rows_", "other"))
    assert taken.copy.status is Status.COMPLETE
    # Both tables are of one moment, and that is not before the one that is told.
    assert len(rows) - 20000 == len(others)
    assert len(others) >= sum(1 for written in times[1:] if written < taken.opened)
    assert len(times) - 1 > len(others)
    assert max(later - earlier for earlier, later in pairwise(times)) < 20
    mariadb.run("DROP DATABASE busy")


def test_tables_without_transactions_are_locked_until_they_are_read_and_no_others(
    mariadb: MariaDB, server: MysqlServer
) -> None:
    mariadb.run("DROP DATABASE IF EXISTS mixed", "CREATE DATABASE mixed")
    mariadb.run("CREATE TABLE a_inno (x INT)", "CREATE TABLE z_my (x INT) ENGINE = MyISAM", database="mixed")
    with mariadb.connect("mixed") as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_wait_timeout = 1")
        with server.export("mixed") as export:
            cursor.execute("INSERT INTO a_inno VALUES (1)")
            for file in export.files():
                assert b"".join(file.pieces)
            cursor.execute("INSERT INTO z_my VALUES (1)")
    assert export.result()[0].status is Status.COMPLETE
    mariadb.run("DROP DATABASE mixed")


def test_a_lock_that_is_not_to_be_had_is_an_error_of_one_line(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.exports.mysql_dump._LOCK_SECONDS", 1)
    mariadb.run("DROP DATABASE IF EXISTS mixed", "CREATE DATABASE mixed")
    mariadb.run("CREATE TABLE my (x INT) ENGINE = MyISAM", database="mixed")
    with mariadb.connect("mixed") as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES my WRITE")
        with pytest.raises(ExportError, match="Lock wait timeout exceeded") as refused:
            take(MysqlServer(mariadb.settings).export("mixed"))
    assert "\n" not in str(refused.value)
    mariadb.run("DROP DATABASE mixed")


def _client(mariadb: MariaDB, database: str, text: bytes) -> None:
    command = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--comments"]
    command += ["--default-character-set=utf8mb4", database]
    done = subprocess.run(command, input=text, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
