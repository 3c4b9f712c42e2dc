"""A snapshot holds files, attributes and database of one moment, and a rollback puts all of it back exactly."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
from functools import partial
from pathlib import Path

import pytest

from strongroom.errors import BusyError, SnapshotError, UnknownError
from strongroom.model import Status
from strongroom.runs.locks import Locks
from strongroom.webapps.snapshots import git as processes
from strongroom.webapps.snapshots.picture import LARGEST
from tests.panel.servers import write
from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.webapps.ground import (
    APACHE,
    DATABASE,
    PRESS,
    SMALL,
    SMALL_DATABASE,
    SMALL_UID,
    WIKI,
    Apps,
    Press,
    folder_of_apps,
    own,
    small_site,
)
from tests.webapps.keeping import Keeping, content


def git(folder: Path, *arguments: str, uid: int) -> str:
    """git as the owner runs it in the app's folder."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, user=uid, group=uid, extra_groups=[], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def elsewhere() -> object:
    with server_folder() as folder:
        yield folder


def test_wordpress_is_put_back_exactly(shop: Apps, press: Press, elsewhere: Path) -> None:
    keeping = Keeping(shop, PRESS)
    folder = keeping.folder
    os.chmod(folder / "wp-content/themes", 0o2775)
    (folder / "wp-content/empty").mkdir(mode=0o711)
    subprocess.run(["setfacl", "-m", f"u:{APACHE}:rwX,d:u:{APACHE}:rwX", folder / "wp-content/empty"], check=True)
    os.setxattr(folder / "index.php", "user.note", b"kept")
    os.link(folder / "index.php", folder / "index2.php")
    mtime = folder.stat().st_mtime_ns
    first = keeping.snapshots.enable(keeping.app)
    assert folder.stat().st_mtime_ns == mtime
    assert (first.label, first.databases, first.warnings, first.sealed) == (
        "Initial install",
        (f"mysql:{DATABASE}",),
        (),
        True,
    )
    assert first.gap_seconds >= 0 and first.files > 2000
    before, rows = keeping.copy(elsewhere / "before"), content(press.mariadb)

    (folder / "wp-login.php").write_text("<?php // hacked")
    (folder / "wp-content/new-plugin").mkdir()
    (folder / "wp-content/new-plugin/a.php").write_text("<?php")
    shutil.rmtree(folder / "wp-admin")
    (folder / "wp-content/empty").rmdir()
    os.chmod(folder / "wp-config.php", 0o666)
    os.chown(folder / "index.php", APACHE, APACHE)
    subprocess.run(["setfacl", "-b", folder / "wp-content/uploads"], check=True)
    upload = next((folder / "wp-content/uploads").rglob("*.jpg"))
    os.chmod(upload, 0o600)
    shutil.rmtree(folder / "wp-includes")
    (folder / "wp-includes").symlink_to("/etc")
    press.mariadb.run("DROP TABLE wp_posts", "UPDATE wp_options SET option_value = 'x'", database=DATABASE)

    (folder / "wp-content/uploads/later.jpg").write_bytes(b"later")
    (folder / "wp-content/cache/later.html").write_bytes(b"later")
    back = keeping.snapshots.rollback(keeping.app)
    assert (back.status, back.snapshot, back.databases) == (Status.COMPLETE, first.id, (f"mysql:{DATABASE}",))
    for name in ("wp-content/uploads/later.jpg", "wp-content/cache/later.html"):
        assert (folder / name).read_bytes() == b"later"
        (folder / name).unlink()
    touched = ("wp-content/uploads", "wp-content/cache")
    for name in touched:
        os.utime(folder / name, ns=((before / name).stat().st_atime_ns, (before / name).stat().st_mtime_ns))
    assert keeping.differs(before) == []
    assert content(press.mariadb) == rows

    # The rollback can be taken back: what it replaced is a snapshot of its own.
    assert [each.id for each in keeping.snapshots.list(keeping.app)] == [back.before, first.id]
    assert back.before is not None
    again = keeping.snapshots.rollback(keeping.app, back.before)
    assert again.status is Status.COMPLETE
    assert (folder / "wp-login.php").read_text() == "<?php // hacked"
    assert not (folder / "wp-admin").exists()
    assert "wp_posts" not in content(press.mariadb)


