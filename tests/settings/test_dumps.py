"""Dumps in the folders of owners, who are strangers; the servers are in memory, folders and files are real."""

from __future__ import annotations

import bz2
import gzip
import os
import signal
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from strongroom.config import Config, Server
from strongroom.errors import SettingError
from strongroom.model import Account, Location, Status
from strongroom.panel.apiscp import Apiscp
from strongroom.settings.databases import Databases
from strongroom.settings.dumps import Dump, Dumper, exit_status, restorable
from strongroom.settings.notices import find_mail
from strongroom.settings.schedules import Schedules, Target
from tests.panel.servers import site
from tests.settings.servers import FakeServer

UID = 10000
TEXT = b"-- a dump\n" + b"INSERT INTO t VALUES (1);\n" * 4000
SHOP = Target(account="site1", engine="mysql", database="shop_wp")


class Post:
    """Mail that goes nowhere."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    def send(self, to: str, subject: str, body: str) -> None:
        self.sent.append((to, subject, body))


class Ground:
    """One account with its databases and schedules, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.shadow = site(self.root, 1, "example.com", uid=UID) / "shadow"
        self.home = self.shadow / "home/admin"
        self.folder = self.home / "mysql_backups"
        self.schedules = Schedules(os.fsencode(folder / "state"))
        self.mysql = FakeServer("mysql", {"site1": {"shop_wp": TEXT, "shop_blog": b"blog"}})
        self.now = datetime(2026, 11, 25, 3, 0, 7)
        self.notes: list[str] = []
        self.post: Post | None = Post()

    @property
    def accounts(self) -> list[Account]:
        config = Config(path=b"/etc/strongroom/config.toml", server=Server(root=os.fsencode(self.root)))
        return Apiscp(config).accounts()

    @property
    def dumper(self) -> Dumper:
        return Dumper(
            Databases(self.accounts, [self.mysql]), self.schedules, self.post, self.notes.append, lambda: self.now
        )

    def schedule(self, **more: object) -> None:
        self.schedules.set(SHOP, self.now.date(), **more)  # type: ignore[arg-type]

    def due(self) -> list[Dump]:
        return list(self.dumper.due())

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def unzipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        (name,) = archive.namelist()
        assert name == "shop_wp-20261125030007.sql"
        return archive.read(name)


@pytest.mark.parametrize(
    ("extension", "ending", "unpack"),
    [
        ("gz", ".sql.gz", lambda path: gzip.decompress(path.read_bytes())),
        ("bz", ".sql.bz2", lambda path: bz2.decompress(path.read_bytes())),
        ("zip", ".sql.zip", unzipped),
        ("none", ".sql", Path.read_bytes),
    ],
)
def test_a_dump_is_the_owners_file_named_and_packed_as_asked(
    ground: Ground, extension: str, ending: str, unpack: object
) -> None:
    ground.schedule(extension=extension)
    (dump,) = ground.due()
    path = ground.folder / f"shop_wp-20261125030007{ending}"
    assert dump == Dump(
        target=SHOP, status=Status.COMPLETE, path=f"/home/admin/mysql_backups/{path.name}", bytes=path.stat().st_size
    )
    assert unpack(path) == TEXT  # type: ignore[operator]
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (UID, UID, 0o600)
    folder = ground.folder.stat()
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (UID, UID, 0o700)
    assert ground.names() == [path.name]


@pytest.mark.parametrize(("extension", "tool"), [("gz", ["gzip", "-t"]), ("bz", ["bzip2", "-t"])])
def test_the_tools_of_the_system_read_it(ground: Ground, extension: str, tool: list[str]) -> None:
    ground.schedule(extension=extension)
    ground.due()
    (name,) = ground.names()
    assert subprocess.run([*tool, ground.folder / name], check=False).returncode == 0


