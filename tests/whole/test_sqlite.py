"""SQLite databases of an account, backed up while they are written to and brought back, by the real program."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.servers.folder import server_folder
from tests.whole.ground import OWNER, Server, started

# Ten rows in each transaction, on and on; its log is never written back while it lives.
_WRITER = f"""
import os, sqlite3, sys
os.chdir(sys.argv[1])
os.setgroups([]); os.setresgid({OWNER}, {OWNER}, {OWNER}); os.setresuid({OWNER}, {OWNER}, {OWNER})
c = sqlite3.connect('app.db', isolation_level=None)
c.execute('PRAGMA journal_mode = WAL')
c.execute('PRAGMA wal_autocheckpoint = 0')
c.execute('CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, pad BLOB)')
(n,) = c.execute('SELECT COUNT(*) FROM t').fetchone()
told = n + 300
while n < told + 60000:
    c.execute('BEGIN')
    for _ in range(10):
        n += 1
        c.execute('INSERT INTO t VALUES (?, randomblob(300))', (n,))
    c.execute('COMMIT')
    if n == told:
        print(n, flush=True)
sys.stdin.read()
"""


@contextmanager
def writing(home: Path) -> Iterator[int]:
    """While an application of the owner's goes on writing; how many rows are committed for certain. It ends in a crash."""
    command = [sys.executable, "-c", _WRITER, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        try:
            yield int(writer.stdout.readline())
        finally:
            writer.kill()


class Site:
    """An account whose owner has a folder for a database."""

    def __init__(self, folder: Path) -> None:
        self.server: Server = started(folder)
        self.home = self.server.site(1, "example.com") / "var/www/html"
        self.home.mkdir(parents=True, exist_ok=True)
        os.chown(self.home, OWNER, OWNER)
        self.database = self.home / "app.db"

    @contextmanager
    def written(self) -> Iterator[int]:
        """While an application goes on writing, as `writing`."""
        with writing(self.home) as rows:
            yield rows

    def restored(self, point: str) -> Path:
        """The folder as a point has it, brought back beside."""
        target = self.server.folder / "beside" / point
        target.parent.mkdir(exist_ok=True)
        self.server.json("restore", "site1", "/var/www/html", "--point", point, "--to", str(target))
        return target / "data/var/www/html"


def committed(path: Path) -> int:
    """How many rows a database has; whole transactions, from the first on, without a gap."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count, last = connection.execute("SELECT COUNT(*), MAX(x) FROM t").fetchone()
    assert count == last
    assert count % 10 == 0
    return int(count)


def beside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("app.db*"))


@pytest.fixture
def site() -> Iterator[Site]:
    with server_folder() as folder:
        yield Site(folder)


def test_a_database_in_use_comes_back_whole_with_what_was_committed(site: Site) -> None:
    with site.written() as least:
        stat = site.database.stat()
        point = site.server.backup("site1")
        log = (site.home / "app.db-wal").stat()
    assert log.st_size > stat.st_size
    assert point["status"] == "complete"
    said = {warning["path"]: warning["message"] for warning in point["warnings"]}
    assert set(said) == {"/var/www/html/app.db-wal", "/var/www/html/app.db-shm"}
    assert all("is in the copy of app.db" in message for message in said.values())
    there = site.restored(point["id"]) / "app.db"
    assert (there.stat().st_mode, there.stat().st_uid, there.stat().st_mtime_ns) == (
        stat.st_mode, OWNER, stat.st_mtime_ns,
    )  # fmt: skip
    assert beside(there) == ["app.db"]
    assert committed(there) >= least


def test_a_log_that_stands_is_not_played_into_a_database_that_comes_back(site: Site) -> None:
    with site.written():
        first = site.server.backup("site1")
    with site.written():
        pass
    kept = committed(site.restored(first["id"]) / "app.db")
    assert beside(site.database) == ["app.db", "app.db-shm", "app.db-wal"]
    asked = ("restore", "site1", "/var/www/html/app.db", "--point", first["id"])
    would = site.server.json(*asked, "--dry-run")
    assert would["replaces"] == ["/var/www/html/app.db"]
    assert sorted(would["deletes"]) == ["/var/www/html/app.db-shm", "/var/www/html/app.db-wal"]
    done = site.server.json(*asked, "--yes")
    assert (done["status"], done["files"]["written"], done["files"]["deleted"]) == ("complete", 1, 2)
    assert {warning["path"] for warning in done["warnings"]} == set(would["deletes"])
    assert beside(site.database) == ["app.db"]
    assert committed(site.database) == kept


def test_a_log_is_taken_away_though_the_file_beside_it_did_not_change(site: Site) -> None:
    """In WAL mode what was written since the backup stands in the log alone; the database's own stat says nothing."""
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, pad BLOB)")
    os.chown(site.database, OWNER, OWNER)
    point = site.server.backup("site1")
    before = site.database.stat()
    with site.written():
        pass
    assert site.database.stat().st_mtime_ns == before.st_mtime_ns
    done = site.server.json("restore", "site1", "/var/www/html", "--point", point["id"], "--yes")
    assert done["status"] == "complete"
    with closing(sqlite3.connect(site.database)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)