@pytest.fixture
def keeping(small: Apps) -> Keeping:
    return Keeping(small, SMALL)


@pytest.fixture
def shopping(small_shop: Apps) -> Keeping:
    return Keeping(small_shop, SMALL)


def test_the_owner_reads_the_repository_with_git(shopping: Keeping) -> None:
    shopping.snapshots.enable(shopping.app)
    shopping.snapshots.take(shopping.app, "Before the sale")
    folder = shopping.folder
    assert git(folder, "log", "--format=%s", uid=SMALL_UID).splitlines() == ["Before the sale", "Initial install"]
    assert git(folder, "status", "--porcelain", uid=SMALL_UID) == ""
    assert git(folder, "fsck", "--strict", uid=SMALL_UID) == ""
    table = git(folder, "show", "HEAD:.strongroom/databases/mysql/small_shop/tables/posts.sql/000000", uid=SMALL_UID)
    assert "(1,'one')" in table.replace(", ", ",")
    (folder / "index.php").write_text("<?php // mine")
    (folder / "cache/other").write_text("x")
    (folder / "uploads/other").write_text("x")
    assert git(folder, "status", "--porcelain", uid=SMALL_UID) == " M index.php\n"
    git(folder, "-c", "user.name=me", "-c", "user.email=me@x", "commit", "-qam", "my own", uid=SMALL_UID)
    git(folder, "gc", "-q", uid=SMALL_UID)
    assert len(shopping.snapshots.list(shopping.app)) == 2
    shopping.snapshots.take(shopping.app, "After it")
    assert git(folder, "log", "--format=%s", uid=SMALL_UID).splitlines() == [
        "After it", "my own", "Before the sale", "Initial install",
    ]  # fmt: skip


def test_the_repository_is_its_owners_alone_and_served_to_nobody(keeping: Keeping) -> None:
    subprocess.run(["setfacl", "-m", f"d:u:{APACHE}:rwX", keeping.folder], check=True)
    keeping.snapshots.enable(keeping.app)
    git_folder = keeping.folder / ".git"
    for each in (git_folder, *git_folder.rglob("*")):
        status = each.lstat()
        assert (status.st_uid, status.st_gid) == (SMALL_UID, SMALL_UID), each
        assert status.st_mode & 0o077 == 0, each
        assert "system.posix_acl_access" not in os.listxattr(each), each
    assert (git_folder / ".htaccess").read_text() == "Require all denied\n"


def test_git_works_where_nobody_may_pass_through_the_folders_above(keeping: Keeping) -> None:
    above = keeping.server.root / "home/virtual/site3"
    above.chmod(0o700)
    keeping.snapshots.enable(keeping.app)
    (keeping.folder / "index.php").write_text("changed")
    keeping.snapshots.rollback(keeping.app)
    assert (keeping.folder / "index.php").read_text() == "<?php echo 'one';"


def test_only_files_or_only_the_database(shopping: Keeping, mariadb: MariaDB) -> None:
    shopping.snapshots.enable(shopping.app)
    rows = content(mariadb, SMALL_DATABASE)

    def spoil() -> None:
        (shopping.folder / "index.php").write_text("changed")
        mariadb.run("UPDATE posts SET title = 'x'", database=SMALL_DATABASE)

    spoil()
    first = shopping.snapshots.list(shopping.app)[-1].id
    back = shopping.snapshots.rollback(shopping.app, first, only="files")
    assert (back.databases, back.files.written) == ((), 1)
    assert (shopping.folder / "index.php").read_text() == "<?php echo 'one';"
    assert content(mariadb, SMALL_DATABASE)["posts"] != rows["posts"]
    spoil()
    back = shopping.snapshots.rollback(shopping.app, first[:7], only="databases")
    assert (back.databases, back.files.written) == (("mysql:small_shop",), 0)
    assert (shopping.folder / "index.php").read_text() == "changed"
    assert content(mariadb, SMALL_DATABASE) == rows


