"""``databases export`` and ``import`` with real servers, as an administrator types them."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.settings import durable
from tests.cli.ground import Ground
from tests.panel.servers import write
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

OWNER = 10000
MINE, THEIRS = "mysql:hand_shop", "postgresql:hand_shop"


@pytest.fixture
def hand(strongroom: Ground, mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[Ground]:
    """An account with a database of each engine that has one row, and another account with a database."""
    pg = postgresql.settings
    with strongroom.config.open("a") as config:
        config.write(f'[databases.mysql]\nsocket = "{mariadb.socket}"\n')
        config.write(f'[databases.postgresql]\nhost = "{pg.host}"\nport = {pg.port}\n')
    strongroom.servers = None
    for number, prefix in ((1, "hand_"), (2, "other_")):
        info = strongroom.folder / f"root/home/virtual/site{number}/info/current"
        for service in ("mysql", "pgsql"):
            write(info / service, f"[DEFAULT]\nenabled = 1\ndbaseprefix = {prefix}\n")
    mariadb.run("CREATE DATABASE hand_shop", "CREATE DATABASE other_shop", "CREATE TABLE hand_shop.t (x INT)")
    mariadb.run("INSERT INTO hand_shop.t VALUES (1)")
    postgresql.run("CREATE DATABASE hand_shop")
    postgresql.run("CREATE TABLE t (x INT)", "INSERT INTO t VALUES (1)", database="hand_shop")
    yield strongroom
    mariadb.run("DROP DATABASE hand_shop", "DROP DATABASE other_shop")
    postgresql.run("DROP DATABASE hand_shop")


@pytest.fixture
def home(strongroom: Ground) -> Path:
    return strongroom.folder / "root/home/virtual/site1/shadow/home/admin"


def content(path: Path) -> bytes:
    """What is packed in a file, by its suffix."""
    packed = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            (name,) = archive.namelist()
            assert name == path.name.removesuffix(".zip").removesuffix(".sql") + ".sql"
            return archive.read(name)
    unpack: dict[str, Callable[[bytes], bytes]] = {".sql": _plain, ".gz": gzip.decompress, ".bz2": bz2.decompress}
    return unpack[path.suffix](packed)


@pytest.mark.parametrize("name", [MINE, THEIRS])
@pytest.mark.parametrize("file", ["a.sql", "a.sql.gz", "a.bz2", "a.zip"])
def test_a_database_is_exported_to_the_owners_file_packed_by_its_name(
    hand: Ground, home: Path, name: str, file: str
) -> None:
    document = hand.json("databases", "export", "example.com", name, f"/home/admin/{file}")
    made = home / file
    status = made.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (OWNER, OWNER, 0o600)
    engine, _, database = name.partition(":")
    path = f"/home/admin/{file}"
    assert document == {"account": "site1", "engine": engine, "name": database, "path": path, "bytes": status.st_size}
    assert b"CREATE TABLE" in content(made)
    assert [each.name for each in home.iterdir()] == [file]


def test_without_a_path_it_lands_beside_the_owners_dumps(hand: Ground, home: Path) -> None:
    answer = hand("databases", "export", "site1", THEIRS)
    (made,) = (home / "pgsql_backups").iterdir()
    assert (answer.status, answer.err) == (0, "")
    assert f"/home/admin/pgsql_backups/{made.name}" in answer.out
    assert made.name.startswith("hand_shop-20") and made.name.endswith(".sql.gz")
    assert b"CREATE TABLE" in content(made)
    dumps = hand.json("databases", "list", "site1", "--dumps")
    assert [file["path"] for each in dumps for file in each["dumps"]] == [f"/home/admin/pgsql_backups/{made.name}"]


def test_an_empty_file_is_filled_and_a_full_one_stays(hand: Ground, home: Path) -> None:
    (home / "a.sql").touch()
    assert hand("databases", "export", "site1", MINE, "/home/admin/a.sql").status == 0
    before = content(home / "a.sql")
    assert b"INSERT INTO `t`" in before
    answer = hand("databases", "export", "site1", MINE, "/home/admin/a.sql")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "not empty" in answer.err and content(home / "a.sql") == before


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("mysql:other_shop", "/home/admin/a.sql", "no database of site1; it has there mysql:hand_shop"),
        ("mysql:mysql", "/home/admin/a.sql", "no database of site1"),
        ("oracle:x", "/home/admin/a.sql", "oracle"),
        (MINE, "a.sql", "not absolute"),
        (MINE, "/home/../a.sql", "'..'"),
        (MINE, "info:/current/a.sql", "no file of the account's data"),
        (MINE, "/", "no file of the account's data"),
        (MINE, "/home/admin/a.txt", "has to end in"),
        (MINE, "/home/nobody/a.sql", "No such file"),
        (MINE, "/home/link/a.sql", "links are not followed"),
        (MINE, "/home/admin/link.sql", "not empty"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(
    hand: Ground, home: Path, name: str, path: str, why: str
) -> None:
    outside = hand.folder / "outside"
    outside.mkdir()
    (home.parent / "link").symlink_to(outside)
    (home / "link.sql").symlink_to(outside / "a.sql")
    answer = hand("databases", "export", "site1", name, path)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert why in answer.err
    assert not list(outside.iterdir()) and [each.name for each in home.iterdir()] == ["link.sql"]


def _plain(text: bytes) -> bytes:
    return text


def _zipped(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/dump.sql", text)
    return made.getvalue()


def _tarred(text: bytes, form: int = tarfile.PAX_FORMAT, mode: str = "w:") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        member = tarfile.TarInfo("folder/" + "long" * 60 + "ü.sql")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return made.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "a.sql": _plain,
    "a.sql.gz": gzip.compress,
    "a.bz2": bz2.compress,
    "a.zip": _zipped,
    "a.tar": _tarred,
    "a.tgz": lambda text: _tarred(text, tarfile.GNU_FORMAT, "w:gz"),
    "a.tar.bz2": lambda text: _tarred(text, mode="w:bz2"),
    # What it is called says nothing.
    "a": gzip.compress,
}
TEXT = b"CREATE TABLE t (x INT);\nINSERT INTO t VALUES (2), (3);\n"


@pytest.mark.parametrize("file", PACKED)
def test_a_file_of_the_owners_replaces_what_is_there_and_that_is_kept(
    hand: Ground, home: Path, mariadb: MariaDB, file: str
) -> None:
    write(home / file, PACKED[file](TEXT))
    document = hand.json("databases", "import", "site1", MINE, f"/home/admin/{file}", "--yes")
    assert mariadb.rows("SELECT x FROM hand_shop.t ORDER BY x") == [(2,), (3,)]
    (kept,) = (home / "mysql_backups").iterdir()
    path = f"/home/admin/{file}"
    assert document == {
        "account": "site1",
        "engine": "mysql",
        "name": "hand_shop",
        "path": path,
        "bytes": len(TEXT),
        "dumped": f"/home/admin/mysql_backups/{kept.name}",
        "warnings": [],
    }
    status = kept.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (OWNER, 0o600)
    assert hand("databases", "import", "site1", MINE, document["dumped"], "--yes").status == 0
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]


def test_what_was_exported_comes_back_into_postgresql(hand: Ground, home: Path, postgresql: PostgreSQL) -> None:
    hand("databases", "export", "site1", THEIRS, "/home/admin/a.sql.gz")
    postgresql.run("INSERT INTO t VALUES (2)", "CREATE TABLE more (x INT)", database="hand_shop")
    answer = hand("databases", "import", "site1", THEIRS, "/home/admin/a.sql.gz", "--yes")
    (kept,) = (home / "pgsql_backups").iterdir()
    assert answer.status == 0
    assert answer.out == (
        "site1 postgresql:hand_shop: loaded from /home/admin/a.sql.gz; what it held before is in "
        f"/home/admin/pgsql_backups/{kept.name}\n"
    )
    assert postgresql.rows("SELECT x FROM t", database="hand_shop") == [(1,)]
    assert b"CREATE TABLE public.more" in content(kept)


def test_without_yes_and_a_terminal_it_says_what_would_be_replaced(hand: Ground, home: Path, mariadb: MariaDB) -> None:
    write(home / "a.sql", TEXT)
    answer = hand("databases", "import", "site1", MINE, "/home/admin/a.sql")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert (
        f"all that mysql:hand_shop of site1 holds would be replaced by /home/admin/a.sql, {len(TEXT)} B of SQL"
        in answer.err
    )
    assert "--yes" in answer.err and not (home / "mysql_backups").exists()
    assert hand("databases", "import", "site1", MINE, "/home/admin/a.sql", "--json").status == 2
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]


def _members(*texts: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{number}.sql", text)
    return made.getvalue()


def _huge_pax() -> bytes:
    member = tarfile.TarInfo("a.sql")
    member.pax_headers = {"comment": "x" * (2 << 20)}
    return member.tobuf(tarfile.PAX_FORMAT)


def _two_in_a_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in ("a.sql", "b.sql"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return made.getvalue()


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "nothing in it"),
        (gzip.compress(b""), "nothing in it"),
        (gzip.compress(TEXT * 1000)[:-20], "end-of-stream"),
        (gzip.compress(TEXT)[:-8] + b"12345678", "CRC"),
        (bz2.compress(TEXT)[:-5], "end-of-stream"),
        (_members(), "0 files"),
        (_members(TEXT, TEXT), "2 files"),
        (_members(TEXT)[:-30], "not a zip"),
        # Compressed patched data, which no reader knows.
        (_members(TEXT).replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\x20\0"), "patched"),
        (_two_in_a_tar(), "several files"),
        (_tarred(TEXT)[:2000], "cut short"),
        (_tarred(TEXT).replace(b"folder", b"fOlder", 1), "damaged"),
        (_huge_pax(), "too large"),
    ],
    # By number: packed bytes hold times, and each process of a run has to name its tests alike.
    ids=map(str, range(12)),
)
def test_a_file_that_is_not_whole_is_refused_before_anything_is_touched(
    hand: Ground, home: Path, mariadb: MariaDB, packed: bytes, why: str
) -> None:
    write(home / "a.sql", packed)
    answer = hand("databases", "import", "site1", MINE, "/home/admin/a.sql", "--yes")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert why in answer.err and "/home/admin/a.sql" in answer.err
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]
    assert not (home / "mysql_backups").exists()


@pytest.mark.parametrize(
    ("database", "text", "why"),
    [
        (MINE, "-- nothing but a comment\n", "it makes no table and nothing else"),
        (MINE, "SET NAMES utf8mb4;\nSELECT 1;\n", "it makes no table and nothing else"),
        (MINE, "CREATE DATABASE a;\nUSE a;\n", "it makes no table and nothing else"),
        (MINE, "INSERT INTO t VALUES (2);\n", "it makes no table and nothing else"),
        (MINE, "CREATE TABLE t (x INT);\n\\! touch /tmp/x\n", "statement 2 is no SQL: \\! touch"),
        (MINE, "CREATE TABLE t (x INT);\nsource /etc/passwd\n;", "statement 2 is no SQL: source"),
        (MINE, "CREATE TABLE t (x TEXT);\nLOAD DATA INFILE '/etc/passwd' INTO TABLE t;", "statement 2 is about files"),
        (MINE, "CREATE TABLE t (x TEXT);\nSELECT 'a' INTO OUTFILE '/tmp/x';", "statement 2 is about files"),
        (MINE, "USE `a`;\nCREATE TABLE t (x INT);\nUSE b;", "several databases (a, b)"),
        (THEIRS, "-- nothing but a comment\n", "it makes no table and nothing else"),
        (THEIRS, "CREATE TABLE t (x int);\n\\! touch /tmp/x\n", "a command of the client program psql"),
        (THEIRS, "\\connect other\nCREATE TABLE t (x int);\n", "several databases"),
    ],
)
def test_a_text_that_cannot_take_its_place_is_refused_before_anything_is_dropped(
    hand: Ground, home: Path, mariadb: MariaDB, postgresql: PostgreSQL, database: str, text: str, why: str
) -> None:
    write(home / "a.sql", text)
    answer = hand("databases", "import", "site1", database, "/home/admin/a.sql", "--yes")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"/home/admin/a.sql is not loaded, and {database} is as it was: " in answer.err and why in answer.err
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]
    assert postgresql.rows("SELECT x FROM t", database="hand_shop") == [(1,)]
    assert not (home / "mysql_backups").exists() and not (home / "pgsql_backups").exists()


@pytest.mark.parametrize("database", [MINE, THEIRS])
def test_the_dump_of_an_empty_database_empties_one(
    hand: Ground, home: Path, mariadb: MariaDB, postgresql: PostgreSQL, database: str
) -> None:
    mariadb.run("DROP TABLE hand_shop.t")
    postgresql.run("DROP TABLE t", database="hand_shop")
    assert hand("databases", "export", "site1", database, "/home/admin/none.sql").status == 0
    mariadb.run("CREATE TABLE hand_shop.later (x INT)")
    postgresql.run("CREATE TABLE later (x INT)", database="hand_shop")
    assert hand("databases", "import", "site1", database, "/home/admin/none.sql", "--yes").status == 0
    left = mariadb.rows("SHOW TABLES FROM hand_shop")
    left += postgresql.rows("SELECT relname FROM pg_class WHERE relname = 'later'", database="hand_shop")
    assert left == [("later",)]


def test_a_bomb_is_refused(hand: Ground, home: Path, mariadb: MariaDB) -> None:
    block = bz2.compress(bytes(45 << 20))
    write(home / "a.bz2", block * 24)
    answer = hand("databases", "import", "site1", MINE, "/home/admin/a.bz2", "--yes")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "100 times" in answer.err
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]


def test_what_is_somebody_elses_or_no_file_is_not_read(hand: Ground, home: Path) -> None:
    secret = write(hand.folder / "secret", b"a secret of root's\n")
    os.link(secret, home / "hard.sql")
    (home / "soft.sql").symlink_to(secret)
    os.mkfifo(home / "pipe.sql")
    (home / "folder.sql").mkdir()
    for name, why in (
        ("hard", "hard link"),
        ("soft", "not followed"),
        ("pipe", "no regular file"),
        ("folder", "/home/admin/folder.sql is no regular file"),
        ("gone", "No such"),
    ):
        answer = hand("databases", "import", "site1", MINE, f"/home/admin/{name}.sql", "--yes")
        assert (answer.status, answer.err.count("\n")) == (2, 1), answer
        assert why in answer.err and "secret of" not in answer.err
    answer = hand("databases", "import", "site1", "mysql:other_shop", "/home/admin/gone.sql", "--yes")
    assert answer.status == 2 and "no database of site1" in answer.err


def test_a_text_that_fails_says_where_the_old_content_is(hand: Ground, home: Path, mariadb: MariaDB) -> None:
    write(home / "a.sql", b"CREATE TABLE t (x INT);\nSELECT * FROM nothing;\n")
    answer = hand("databases", "import", "site1", MINE, "/home/admin/a.sql", "--yes")
    (kept,) = (home / "mysql_backups").iterdir()
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"was put back; what it held before is in /home/admin/mysql_backups/{kept.name}" in answer.err
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]
    mariadb.run("DELETE FROM hand_shop.t")
    assert hand("databases", "import", "site1", MINE, f"/home/admin/mysql_backups/{kept.name}", "--yes").status == 0
    assert mariadb.rows("SELECT x FROM hand_shop.t") == [(1,)]


def test_what_is_left_out_is_told(hand: Ground, home: Path) -> None:
    text = b"CREATE TABLE t (x INT);\nCREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();\n"
    write(home / "a.sql", text)
    document = hand.json("databases", "import", "site1", THEIRS, "/home/admin/a.sql", "--yes", status=1)
    assert len(document["warnings"]) == 1 and "EVENT TRIGGER" in document["warnings"][0]


def test_it_waits_for_no_run_of_dumps(hand: Ground, home: Path) -> None:
    with durable.alone(os.fsencode(hand.folder / "state"), b"dumps"):
        answer = hand("databases", "export", "site1", MINE)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "another run" in answer.err and not list(home.iterdir())
