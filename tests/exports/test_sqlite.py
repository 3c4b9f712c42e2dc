"""SQLite files: one moment of them, checked, and nothing of anybody else's, whatever stands beside them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from strongroom.exports import sqlite, sqlite_child
from tests.servers.folder import server_folder

OWNER = 10077


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of an account's owner."""
    with server_folder() as folder:
        home = folder / "home"
        home.mkdir()
        os.chown(home, OWNER, OWNER)
        yield home


def as_owner(home: Path, program: str) -> subprocess.Popen[bytes]:
    """A program of the owner's in his home, as far as its first line."""
    text = f"import sqlite3, os, time, sys\n{program}"
    command = [sys.executable, "-c", _BECOME + text]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    return process


_BECOME = (
    f"import sqlite3, os\nos.setgroups([]); os.setresgid({OWNER}, {OWNER}, {OWNER}); os.setresuid(*[{OWNER}] * 3)\n"
)


def made(home: Path, name: str = "app.db", *, rows: int = 100) -> Path:
    path = home / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, pad TEXT)")
        connection.executemany("INSERT INTO t (pad) VALUES (?)", [("y" * 500,)] * rows)
        connection.commit()
    os.chown(path, OWNER, OWNER)
    return path


def copied(path: Path, status: os.stat_result | None = None) -> tuple[str, bytes]:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        copy = sqlite.SqliteFiles().copy(folder, os.fsencode(path.name), status or path.stat())
        pieces = list(copy.pieces)
    finally:
        os.close(folder)
    return copy.failure, b"".join(pieces)


def rows(content: bytes, query: str = "SELECT COUNT(*), COUNT(DISTINCT x) FROM t") -> list[tuple[int, ...]]:
    with server_folder() as folder:
        (folder / "copy").write_bytes(content)
        with closing(sqlite3.connect(folder / "copy")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return connection.execute(query).fetchall()


def test_a_file_is_known_by_its_header(home: Path) -> None:
    assert sqlite.SqliteFiles().wants(made(home).read_bytes()[:100])
    assert not sqlite.SqliteFiles().wants(b"SQLite format 2\0")


@pytest.mark.parametrize("name", ["app.db", "a b?mode=memory&x=%41#é'\".sqlite"])
def test_a_quiet_file_is_copied_and_left_as_it_was(home: Path, name: str) -> None:
    path = made(home, name)
    before = path.read_bytes(), path.stat()
    reason, content = copied(path)
    assert reason == ""
    assert rows(content) == [(100, 100)]
    assert (path.read_bytes(), path.stat()) == before
    assert os.listdir(home) == [name]


def test_what_is_still_in_the_log_is_in_the_copy(home: Path) -> None:
    """A writer in WAL mode adds rows all through the copy; the file alone has none of them."""
    path = made(home)
    writer = as_owner(
        home,
        "c = sqlite3.connect('app.db'); c.execute('PRAGMA journal_mode = WAL'); c.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "n = 0\nwhile True:\n"
        " c.execute('INSERT INTO t (pad) VALUES (1)'); c.execute('INSERT INTO t (pad) VALUES (2)'); c.commit(); n += 1\n"
        " if n == 50: print(flush=True)\n",
    )
    try:
        reason, content = copied(path)
    finally:
        writer.kill()
        writer.wait()
    assert reason == ""
    ((count, distinct),) = rows(content)
    assert count == distinct >= 200
    assert count % 2 == 0


def test_a_transaction_that_a_crash_left_half_done_is_not_in_the_copy(home: Path) -> None:
    path = made(home, rows=5000)
    writer = as_owner(
        home,
        "c = sqlite3.connect('app.db'); c.execute('PRAGMA cache_size = 5'); c.execute('PRAGMA cache_spill = 5')\n"
        "c.execute('BEGIN IMMEDIATE'); c.execute(\"UPDATE t SET pad = 'torn'\"); print(flush=True); sys.stdin.read()\n",
    )
    writer.kill()
    writer.wait()
    assert b"torn" in path.read_bytes()
    assert (home / "app.db-journal").stat().st_size > 0
    reason, content = copied(path)
    assert reason == ""
    assert rows(content, "SELECT COUNT(*), SUM(pad = 'torn') FROM t") == [(5000, 0)]


def test_a_file_that_stays_locked_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(home)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite_child, "_LOCKED_SECONDS", 0.2)
        monkeypatch.chdir(home)
        inode = path.stat().st_dev, path.stat().st_ino
        with closing(sqlite3.connect(home / "scratch")) as target:
            with pytest.raises((TimeoutError, sqlite3.OperationalError), match="locked"):
                sqlite_child.copy(b"app.db", target, inode, set())