def test_a_database_that_is_gone_comes_back(shopping: Keeping, mariadb: MariaDB) -> None:
    first = shopping.snapshots.enable(shopping.app)
    rows = content(mariadb, SMALL_DATABASE)
    mariadb.run(f"DROP DATABASE {SMALL_DATABASE}")
    back = shopping.snapshots.rollback(shopping.app, first.id)
    assert back.databases == ("mysql:small_shop",)
    assert content(mariadb, SMALL_DATABASE) == rows
    assert shopping.snapshots.list(shopping.app)[0].status is Status.INCOMPLETE


def test_a_snapshot_of_what_did_not_change_adds_almost_nothing(shopping: Keeping, mariadb: MariaDB) -> None:
    mariadb.run("CREATE TABLE many (id INT PRIMARY KEY, text TEXT)", database=SMALL_DATABASE)
    values = ",".join(f"({number},'{os.urandom(300).hex()}')" for number in range(6000))
    mariadb.run(f"INSERT INTO many VALUES {values}", database=SMALL_DATABASE)
    shopping.snapshots.enable(shopping.app)

    def stored() -> int:
        return sum(each.stat().st_size for each in (shopping.folder / ".git/objects").rglob("*") if each.is_file())

    first = stored()
    shopping.snapshots.take(shopping.app, "the same")
    second = stored()
    assert second - first < 10_000
    mariadb.run("UPDATE many SET text = 'short' WHERE id = 3000", database=SMALL_DATABASE)
    shopping.snapshots.take(shopping.app, "one row")
    assert stored() - second < first / 4


def test_what_changed_is_told(shopping: Keeping, mariadb: MariaDB) -> None:
    first = shopping.snapshots.enable(shopping.app)
    assert shopping.snapshots.diff(shopping.app, "latest") == []
    folder = shopping.folder
    (folder / "index.php").write_text("changed, and longer")
    (folder / "lib/new.php").write_text("new")
    (folder / "lib/b.php").unlink()
    os.chmod(folder / "lib/a.php", 0o600)
    (folder / "cache/x").write_text("x")
    mariadb.run("UPDATE posts SET title = 'x' WHERE id = 1", "CREATE TABLE more (id INT)", database=SMALL_DATABASE)
    told = {change.path: (change.change, change.what) for change in shopping.snapshots.diff(shopping.app, "latest")}
    assert told.pop(b"lib") == told.pop(b"cache") == ("changed", ("mtime",))
    assert told == {
        b"index.php": ("changed", ("content", "mtime")),
        b"lib/new.php": ("added", ()),
        b"lib/b.php": ("removed", ()),
        b"lib/a.php": ("changed", ("mode",)),
        b"databases:/mysql/small_shop/posts": ("changed", ("content",)),
        b"databases:/mysql/small_shop/more": ("added", ()),
        b"databases:/mysql/small_shop/before": ("changed", ("content",)),
    }
    second = shopping.snapshots.take(shopping.app, "second")
    between = {change.path for change in shopping.snapshots.diff(shopping.app, first.id, second.id)}
    assert between == told.keys() | {b"lib", b"cache"}


def test_a_database_of_somebody_else_is_neither_read_nor_written(small_shop: Apps, mariadb: MariaDB) -> None:
    keeping = Keeping(small_shop, SMALL)
    mariadb.run("CREATE DATABASE other_shop", "CREATE TABLE other_shop.t (secret TEXT)")
    try:
        manifest = keeping.folder / ".webapp.yml"
        manifest.write_text(manifest.read_text().replace(SMALL_DATABASE, "other_shop"))
        taken = keeping.snapshots.enable(keeping.app)
        assert (taken.databases, taken.status) == ((), Status.INCOMPLETE)
        assert "it is no database of site3" in taken.warnings[0].message
        with pytest.raises(SnapshotError, match="holds no database"):
            keeping.snapshots.rollback(keeping.app, only="databases")
        manifest.write_text(manifest.read_text().replace("localhost", "db.example.net"))
        assert "on another server" in keeping.snapshots.take(keeping.app, "x").warnings[0].message
    finally:
        mariadb.run("DROP DATABASE other_shop")