def test_postgresql_has_a_folder_of_its_own(ground: Ground) -> None:
    server = FakeServer("postgresql", {"site1": {"shop_pg": b"select 1;"}})
    target = Target(account="site1", engine="postgresql", database="shop_pg")
    ground.schedules.set(target, ground.now.date(), extension="none")
    dumper = Dumper(Databases(ground.accounts, [ground.mysql, server]), ground.schedules, None, ground.notes.append)
    assert exit_status(list(dumper.due())) == 0
    (path,) = (ground.home / "pgsql_backups").iterdir()
    assert path.read_bytes() == b"select 1;"


def test_an_existing_folder_keeps_its_mode(ground: Ground) -> None:
    ground.folder.mkdir(0o750)
    ground.schedule()
    assert exit_status(ground.due()) == 0
    assert stat.S_IMODE(ground.folder.stat().st_mode) == 0o750


def test_only_what_is_due_is_dumped_and_its_day_moves_on(ground: Ground) -> None:
    ground.schedule(span=2)
    assert len(ground.due()) == 1
    assert ground.due() == []
    ground.now += timedelta(days=1)
    assert ground.due() == []
    ground.now += timedelta(days=1)
    assert len(ground.due()) == 1
    assert ground.mysql.dumped == ["shop_wp", "shop_wp"]


def test_force_dumps_everything_and_moves_only_what_was_due(ground: Ground) -> None:
    ground.schedule(span=3)
    ground.due()
    due = ground.schedules.all()[0].next
    ground.now += timedelta(hours=1)
    dumps = list(ground.dumper.everything())
    assert [(dump.target.database, dump.status) for dump in dumps] == [
        ("shop_blog", Status.COMPLETE),
        ("shop_wp", Status.COMPLETE),
    ]
    assert ground.schedules.all()[0].next == due
    assert ground.names() == [
        "shop_blog-20261125040007.sql.gz",
        "shop_wp-20261125030007.sql.gz",
        "shop_wp-20261125040007.sql.gz",
    ]


def test_two_dumps_in_one_second_have_two_names(ground: Ground) -> None:
    ground.schedule()
    ground.due()
    list(ground.dumper.everything())
    assert [name for name in ground.names() if "wp" in name] == [
        "shop_wp-20261125030007.sql.gz",
        "shop_wp-20261125030008.sql.gz",
    ]


def test_as_many_as_asked_are_kept_and_nothing_else_is_touched(ground: Ground) -> None:
    ground.folder.mkdir()
    others = [
        "shop_wp-20200101.sql.gz",
        "shop_wp-20200101000000.sql.gz",
        "shop_wp-20200101000000-snapshot.sql",
        "shop_wp_old-20200101000000.sql.gz",
        "shop_blog-20200101000000.sql.gz",
        "shop_wp-20200101000000.sql.gz.txt",
        "letter.txt",
    ]
    for name in others:
        (ground.folder / name).write_bytes(b"mine")
    ground.schedule(span=1, preserve=2)
    for _ in range(4):
        assert exit_status(ground.due()) == 0
        ground.now += timedelta(days=1)
    made = [name for name in ground.names() if name not in others]
    assert made == ["shop_wp-20261127030007.sql.gz", "shop_wp-20261128030007.sql.gz"]
    assert set(others) <= set(ground.names())
    assert ground.schedules.made(SHOP) == made


def test_zero_keeps_all(ground: Ground) -> None:
    ground.schedule(span=1, preserve=0)
    for _ in range(4):
        ground.due()
        ground.now += timedelta(days=1)
    assert len(ground.names()) == 4


def test_a_failed_dump_removes_no_older_one_and_stays_due(ground: Ground) -> None:
    ground.schedule(span=1, preserve=1)
    ground.due()
    before = ground.names()
    ground.now += timedelta(days=1)
    ground.mysql.cut = {"shop_wp"}
    (dump,) = ground.due()
    assert (dump.status, dump.message, dump.path) == (Status.FAILED, "shop_wp: the dump was cut", "")
    assert ground.names() == before
    assert ground.mysql.closed == ["shop_wp", "shop_wp"]
    ground.mysql.cut = set()
    assert exit_status(ground.due()) == 0
    assert ground.names() == ["shop_wp-20261126030007.sql.gz"]