def test_the_way_to_the_folder_need_not_be_open_to_the_owner(home: Path) -> None:
    path = made(home)
    home.parent.chmod(0o700)
    reason, content = copied(path)
    assert reason == ""
    assert rows(content) == [(100, 100)]


def test_another_database_in_its_place_is_not_taken_for_it(home: Path) -> None:
    """A link that is planted once the file was looked at; its target belongs to the same owner, and is still not the file."""
    asked, other = made(home), made(home, "other.db", rows=7)
    status = asked.stat()
    asked.unlink()
    asked.symlink_to("other.db")
    reason, _ = copied(asked, status)
    assert "another file stands in its place" in reason
    assert other.exists()


def test_anothers_log_in_the_place_of_its_own_is_not_played_into_the_copy(home: Path) -> None:
    path, other = made(home), made(home, "other.db")
    writer = as_owner(
        home,
        "import shutil\n"
        "for name in ('app.db', 'other.db'):\n"
        " c = sqlite3.connect(name); c.execute('PRAGMA journal_mode = WAL'); c.close()\n"
        "c = sqlite3.connect('other.db'); c.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "c.execute(\"UPDATE t SET pad = 'secret'\"); c.commit(); print(flush=True); sys.stdin.read()\n",
    )
    try:
        (home / "app.db-wal").symlink_to("other.db-wal")
        reason, content = copied(path)
    finally:
        writer.kill()
        writer.wait()
    assert other.exists()
    assert reason or b"secret" not in content


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_of_a_frozen_folder_what_was_left_half_done_is_recovered_elsewhere(home: Path, journal: str) -> None:
    path = made(home, rows=5000)
    writer = as_owner(
        home,
        f"c = sqlite3.connect('app.db'); c.execute('PRAGMA journal_mode = {journal}'); c.execute('PRAGMA cache_size = 5')\n"
        "c.execute('PRAGMA wal_autocheckpoint = 0'); c.execute('INSERT INTO t (pad) VALUES (1)'); c.commit()\n"
        "c.execute('BEGIN IMMEDIATE'); c.execute(\"UPDATE t SET pad = 'torn'\"); print(flush=True); sys.stdin.read()\n",
    )
    writer.kill()
    writer.wait()
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
        before = {file.name: file.read_bytes() for file in home.iterdir()}
        reason, content = copied(path)
        assert {file.name: file.read_bytes() for file in home.iterdir()} == before
    finally:
        subprocess.run(["umount", home], check=True)
    assert reason == ""
    assert rows(content, "SELECT COUNT(*), SUM(pad = 'torn') FROM t") == [(5001, 0)]


@pytest.mark.parametrize("at", [100, 4096])
def test_a_damaged_file_is_named_and_not_taken_for_whole(home: Path, at: int) -> None:
    path = made(home)
    content = bytearray(path.read_bytes())
    content[at : at + 3000] = b"\xff" * 3000
    path.write_bytes(content)
    reason, _ = copied(path)
    assert reason.startswith("SQLite: ")
    assert "\n" not in reason


def test_a_header_alone_is_no_database(home: Path) -> None:
    path = home / "fake.db"
    path.write_bytes(sqlite.HEADER + b"x" * 5000)
    os.chown(path, OWNER, OWNER)
    assert copied(path)[0] == "SQLite: file is not a database"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_links_that_are_planted_beside_it_harm_nobody_else(home: Path, suffix: str) -> None:
    secret = home.parent / "secret"
    secret.write_bytes(b"of root's alone")
    secret.chmod(0o600)
    path = made(home)
    if suffix != "-journal":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    for beside in home.glob("app.db-*"):
        beside.unlink()
    (home / f"app.db{suffix}").symlink_to(secret)
    before = secret.read_bytes(), secret.stat()
    _, content = copied(path)
    assert (secret.read_bytes(), secret.stat()) == before
    assert b"of root's" not in content
    assert all(found.lstat().st_uid in (0, OWNER) for found in home.iterdir())
    assert not (home.parent / "secret-wal").exists()


def test_a_link_in_its_place_leads_no_further_than_its_owner_could_go(home: Path) -> None:
    hidden = home.parent / "hidden"
    hidden.mkdir(mode=0o700)
    victim = made(hidden)
    os.chown(victim, 0, 0)
    victim.chmod(0o600)
    (home / "app.db").symlink_to(victim)
    reason, content = copied(home / "app.db")
    assert (reason, content) == ("SQLite: unable to open database file", b"")


def test_a_file_of_roots_is_never_opened_with_roots_rights(home: Path) -> None:
    path = made(home)
    os.chown(path, 0, 0)
    path.chmod(0o600)
    for mode in (0o600, 0o644):
        path.chmod(mode)
        reason, content = copied(path)
        assert (reason, rows(content)) == ("", [(100, 100)])


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_what_root_alone_may_read_is_recovered_elsewhere(home: Path, journal: str) -> None:
    path = made(home, rows=5000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO t (pad) VALUES (1)")
        connection.commit()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE t SET pad = 'torn'")
        for file in home.iterdir():
            os.chown(file, 0, 0)
            file.chmod(0o600)
        before = {file.name: file.read_bytes() for file in home.iterdir()}
        reason, content = copied(path)
        assert {file.name: file.read_bytes() for file in home.iterdir()} == before
    assert reason == ""
    assert rows(content, "SELECT COUNT(*), SUM(pad = 'torn') FROM t") == [(5001, 0)]


@pytest.mark.parametrize("planted", ["link", "hard link", "pipe", "of the owner's"])
def test_what_is_planted_beside_a_file_of_roots_is_not_read(home: Path, planted: str) -> None:
    path, log = made(home), home / "app.db-wal"
    os.chown(path, 0, 0)
    path.chmod(0o600)
    secret = home.parent / "secret"
    secret.write_bytes(b"of root's alone")
    secret.chmod(0o600)
    if planted == "link":
        log.symlink_to(secret)
    elif planted == "hard link":
        os.link(secret, log)
    elif planted == "pipe":
        os.mkfifo(log)
    else:
        log.write_bytes(b"x" * 100)
        os.chown(log, OWNER, OWNER)
    reason, content = copied(path)
    assert (reason.startswith("SQLite: "), content) == (True, b"")


def test_a_file_of_roots_that_never_stands_still_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(home)
    os.chown(path, 0, 0)
    gather = sqlite_child._gather

    def disturbed(*arguments: Any) -> None:
        gather(*arguments)
        os.utime(path)

    monkeypatch.setattr(sqlite_child, "_gather", disturbed)
    monkeypatch.setattr(sqlite_child, "_A_LOOK", 0)
    monkeypatch.chdir(home)
    inode = path.stat().st_dev, path.stat().st_ino
    with pytest.raises(TimeoutError, match="written to all the time"):
        sqlite_child.take(b"app.db", str(home / "scratch"), (OWNER, OWNER), inode)


def test_a_file_of_roots_that_others_may_read_is_copied_as_a_stranger(home: Path) -> None:
    path = made(home)
    os.chown(path, 0, 0)
    path.chmod(0o644)
    reason, content = copied(path)
    assert reason == ""
    assert rows(content) == [(100, 100)]


def test_nothing_is_left_in_the_folder_of_temporary_files(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_folder() as scratch:
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        assert copied(made(home))[0] == ""
        assert list(scratch.iterdir()) == []