def test_a_rollback_that_fails_leaves_all_as_it_was(shopping: Keeping, mariadb: MariaDB) -> None:
    first = shopping.snapshots.enable(shopping.app)
    (shopping.folder / "index.php").write_text("changed")
    mariadb.run("UPDATE posts SET title = 'later'", database=SMALL_DATABASE)
    later = content(mariadb, SMALL_DATABASE)
    copy = shopping.copy(shopping.server.folder / "copy")
    # Another restore of the account is at work: the files cannot be written, after the database was.
    staging = shopping.server.root / "home/virtual/site3/.strongroom-restore-site3-abc"
    staging.mkdir(mode=0o700)
    held = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SnapshotError, match="all is as it was|could not be put back"):
            shopping.snapshots.rollback(shopping.app, first.id)
    finally:
        os.close(held)
        staging.rmdir()
    shopping.snapshots.list(shopping.app)
    assert shopping.differs(copy) == []
    assert content(mariadb, SMALL_DATABASE) == later


def test_dokuwiki_without_a_database(wiki: Apps, elsewhere: Path) -> None:
    keeping = Keeping(wiki, WIKI)
    first = keeping.snapshots.enable(keeping.app)
    assert (first.databases, first.warnings, first.version) == ((), (), "2022-07-31b")
    before = keeping.copy(elsewhere / "before")
    (keeping.folder / "data/pages/start.txt").write_text("vandals")
    shutil.rmtree(keeping.folder / "inc")
    (keeping.folder / "VERSION").unlink()
    back = keeping.snapshots.rollback(keeping.app)
    assert back.status is Status.COMPLETE
    assert keeping.differs(before) == []


def test_a_large_file_is_named_and_left_alone(keeping: Keeping) -> None:
    large, gone = keeping.folder / "backup.zip", keeping.folder / "gone.zip"
    for each in (large, gone):
        with each.open("wb") as file:
            file.truncate(LARGEST + 1)
        os.chown(each, SMALL_UID, SMALL_UID)
    first = keeping.snapshots.enable(keeping.app)
    assert sorted(remark.path for remark in first.warnings) == [
        b"data/var/www/html/backup.zip", b"data/var/www/html/gone.zip",
    ]  # fmt: skip
    assert first.status is Status.COMPLETE
    os.chmod(large, 0o600)
    mtime = large.stat().st_mtime_ns
    gone.unlink()
    later = keeping.folder / "later.zip"
    with later.open("wb") as file:
        file.truncate(LARGEST + 1)
    back = keeping.snapshots.rollback(keeping.app)
    assert later.exists()
    assert [remark.path for remark in back.warnings if "came since" in remark.message] == [
        b"data/var/www/html/later.zip"
    ]
    assert (large.stat().st_mode & 0o777, large.stat().st_mtime_ns, large.stat().st_size) == (0o644, mtime, LARGEST + 1)
    assert [remark.path for remark in back.warnings if "not there any more" in remark.message] == [
        b"data/var/www/html/gone.zip"
    ]


def test_a_rollback_done_twice_is_the_same_as_once(keeping: Keeping) -> None:
    first = keeping.snapshots.enable(keeping.app)
    for text in ("changed", "changed again"):
        (keeping.folder / "index.php").write_text(text)
        assert keeping.snapshots.rollback(keeping.app).snapshot == first.id
        assert (keeping.folder / "index.php").read_text() == "<?php echo 'one';"