def test_one_failure_stops_no_other(ground: Ground) -> None:
    ground.mysql.cut = {"shop_blog"}
    dumps = list(ground.dumper.everything())
    assert [dump.status for dump in dumps] == [Status.FAILED, Status.COMPLETE]
    assert exit_status(dumps) == 1
    ground.mysql.cut = {"shop_blog", "shop_wp"}
    assert exit_status(list(ground.dumper.everything())) == 2


def test_a_server_that_cannot_be_asked_fails_and_takes_no_schedule_away(ground: Ground) -> None:
    ground.schedule()
    ground.mysql.fails = "connection refused"
    (dump,) = ground.due()
    assert dump.message == "connection refused"
    assert len(ground.schedules.all()) == 1
    (dump,) = ground.dumper.everything()
    assert (dump.target.name, dump.message) == ("mysql:*", "connection refused")


def test_one_server_that_is_away_stops_no_other(ground: Ground) -> None:
    ground.mysql.fails = "connection refused"
    other = FakeServer("postgresql", {"site1": {"shop_pg": b"select 1;"}})
    held = Databases(ground.accounts, [ground.mysql, other])
    dumps = list(Dumper(held, ground.schedules, None, ground.notes.append).everything())
    assert [(dump.target.name, dump.status) for dump in dumps] == [
        ("mysql:*", Status.FAILED),
        ("postgresql:shop_pg", Status.COMPLETE),
    ]


def test_a_database_of_two_accounts_is_dumped_for_neither(ground: Ground) -> None:
    ground.schedule()
    ground.mysql.contested = {"shop_wp": "belongs to site1 and site2"}
    (dump,) = ground.due()
    assert (dump.status, dump.message) == (Status.FAILED, "mysql:shop_wp belongs to site1 and site2")
    dumps = {dump.target.database: dump.status for dump in ground.dumper.everything()}
    assert dumps == {"shop_blog": Status.COMPLETE, "shop_wp": Status.FAILED}
    assert len(ground.schedules.all()) == 1


def test_a_dropped_database_takes_its_schedule_with_it(ground: Ground) -> None:
    ground.schedule()
    del ground.mysql.databases["site1"]["shop_wp"]
    assert ground.due() == []
    assert ground.schedules.all() == []
    assert len(ground.notes) == 1 and "mysql:shop_wp" in ground.notes[0]


def test_an_account_that_is_gone_is_told_and_keeps_its_schedule(ground: Ground) -> None:
    ground.schedules.set(Target(account="site9", engine="mysql", database="x"), ground.now.date())
    (dump,) = ground.due()
    assert dump.status is Status.FAILED and "no such account" in dump.message
    assert len(ground.schedules.all()) == 1


def plant(ground: Ground, victim: Path) -> Iterator[str]:
    """What an owner may put where the folder belongs."""
    yield "a link"
    ground.folder.symlink_to(victim)
    yield "a link that leads nowhere"
    ground.folder.unlink()
    ground.folder.symlink_to(victim / "new")
    yield "a file"
    ground.folder.unlink()
    ground.folder.write_bytes(b"")
    yield "a pipe"
    ground.folder.unlink()
    os.mkfifo(ground.folder)


