"""A MariaDB database with one of everything that has been lost in somebody's dump, and how to compare two of them."""

from __future__ import annotations

from typing import Any

from tests.servers.mariadb import MariaDB

WEIRD = "we`ird. name/é%41"
OWNER = "shop_user"

DEFINITIONS = (
    "CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) CHARACTER SET latin1 NOT NULL) "
    "AUTO_INCREMENT = 700",
    "CREATE TABLE child (id INT PRIMARY KEY, parent INT, KEY (parent), "
    "CONSTRAINT child_parent FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
    "CREATE TABLE kinds (i BIGINT UNSIGNED, d DECIMAL(30,10), f DOUBLE, t TEXT, b BLOB, bits BIT(9), ts TIMESTAMP NULL, "
    "dt DATETIME(6), y YEAR, e ENUM('a','b;''c'), s SET('x','y'), j JSON, g POINT, u UUID, ip INET6, "
    "stored INT GENERATED ALWAYS AS (CHAR_LENGTH(t)) STORED, seen INT GENERATED ALWAYS AS (i + 1) VIRTUAL, "
    "hidden INT INVISIBLE DEFAULT 3, CHECK (d < 1e15))",
    f"CREATE TABLE `{WEIRD.replace('`', '``')}` (`co``l umn` INT, `select` VARCHAR(9))",
    "CREATE TABLE old (x INT, t TEXT, FULLTEXT (t)) ENGINE = MyISAM",
    "CREATE TABLE aria (x INT) ENGINE = Aria TRANSACTIONAL = 0",
    "CREATE TABLE parts (id INT, PRIMARY KEY (id)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), "
    "PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE versioned (x INT) WITH SYSTEM VERSIONING",
    "CREATE TABLE empty (x INT)",
    "CREATE TABLE log (said TEXT)",
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3",
    "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
    "CREATE PROCEDURE count_all(OUT n INT) COMMENT 'it''s;' BEGIN -- don't\n SELECT COUNT(*) INTO n FROM kinds; END",
    "CREATE VIEW second AS SELECT 1 AS one",
    "CREATE VIEW first AS SELECT p.name, twice(c.id) AS doubled FROM parent p JOIN child c ON c.parent = p.id",
    "CREATE OR REPLACE VIEW second AS SELECT name FROM first WHERE doubled > 0",
    "CREATE TRIGGER told AFTER INSERT ON child FOR EACH ROW BEGIN "
    "INSERT INTO log VALUES (CONCAT('INSERT INTO `log` VALUES (1);\\n-- Dump completed', NEW.id)); END",
    "CREATE TRIGGER told_after AFTER INSERT ON child FOR EACH ROW FOLLOWS told INSERT INTO log VALUES ('second /* ; */')",
    "CREATE FUNCTION same() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE PROCEDURE same() SELECT 2",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'",
    r"""CREATE PROCEDURE slash() SELECT 'a\' AS "b\;", ';' """,
    "SET sql_mode = 'ORACLE'",
    "CREATE PACKAGE box AS FUNCTION one RETURN INT; END",
    "CREATE PACKAGE BODY box AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END",
    "SET sql_mode = 'ALLOW_INVALID_DATES'",
    "CREATE TABLE `lines\nlines` (at DATE)",
    "INSERT INTO `lines\nlines` VALUES ('2021-02-31'), ('0000-00-00'), ('2021-00-00')",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' COMMENT 'c\\\\;''%s' DO DELETE FROM log",
)
NASTY = "line\nbreak\r\tquote'\"`; -- Dump completed\n/*!40000 ALTER TABLE `x` ENABLE KEYS */;\n\\ backslash \\n \x00 \x1a é 𝄞"


def make(server: MariaDB, database: str) -> None:
    """The database anew, with its owner."""
    server.run(
        f"DROP DATABASE IF EXISTS {database}",
        f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci COMMENT 'its ''own'' \\\\ one'",
    )
    server.run(f"CREATE USER IF NOT EXISTS {OWNER}@localhost IDENTIFIED BY 'geheim'")
    server.run(f"GRANT ALL ON {database}.* TO {OWNER}@localhost")
    # With a binary log, users make functions and triggers only where the administrator allows it.
    server.run("SET GLOBAL log_bin_trust_function_creators = 1")
    with server.connect(database, user=OWNER, password="geheim") as connection, connection.cursor() as cursor:
        for definition in DEFINITIONS:
            cursor.execute(definition)
        cursor.execute("INSERT INTO parent VALUES (1, 'Jos\u00e9'), (0, 'x')")
        cursor.execute("INSERT INTO child VALUES (1, 1), (2, 1), (3, NULL)")
        row = "(%s, 12345678901234567890.0123456789 / 1e6, 0.1, %s, %s, 257, '2021-03-28 02:30:00', "
        row += "'2020-02-29 23:59:59.123456', 1999, 'b;''c', 'x,y', '{\"a\": \"\\\\u00e9\"}', POINT(1.5, -2), UUID(), '::1')"
        columns = "(i, d, f, t, b, bits, ts, dt, y, e, s, j, g, u, ip)"
        for number in range(300):
            cursor.execute(
                f"INSERT INTO kinds {columns} VALUES {row}", (number, f"{NASTY} {number}", bytes(range(256)))
            )
        cursor.execute("INSERT INTO kinds (i) VALUES (NULL)")
        weird = WEIRD.replace("`", "``").replace("%", "%%")
        cursor.execute(f"INSERT INTO `{weird}` VALUES (%s, %s)", (1, "ja"))
        cursor.execute("INSERT INTO old VALUES (1, 'a'), (2, 'b')")
        cursor.execute("INSERT INTO aria VALUES (7)")
        cursor.execute("INSERT INTO parts VALUES (1), (100)")
        cursor.execute("INSERT INTO versioned VALUES (1)")
        cursor.execute("SELECT NEXTVAL(numbers)")
    server.run("SET GLOBAL log_bin_trust_function_creators = 0")


def state(server: MariaDB, database: str) -> dict[str, Any]:
    """Every definition and every table's checksum."""
    found: dict[str, Any] = {}
    for name, kind in server.rows(f"SHOW FULL TABLES FROM `{database}`"):
        quoted = f"`{name.replace('`', '``')}`"
        word = "VIEW" if kind == "VIEW" else "TABLE"
        found[f"{kind} {name}"] = server.rows(f"SHOW CREATE {word} {quoted}", database=database)[0][1]
        if "SYSTEM VERSIONING" in found[f"{kind} {name}"]:
            # The checksum would count when each row came, which is history.
            found[f"rows {name}"] = server.rows(f"SELECT * FROM {quoted}", database=database)
        elif kind != "VIEW":
            found[f"rows {name}"] = server.rows(f"CHECKSUM TABLE {quoted} EXTENDED", database=database)[0][1]
    for (name,) in server.rows(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s", database
    ):
        found[f"trigger {name}"] = server.rows(f"SHOW CREATE TRIGGER `{name}`", database=database)[0][1:6]
    for name, kind in server.rows(
        "SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s", database
    ):
        found[f"{kind} {name}"] = server.rows(f"SHOW CREATE {kind} `{name}`", database=database)[0][1:3]
    for (name,) in server.rows("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s", database):
        found[f"event {name}"] = server.rows(f"SHOW CREATE EVENT `{name}`", database=database)[0][1:4]
    order = "SELECT TRIGGER_NAME, ACTION_ORDER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s ORDER BY 1"
    found["order of triggers"] = server.rows(order, database)
    found["sequence"] = server.rows("SELECT next_not_cached_value FROM numbers", database=database)
    found["character set"] = server.rows(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", database
    )
    return found