def test_a_stale_log_without_its_database_goes_when_that_comes_back(site: Site) -> None:
    with site.written():
        point = site.server.backup("site1")
    kept = committed(site.restored(point["id"]) / "app.db")
    site.database.unlink()
    assert site.server.json("restore", "site1", "/var/www/html", "--yes")["status"] == "complete"
    assert beside(site.database) == ["app.db"]
    assert committed(site.database) == kept


def test_what_stands_beside_other_files_stays(site: Site) -> None:
    """Names alone say nothing: only beside a database is such a file its log."""
    for name in ("notes", "notes-wal", "notes-journal"):
        (site.home / name).write_bytes(b"n" * 512)
    site.server.backup("site1")
    (site.home / "notes").write_bytes(b"m" * 512)
    (site.home / "notes-shm").write_bytes(b"younger than the point")
    assert site.server.json("restore", "site1", "/var/www/html", "--yes")["status"] == "complete"
    assert sorted(path.name for path in site.home.glob("notes*")) == [
        "notes",
        "notes-journal",
        "notes-shm",
        "notes-wal",
    ]
    assert (site.home / "notes").read_bytes() == b"n" * 512


def test_planted_links_lead_nowhere_and_cost_no_backup(site: Site) -> None:
    secret = site.server.folder / "secret"
    with closing(sqlite3.connect(secret)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'of somebody else' AS x")
    before = secret.read_bytes(), secret.stat().st_mtime_ns
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute("CREATE TABLE t (x)")
    os.chown(site.database, OWNER, OWNER)
    for name in ("app.db-wal", "app.db-journal", "other.db"):
        (site.home / name).symlink_to(secret)
    (site.home / "app.db-shm").mkdir()
    point = site.server.backup("site1")
    home = site.restored(point["id"])
    assert (secret.read_bytes(), secret.stat().st_mtime_ns) == before
    assert all((home / name).is_symlink() for name in ("app.db-wal", "app.db-journal", "other.db"))
    assert (home / "app.db").read_bytes() == site.database.read_bytes()


def test_a_file_that_only_begins_like_a_database_costs_no_backup(site: Site) -> None:
    site.database.write_bytes(b"SQLite format 3\0" + b"x" * 3000)
    os.chown(site.database, OWNER, OWNER)
    point = site.server.backup("site1")
    assert point["status"] == "complete"
    (warning,) = point["warnings"]
    assert warning["path"] == "/var/www/html/app.db"
    assert "file is not a database" in warning["message"]
    assert (site.restored(point["id"]) / "app.db").read_bytes() == site.database.read_bytes()