def test_a_planted_link_or_file_is_never_followed(ground: Ground, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    ground.schedule()
    planting = plant(ground, victim)
    next(planting)
    for what in planting:
        (dump,) = ground.due()
        assert dump.status is Status.FAILED and "links are not followed" in dump.message, what
        assert os.listdir(victim) == []
        assert victim.stat().st_uid == 0


@pytest.mark.parametrize("where", ["home", "home/admin"])
def test_a_link_on_the_way_is_never_followed(ground: Ground, tmp_path: Path, where: str) -> None:
    victim = tmp_path / "victim"
    (victim / "admin").mkdir(parents=True)
    (ground.shadow / where).rename(tmp_path / "away")
    (ground.shadow / where).symlink_to(victim)
    ground.schedule()
    (dump,) = ground.due()
    assert dump.status is Status.FAILED and "/home/admin" in dump.message
    assert not list(victim.glob("**/*backups"))


def test_a_link_of_an_owner_above_the_account_is_refused_and_one_of_roots_is_not(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    os.chown(real, UID, UID)
    link = tmp_path / "srv"
    link.symlink_to(real)
    account = Account(name="a", locations=(Location(tree="data", path=os.fsencode(link), why="x"),))
    server = FakeServer("mysql", {"a": {"shop": b"x"}})
    schedules = Schedules(os.fsencode(tmp_path / "state"))
    (dump,) = Dumper(Databases([account], [server]), schedules, None, print).everything()
    assert (dump.status, Path(dump.path).parent) == (Status.COMPLETE, Path("/mysql_backups"))
    assert (real / "mysql_backups").stat().st_uid == UID
    os.chown(link, UID, UID, follow_symlinks=False)
    (dump,) = Dumper(Databases([account], [server]), schedules, None, print).everything()
    assert dump.status is Status.FAILED and "others than root" in dump.message


def test_a_folder_swapped_while_it_is_written_gets_nothing(ground: Ground, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()

    def swap(database: str) -> None:
        ground.folder.rename(ground.home / "away")
        ground.folder.symlink_to(victim)

    ground.schedule()
    ground.mysql.hook = swap
    ground.due()
    assert os.listdir(victim) == []
    assert os.listdir(ground.home / "away") == ["shop_wp-20261125030007.sql.gz"]


def test_a_draft_that_is_exchanged_is_noticed(ground: Ground) -> None:
    secret = ground.home / "bait"
    secret.write_bytes(b"bait")

    def swap(database: str) -> None:
        (draft,) = ground.folder.iterdir()
        draft.unlink()
        draft.symlink_to(secret)

    ground.schedule()
    ground.mysql.hook = swap
    (dump,) = ground.due()
    assert dump.status is Status.FAILED and "exchanged" in dump.message
    assert secret.stat().st_uid == 0 and secret.read_bytes() == b"bait"


def test_a_name_that_is_taken_by_a_link_is_not_written_through(ground: Ground, tmp_path: Path) -> None:
    ground.folder.mkdir()
    (ground.folder / "shop_wp-20261125030007.sql.gz").symlink_to(tmp_path / "victim")
    ground.schedule()
    assert exit_status(ground.due()) == 0
    assert not (tmp_path / "victim").exists()
    assert ground.names() == ["shop_wp-20261125030007.sql.gz", "shop_wp-20261125030008.sql.gz"]


def test_a_run_that_is_killed_leaves_nothing_that_looks_whole_and_the_next_clears_up(ground: Ground) -> None:
    ground.schedule()
    child = os.fork()
    if child == 0:
        ground.mysql.hook = lambda database: os.kill(os.getpid(), signal.SIGKILL)
        ground.due()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    (left,) = ground.names()
    assert left.startswith(".strongroom-")
    assert restorable(ground.accounts[0], "mysql", "shop_wp") == []
    assert exit_status(ground.due()) == 0
    assert ground.names() == ["shop_wp-20261125030007.sql.gz"]


@pytest.mark.parametrize(
    ("passwd", "problem"),
    [
        ("", "no user 'admin'"),
        ("admin:x:0:0::/home/admin:/bin/sh\n", "no user 'admin'"),
        ("admin:x:ten:10::/home/admin:/bin/sh\n", "no user 'admin'"),
        ("admin:x:99999999999:10::/home/admin:/bin/sh\n", "no user 'admin'"),
        ("admin:x:10000:10000::/home/../../..:/bin/sh\n", "cannot be a home"),
        ("admin:x:10000:10000::/:/bin/sh\n", "cannot be a home"),
        ("admin:x:10000:10000::/home/none:/bin/sh\n", "No such file"),
    ],
)
def test_an_owner_without_a_home_to_trust_fails_alone(ground: Ground, passwd: str, problem: str) -> None:
    (ground.shadow / "etc/passwd").write_text(passwd)
    ground.schedule()
    (dump,) = ground.due()
    assert dump.status is Status.FAILED and problem in dump.message


def test_a_list_of_users_that_is_not_roots_is_not_believed(ground: Ground) -> None:
    os.chown(ground.shadow / "etc/passwd", UID, UID)
    ground.schedule()
    (dump,) = ground.due()
    assert "not root's" in dump.message


@pytest.mark.parametrize("database", ["a/b", "x" * 250])
def test_a_database_that_no_file_can_be_called_after_fails_alone(ground: Ground, database: str) -> None:
    ground.mysql.databases["site1"][database] = b"x"
    dumps = {dump.target.database: dump for dump in ground.dumper.everything()}
    assert "no file can be called" in dumps[database].message
    assert dumps["shop_wp"].status is Status.COMPLETE


def test_what_owners_uploaded_by_the_rule_can_be_restored_too(ground: Ground) -> None:
    ground.folder.mkdir()
    good = [
        "shop_wp-20261001.sql",
        "shop_wp-20261002.tar.gz",
        "shop_wp-20261003120000.zip",
        "shop_wp-20261004120000-snapshot.sql",
        "shop_wp-20261005.gz",
        "shop_wp-20261006.sql.bz2",
    ]
    bad = [
        "shop_wp-2026100.sql",
        "shop_wp-19991001.sql",
        "shop_wp-20261001.txt",
        "shop_wp-20261001",
        "shop_wp2-20261001.sql",
        "shop_wp-20261001-final.sql",
        "shop_wp-20261001.sql.part",
        ".shop_wp-20261001.sql",
    ]
    for name in good + bad:
        (ground.folder / name).write_bytes(b"12345")
    (ground.folder / "shop_wp-20261010.sql").symlink_to("letter")
    (ground.folder / "shop_wp-20261011.sql").mkdir()
    found = restorable(ground.accounts[0], "mysql", "shop_wp")
    assert [each.name for each in found] == good[::-1]
    assert found[0].path == "/home/admin/mysql_backups/shop_wp-20261006.sql.bz2"
    assert [each.name for each in found if each.snapshot] == ["shop_wp-20261004120000-snapshot.sql"]
    assert {each.bytes for each in found} == {5}


def test_notices_go_to_who_asked_for_good_and_for_bad(ground: Ground) -> None:
    ground.schedule(span=1, email="me@example.com")
    ground.due()
    ground.now += timedelta(days=1)
    ground.mysql.cut = {"shop_wp"}
    ground.due()
    assert ground.post is not None
    good, bad = ground.post.sent
    assert good[:2] == ("me@example.com", "Backup of shop_wp: done")
    assert "/home/admin/mysql_backups/shop_wp-20261125030007.sql.gz" in good[2]
    assert bad[1] == "Backup of shop_wp: FAILED" and "the dump was cut" in bad[2]


def test_without_sendmail_one_line_says_so(ground: Ground) -> None:
    ground.post = None
    ground.schedule(email="me@example.com")
    ground.schedules.set(
        Target(account="site1", engine="mysql", database="shop_blog"), ground.now.date(), email="me@example.com"
    )
    assert exit_status(ground.due()) == 0
    assert ground.notes == ["notices by mail are not sent: there is no sendmail on this machine"]


def test_mail_goes_through_the_sendmail_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/message\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    mail = find_mail()
    assert mail is not None
    mail.send("me@example.com", "Backup of a\nb: done", "well\n")
    assert (tmp_path / "arguments").read_text() == "-oi me@example.com\n"
    message = (tmp_path / "message").read_text()
    assert "To: me@example.com\n" in message and "Subject: Backup of a?b: done\n" in message
    assert message.endswith("\n\nwell\n")
    program.write_text("#!/bin/sh\necho 'queue is full' >&2\nexit 75\n")
    with pytest.raises(SettingError, match="refused it: queue is full"):
        mail.send("me@example.com", "x", "y")