def test_words_for_a_snapshot(keeping: Keeping) -> None:
    with pytest.raises(SnapshotError, match="has no snapshots; begin with"):
        keeping.snapshots.list(keeping.app)
    first = keeping.snapshots.enable(keeping.app)
    with pytest.raises(SnapshotError, match="has snapshots already"):
        keeping.snapshots.enable(keeping.app)
    assert keeping.snapshots.find(keeping.app, first.id[:6]).id == first.id
    for wrong in ("abc", "f" * 40, "", "--all", "HEAD~1"):
        with pytest.raises(UnknownError):
            keeping.snapshots.find(keeping.app, wrong)
    keeping.snapshots.disable(keeping.app)
    assert not (keeping.folder / ".git").exists()
    assert (keeping.app.snapshots, keeping.app.assurance) == (False, False)


def test_two_at_once_are_refused_and_nothing_is_half_done(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)
    with keeping.snapshots._opened(keeping.app), pytest.raises(BusyError):
        keeping.snapshots.take(keeping.app, "x")
    keeping.snapshots.take(keeping.app, "x")


def test_none_is_changed_while_its_account_is_backed_up(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)
    with Locks(keeping.config.server.state) as backup:
        assert backup.take([keeping.app.account], 0, print, shared=True) == []
        for act in (keeping.snapshots.rollback, keeping.snapshots.disable, partial(keeping.snapshots.take, label="x")):
            with pytest.raises(BusyError, match="site3 is being backed up"):
                act(keeping.app)
        assert len(keeping.snapshots.list(keeping.app)) == 1, "to read them is no change"
    keeping.snapshots.rollback(keeping.app)


def test_a_database_of_postgresql(postgresql: PostgreSQL) -> None:
    with folder_of_apps(more=f'[databases.postgresql]\nhost = "{postgresql.sockets}"\n') as server:
        docroot = small_site(server)
        write(server.data(3).parent / "info/current/pgsql", "[DEFAULT]\nenabled = 1\ndbaseprefix = small_\n")
        with (docroot / ".webapp.yml").open("a") as manifest:
            manifest.write("database: {type: pgsql, db: small_pg}\n")
        postgresql.run("CREATE ROLE small_pg", "CREATE DATABASE small_pg OWNER small_pg")
        try:
            postgresql.run("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", database="small_pg")
            keeping = Keeping(server, SMALL)
            assert keeping.snapshots.enable(keeping.app).databases == ("postgresql:small_pg",)
            postgresql.run("UPDATE t SET a = 2", "CREATE TABLE u (a INT)", database="small_pg")
            (docroot / "index.php").write_text("changed")
            back = keeping.snapshots.rollback(keeping.app)
            assert (back.status, back.databases) == (Status.COMPLETE, ("postgresql:small_pg",))
            tables = postgresql.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database="small_pg")
            assert (tables, postgresql.rows("SELECT a FROM t", database="small_pg")) == ([("t",)], [(1,)])
        finally:
            postgresql.run("DROP DATABASE IF EXISTS small_pg", "DROP ROLE IF EXISTS small_pg")


def test_a_database_of_sqlite_is_of_one_moment_wherever_in_the_app_it_is(keeping: Keeping) -> None:
    path = keeping.folder / "uploads/app.db"
    with (keeping.folder / ".webapp.yml").open("a") as manifest:
        manifest.write("database: {type: sqlite, db: /var/www/html/uploads/app.db}\n")
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t (a INT)")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.commit()
    own(keeping.folder / "uploads")
    first = keeping.snapshots.enable(keeping.app)
    assert first.warnings == ()
    writer.execute("UPDATE t SET a = 2")
    writer.commit()
    assert (keeping.folder / "uploads/app.db-wal").stat().st_size
    back = keeping.snapshots.rollback(keeping.app)
    assert back.status is Status.COMPLETE
    writer.close()
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_an_app_that_filled_its_disk_is_rolled_back(small: Apps) -> None:
    site = small.root / "home/virtual/site3"
    moved = small.folder / "moved"
    site.rename(moved)
    site.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", site]).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        subprocess.run(["cp", "-a", f"{moved}/.", site], check=True)
        keeping = Keeping(small, SMALL)
        (keeping.folder / "core.php").write_bytes(os.urandom(400_000))
        first = keeping.snapshots.enable(keeping.app)
        before = keeping.copy(small.folder / "before")
        # Half of the new core was copied, and then there was no room.
        (keeping.folder / "core.php").write_bytes(os.urandom(300_000))
        (keeping.folder / "index.php").write_bytes(b"")
        with contextlib.suppress(OSError), (keeping.folder / "lib/new.php").open("wb", buffering=0) as file:
            while True:
                file.write(os.urandom(4096))
        assert os.statvfs(site).f_bavail == 0
        back = keeping.snapshots.rollback(keeping.app)
        assert (back.snapshot, back.before, back.status) == (first.id, None, Status.COMPLETE)
        assert keeping.differs(before) == []
        assert keeping.snapshots.diff(keeping.app, "latest") == []
        assert "no room" in keeping.notes.notes[0]
    finally:
        subprocess.run(["umount", "-l", site], check=True)


