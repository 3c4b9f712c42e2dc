"""What a stranger wrote into a dump touches his own database, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import ExportError
from strongroom.exports.mysql import MysqlServer
from tests.servers.mariadb import MariaDB


@pytest.fixture
def server(mariadb: MariaDB) -> Iterator[MysqlServer]:
    """A server with the stranger's database, and a victim's beside it."""
    mariadb.run("CREATE DATABASE mine_db", "CREATE DATABASE victim", "CREATE TABLE victim.t (x INT)")
    mariadb.run(
        "INSERT INTO victim.t VALUES (1)",
        "CREATE USER mine_user@localhost",
        "GRANT ALL ON `mine\\_db`.* TO mine_user@localhost",
    )
    users = mariadb.rows("SELECT User, Host FROM mysql.user ORDER BY 1, 2")
    yield MysqlServer(mariadb.settings)
    assert mariadb.rows("SELECT x FROM victim.t") == [(1,)]
    assert mariadb.rows("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'victim'") == [("t",)]
    assert mariadb.rows("SELECT User, Host FROM mysql.user ORDER BY 1, 2") == users
    mariadb.run("DROP DATABASE IF EXISTS mine_db", "DROP DATABASE victim", "DROP USER mine_user@localhost")


def pieces(text: str) -> Iterator[bytes]:
    """The text in pieces that cut it anywhere."""
    content = text.encode()
    yield from (content[at : at + 3] for at in range(0, len(content), 3))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INSERT INTO victim.t VALUES (2);", "denied"),
        ("DROP TABLE victim.t;", "denied"),
        ("CREATE TABLE victim.planted (x INT);", "denied"),
        ("RENAME TABLE mine_db.a TO victim.a;", "denied"),
        ("/*!50001 DROP DATABASE victim */; /*!50001 DROP DATABASE mine_db */;", "several databases"),
        ("USE mine_db; USE victim; DELETE FROM t;", "several databases"),
        ("USE`mine_db`; CREATE DATABASE victim2;", "several databases|denied"),
        ("CREATE USER root2 IDENTIFIED BY 'x';", "denied"),
        ("GRANT ALL ON *.* TO mine_user@localhost;", "denied"),
        ("SET PASSWORD FOR root@localhost = PASSWORD('x');", "denied"),
        ("SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/strongroom-out';", "denied"),
        ("CREATE TABLE f (x TEXT); LOAD DATA INFILE '/etc/passwd' INTO TABLE f;", "denied"),
        ("CREATE TABLE f (x TEXT); LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE f;", "disabled|not allowed"),
        ("SET GLOBAL general_log = 1;", "denied"),
        (
            "CREATE DEFINER = root@localhost PROCEDURE p() DROP TABLE victim.t; SELECT 1 AS /*!50017 DEFINER=root@localhost*/ x",
            "syntax",
        ),
        ("CREATE/**/DEFINER=root@localhost PROCEDURE p() SELECT 1;", "denied"),
        ("CREATE OR REPLACE /*comment*/ DEFINER=root@localhost VIEW v AS SELECT 1;", "denied"),
        ("CREATE FUNCTION shell RETURNS INT SONAME 'lib_mysqludf_sys.so';", "denied"),
        ("INSTALL PLUGIN x SONAME 'y.so';", "denied"),
        ("\\! touch {marker}\n;", "syntax"),
        ("system touch {marker}\n;", "syntax"),
        ("source {marker};", "syntax"),
        ("DELIMITER $$\nsystem touch {marker}$$\n", "syntax"),
        ("SELECT 'never closed", "syntax"),
    ],
)
def test_what_a_stranger_tries_is_refused_in_one_line(server: MysqlServer, tmp_path: Path, text: str, why: str) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(ExportError, match=f"(?i){why}") as refused:
        server.load("mine_db", pieces(text.format(marker=marker)))
    assert "\n" not in str(refused.value)
    assert not marker.exists()
    assert not os.path.exists("/tmp/strongroom-out")


def test_the_servers_files_are_not_read_by_a_function(server: MysqlServer, mariadb: MariaDB) -> None:
    server.load("mine_db", pieces("CREATE TABLE f AS SELECT LOAD_FILE('/etc/passwd') AS content;"))
    assert mariadb.rows("SELECT content FROM mine_db.f") == [(None,)]


def test_the_servers_own_are_never_emptied(server: MysqlServer, mariadb: MariaDB) -> None:
    tables = mariadb.rows("SHOW TABLES FROM mysql")
    for name in ("mysql", "MYSQL", "sys"):
        with pytest.raises(ExportError, match="the server's own"):
            server.load(name, pieces("CREATE TABLE t (x INT);"))
    assert mariadb.rows("SHOW TABLES FROM mysql") == tables


def test_definers_become_the_databases_own_user(server: MysqlServer, mariadb: MariaDB) -> None:
    """Also in the spellings of dumps, and never one who may more."""
    text = """
        CREATE TABLE t (x INT);
        CREATE DEFINER=`root`@`localhost` PROCEDURE p() SQL SECURITY DEFINER DELETE FROM victim.t;
        /*!50001 CREATE ALGORITHM=UNDEFINED */
        /*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
        /*!50001 VIEW `v` AS select 'DEFINER=`a`@`b`' AS `x` */;
        DELIMITER ;;
        /*!50003 CREATE*/ /*!50017 DEFINER=root@localhost*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW
        BEGIN SET NEW.x = 1; DELETE FROM victim.t; END */;;
        /*!50106 CREATE*/ /*!50117 DEFINER=`root`@`localhost`*/ /*!50106 EVENT `e`
        ON SCHEDULE EVERY 1 DAY DO DELETE FROM victim.t */;;
        DELIMITER ;
    """
    assert server.load("mine_db", pieces(text)) == []
    for view, column in (("VIEWS", "TABLE"), ("TRIGGERS", "TRIGGER"), ("ROUTINES", "ROUTINE"), ("EVENTS", "EVENT")):
        query = f"SELECT DEFINER FROM information_schema.{view} WHERE {column}_SCHEMA = 'mine_db'"
        assert mariadb.rows(query) == [("mine_user@localhost",)], view
    assert mariadb.rows("SELECT x FROM mine_db.v") == [("DEFINER=`a`@`b`",)]
    with pytest.raises(Exception, match="denied"):
        mariadb.run("CALL mine_db.p()")
    with pytest.raises(Exception, match="denied"):
        mariadb.run("INSERT INTO mine_db.t VALUES (3)")


def test_what_nobody_could_be_is_left_out_and_told(server: MysqlServer, mariadb: MariaDB) -> None:
    mariadb.run("REVOKE ALL ON `mine\\_db`.* FROM mine_user@localhost")
    text = "CREATE TABLE t (x INT); CREATE DEFINER=root@localhost VIEW v AS SELECT 1; INSERT INTO t VALUES (7);"
    said = server.load("mine_db", pieces(text))
    assert said == ["view v was left out: the database has no user of its own to run it as"]
    assert mariadb.rows("SHOW TABLES FROM mine_db") == [("t",)]
    assert mariadb.rows("SELECT x FROM mine_db.t") == [(7,)]


def test_a_text_for_one_database_goes_where_it_is_told(server: MysqlServer, mariadb: MariaDB) -> None:
    text = """-- MariaDB dump
        /*!40000 DROP DATABASE IF EXISTS `elsewhere`*/;
        CREATE DATABASE /*!32312 IF NOT EXISTS*/ `elsewhere` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
        USE `elsewhere`;
        SET @@SESSION.SQL_LOG_BIN= 0;
        CREATE TABLE `it's; x` (`a` TEXT); # it's
        INSERT INTO `it's; x` VALUES ('a;b\\'--'),("it's"), ('/* '); -- it's"""
    assert server.load("mine_db", pieces(text + "\n")) == []
    assert mariadb.rows("SELECT a FROM mine_db.`it's; x`") == [("a;b'--",), ("it's",), ("/* ",)]
    assert not mariadb.rows("SHOW DATABASES LIKE 'elsewhere'")


def test_a_load_that_fails_leaves_no_user_and_no_setting(server: MysqlServer, mariadb: MariaDB) -> None:
    with pytest.raises(ExportError, match="statement 2 was refused: .* SELEKT 1"):
        server.load("mine_db", pieces("CREATE TABLE t (x INT); SELEKT 1;"))
    assert mariadb.rows("SELECT User FROM mysql.user WHERE User LIKE 'strongroom%%'") == []
    assert mariadb.rows("SELECT @@max_allowed_packet, @@log_bin_trust_function_creators") == [(16777216, 0)]