def test_git_that_stalls_is_given_up(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = keeping.server.folder / "programs"
    programs.mkdir()
    (programs / "git").write_text("#!/bin/sh\nkill -STOP $$\n")
    (programs / "git").chmod(0o755)
    keeping.snapshots.enable(keeping.app)
    monkeypatch.setitem(processes._ENVIRONMENT, "PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    with pytest.raises(SnapshotError, match="it does not go on"):
        keeping.snapshots.list(keeping.app)


def test_a_database_that_cannot_be_exported_any_more_is_rolled_back(shopping: Keeping, mariadb: MariaDB) -> None:
    first = shopping.snapshots.enable(shopping.app)
    rows = content(mariadb, SMALL_DATABASE)
    mariadb.run("CREATE VIEW broken AS SELECT * FROM empty", "DROP TABLE empty", database=SMALL_DATABASE)
    with pytest.raises(SnapshotError, match="broken"):
        shopping.snapshots.take(shopping.app, "x")
    back = shopping.snapshots.rollback(shopping.app)
    assert (back.snapshot, back.databases) == (first.id, ("mysql:small_shop",))
    assert content(mariadb, SMALL_DATABASE) == rows
    assert shopping.snapshots.list(shopping.app)[0].status is Status.INCOMPLETE


def test_where_there_can_be_no_first_snapshot_there_is_no_repository(shopping: Keeping, mariadb: MariaDB) -> None:
    mariadb.run("CREATE VIEW broken AS SELECT * FROM empty", "DROP TABLE empty", database=SMALL_DATABASE)
    with pytest.raises(SnapshotError, match="broken"):
        shopping.snapshots.enable(shopping.app)
    assert not (shopping.folder / ".git").exists()


@pytest.mark.parametrize("below", ["", "/public_html"])
def test_an_account_that_is_just_a_folder(small: Apps, below: str) -> None:
    account = small.folder / "srv/anna"
    (account / "public_html").mkdir(parents=True)
    shutil.copytree(small.docroot(3), f"{account}{below}", symlinks=True, dirs_exist_ok=True)
    own(account)
    small.config.write_text(
        small.config.read_text()
        .replace("[server]", '[server]\nlayout = "plain"\naccounts = ["/srv/*"]')
        .replace("/root", "")
    )
    keeping = Keeping(small, f"anna:{below or '/'}")
    keeping.snapshots.enable(keeping.app)
    before = keeping.copy(small.folder / "before")
    (keeping.folder / "index.php").write_text("changed")
    (keeping.folder / "lib/new.php").write_text("new")
    write(account / "webapp_reports/of-an-update.html", "what was seen")
    back = keeping.snapshots.rollback(keeping.app)
    assert (back.status, back.files.deleted) == (Status.COMPLETE, 1)
    assert keeping.differs(before, b"cache", b"webapp_reports") == []
    assert (account / "webapp_reports/of-an-update.html").exists(), "it tells of what is no more, and stays"
