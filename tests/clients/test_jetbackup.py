"""JetBackup as a client, against a stand-in of its API: a real one needs a licence."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.clients.jetbackup_api import Api, query
from strongroom.clients.jetbackup_archive import Archive, plain
from strongroom.errors import ClientError
from tests.clients import fake_jetbackup5api as fake
from tests.whole.ground import CONFIGURATION, Done, Server

ONE = {"_id": "0" * 23 + "1", "username": "site1"}
TWO = {"_id": "0" * 23 + "2", "username": "site2"}
JOB = {"_id": "0" * 23 + "a", "name": "nightly", "type": 1, "contains": 511}


class JetBackup:
    """site1 and site2 on a server with a JetBackup that has three backups of them."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "jetbackup5api"
        source = Path(fake.__file__).read_text()
        self.program.write_text(f"#!{sys.executable}\n{source}")
        self.program.chmod(0o755)
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.state = folder / "state.json"
        backups = [
            fake.backup(0, ONE, "2026-11-23T03:00:00+01:00"),
            fake.backup(1, ONE, "2026-11-24T03:00:00+01:00"),
            fake.backup(1, ONE, "2026-11-24T03:00:00+01:00", _id="0" * 21 + "fff", size=234),
            fake.backup(2, TWO, "2026-11-24T03:10:00+01:00", damaged=1),
            fake.backup(3, TWO, "2026-11-22T03:10:00+01:00", deleted=True),
        ]
        self.set(
            accounts=[ONE, TWO],
            jobs=[JOB],
            backups=backups,
            groups=[],
            calls=[],
            script={},
            archive="",
            downloads=str(self.downloads),
        )
        table = f'[clients.jb]\ndriver = "jetbackup"\nprogram = "{self.program}"\ndownloads = "{self.downloads}"\ntimeout = 60\n'
        self.server = Server(folder, CONFIGURATION + table)
        self.server.site(1, "example.com")
        self.server.site(2, "example.org")
        assert self.server.json("init")["created"] is True

    def set(self, **values: Any) -> None:
        now = json.loads(self.state.read_text()) if self.state.exists() else {}
        self.state.write_text(json.dumps(now | values))

    def script(self, **script: Any) -> None:
        self.set(script=script, calls=[])

    def option(self, line: str) -> None:
        text = self.server.config.read_text()
        self.server.config.write_text(text.replace("timeout = 60", line))

    @property
    def calls(self) -> list[list[str]]:
        return list(json.loads(self.state.read_text())["calls"])

    def called(self, function: str) -> list[str]:
        """The data of each call of a function."""
        return [call[call.index("-D") + 1] if "-D" in call else "" for call in self.calls if call[1] == function]

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        return self.server.json(*arguments, status=status)

    def refused(self, *arguments: str | Path) -> str:
        done: Done = self.server("-q", *arguments)
        assert done.status == 2, (done.status, done.out, done.err)
        assert done.err.count("\n") == 1, done.err
        return done.err

    def archive(self, *members: tuple[str, bytes | None], **more: Any) -> None:
        """What a download brings: files (and folders, None) of these names."""
        path = self.program.with_name("archive.tar.gz")
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            for name, content in members:
                _add(tar, name, content)
        self.set(archive=str(path))


def _add(tar: tarfile.TarFile, name: str, content: bytes | None, **more: Any) -> None:
    member = tarfile.TarInfo(name)
    member.uid = member.gid = 10000
    member.mtime = 1700000000
    member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    member.mode = 0o755 if content is None else 0o640
    member.size = len(content or b"")
    for key, value in more.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content or b""))


@pytest.fixture
def jetbackup(tmp_path: Path) -> Iterator[JetBackup]:
    yield JetBackup(tmp_path)


def parent(number: int) -> str:
    return f"{number + 0x200:024x}"


def test_arguments_are_encoded_byte_for_byte() -> None:
    given = {
        "type": 1,
        "find": {"user_name": "a.b-c ü&=%"},
        "items": ["x", True],
        "no": False,
        "none": None,
        "limit": 0,
    }
    assert query(given) == "type=1&find[user_name]=a%2Eb%2Dc%20%C3%BC%26%3D%25&items[0]=x&items[1]=1&limit=0"
    with pytest.raises(ValueError, match="no name"):
        query({"a]b": 1})


def test_its_backups_are_points_that_cover_nothing(jetbackup: JetBackup) -> None:
    points = jetbackup.json("points", "--client", "jb")
    assert [(point["id"], point["account"], point["time"], point["bytes"]) for point in points] == [
        (parent(2), "site2", "2026-11-24T02:10:00.000000Z", 1000),
        (parent(1), "site1", "2026-11-24T02:00:00.000000Z", 1234),
        (parent(0), "site1", "2026-11-23T02:00:00.000000Z", 1000),
    ]
    assert {(point["status"], point["level"], point["client"]) for point in points} == {("incomplete", "full", "jb")}
    shown = jetbackup.json("show", parent(2))
    assert [warning["message"][:40] for warning in shown["warnings"]] == [
        "made by JetBackup and adopted: whether a",
        "it cannot be brought back: JetBackup say",
    ]
    report = jetbackup.json("status", status=1)
    assert all(account["last_complete"] is None for account in report["accounts"])
    assert jetbackup.called("listBackupForAccounts")[0] == "type=1&contains=511&limit=500&skip=0"
    asked = f"type=1&contains=511&account_id={ONE['_id']}&limit=500&skip=0"
    assert asked in jetbackup.called("listBackups")
    # Its lists are asked for again only where its own summary has changed.
    jetbackup.script()
    assert jetbackup.json("points", "--client", "jb") == points
    assert jetbackup.called("listBackups") == []


def test_no_backups_are_no_points_though_it_prints_an_empty_list(jetbackup: JetBackup) -> None:
    jetbackup.set(backups=[], jobs=[])
    assert jetbackup.json("points", "--client", "jb") == []


def test_long_lists_are_asked_for_in_pieces(jetbackup: JetBackup) -> None:
    many = [
        fake.backup(number, ONE, f"2026-10-01T00:{number // 60:02}:{number % 60:02}+00:00") for number in range(1001)
    ]
    jetbackup.set(backups=many)
    assert len(jetbackup.json("points", "--client", "jb")) == 1001
    assert [data.rpartition("=")[2] for data in jetbackup.called("listBackups")] == ["0", "500", "1000"]
    # A limit of its own, and one that does not know how to go on.
    for script, calls in (({"most": 400}, 3), ({"stuck": True}, 2)):
        jetbackup.script(**script)
        api = Api(str(jetbackup.program))
        arguments = {"type": 1, "contains": 511, "account_id": ONE["_id"]}
        found = list(api.all("listBackups", "backups", arguments))
        assert (len(found), len(jetbackup.called("listBackups"))) == (1001 if calls == 3 else 500, calls)


def test_a_backup_is_started_waited_for_and_listed(jetbackup: JetBackup) -> None:
    (point,) = jetbackup.json("backup", "site1", "--client", "jb", status=1)["points"]
    assert (point["id"], point["status"]) == (parent(5), "incomplete")
    assert len(point["warnings"]) == 1
    assert jetbackup.called("createBackupOnDemand") == [f"account_id={ONE['_id']}"]
    assert jetbackup.called("listAccounts") == ["find[username]=site1&limit=500&skip=0"]
    assert jetbackup.called("listQueueGroups") == ["type=1&limit=500&skip=0"] * 2
    assert jetbackup.called("getQueueGroup") == ["_id=" + f"{0xA0:024x}"] * 2
    assert "no differential level" in jetbackup.refused("backup", "site1", "--client", "jb", "--level", "differential")
    assert "no account 'server'" in jetbackup.refused("backup", "server", "--client", "jb")


def test_a_job_of_its_own_can_be_run_instead(jetbackup: JetBackup) -> None:
    jetbackup.option(f'job = "{JOB["_id"]}"')
    points = jetbackup.json("backup", "site1", "site2", "--client", "jb", status=1)["points"]
    assert [(point["id"], point["account"]) for point in points] == [(parent(5), "site1"), (parent(6), "site2")]
    assert jetbackup.called("runBackupJobManually") == [f"_id={JOB['_id']}"]
    assert jetbackup.called("createBackupOnDemand") == []


def test_what_was_done_in_part_says_so(jetbackup: JetBackup) -> None:
    jetbackup.script(final=101)
    (point,) = jetbackup.json("backup", "site1", "--client", "jb", status=1)["points"]
    assert point["warnings"][1]["message"] == "JetBackup did a part of it: no space left"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ({"final": 102}, "JetBackup failed: no space left"),
        ({"final": 103}, "JetBackup aborted: no space left"),
        ({"final": 104}, "ended with its status 104: no space left"),
        ({"lost": True}, "lists no new backup"),
        ({"unknown": ["createBackupOnDemand"]}, "createBackupOnDemand not found"),
        ({"garbage": ["getQueueGroup"]}, "is no JSON document"),
        ({"status": {"listAccounts": 7}}, "ended with status 7"),
        ({"unknown": ["listBackupJobs"], "licence": "expired"}, "problem with its licence (expired)"),
    ],
)
def test_a_failure_is_one_line(jetbackup: JetBackup, script: dict[str, Any], says: str) -> None:
    jetbackup.script(**script)
    assert says in jetbackup.refused("backup", "site1", "--client", "jb")


def test_one_accounts_failure_stops_no_other(jetbackup: JetBackup) -> None:
    jetbackup.set(accounts=[ONE])
    run = jetbackup.json("backup", "site1", "site2", "--client", "jb", status=1)
    assert [point["account"] for point in run["points"]] == ["site1"]
    assert [failure["account"] for failure in run["failures"]] == ["site2"]


def test_what_takes_too_long_is_stopped(jetbackup: JetBackup) -> None:
    jetbackup.option("timeout = 1")
    jetbackup.script(never=True)
    assert "took longer than 1 seconds" in jetbackup.refused("backup", "site1", "--client", "jb")
    assert jetbackup.called("stopQueueGroup") == ["_id=" + f"{0xA0:024x}"]
    assert json.loads(jetbackup.state.read_text())["groups"][0]["status"] == 103


def test_a_backup_that_never_begins_says_what_the_alerts_say(jetbackup: JetBackup) -> None:
    jetbackup.option("timeout = 1")
    jetbackup.script(unstarted=True)
    assert "Job not started destination is disabled" in jetbackup.refused("backup", "site1", "--client", "jb")


def test_a_point_comes_back_beside_the_account(jetbackup: JetBackup) -> None:
    jetbackup.archive(
        ("./backup", None),
        ("backup/homedir", None),
        ("backup/homedir/var/www/html/index.php", b"<?php"),
        ("backup/homedir/odd \udcff name", b"odd"),
        ("backup/config/info/current/siteinfo", b"[DEFAULT]\n"),
        ("backup/config/account.json", b"{}"),
        ("backup/database/jet_shop.sql.gz", b"dump"),
    )
    out = jetbackup.program.with_name("out")
    done = jetbackup.json("restore", "site1", "--client", "jb", "--to", out)
    assert (done["point"], done["status"]) == (parent(1), "complete")
    assert (out / "data/var/www/html/index.php").read_bytes() == b"<?php"
    assert (out / "data/odd \udcff name").read_bytes() == b"odd"
    assert (out / "info/current/siteinfo").read_bytes() == b"[DEFAULT]\n"
    assert (out / "databases/jetbackup/database/jet_shop.sql.gz").read_bytes() == b"dump"
    status = (out / "data/var/www/html/index.php").stat()
    assert (status.st_uid, status.st_mode & 0o7777, int(status.st_mtime)) == (10000, 0o640, 1700000000)
    assert jetbackup.called("addQueueItems") == [f"type=4&snapshot_id={parent(1)}"]
    names = [entry["path"] for entry in jetbackup.json("ls", parent(1), "/", "-R")]
    assert names == ["/odd \udcff name", "/var", "/var/www", "/var/www/html", "/var/www/html/index.php"]
    assert not list((jetbackup.program.with_name("state") / "clients/jb/work").iterdir())
    carried = jetbackup.json("copy", parent(1), "--client", "vault", status=1)
    assert (carried["client"], carried["origin"]["point"], carried["status"]) == ("vault", parent(1), "incomplete")
    assert [entry["path"] for entry in jetbackup.json("ls", carried["id"], "/", "-R")] == names
    (own,) = jetbackup.json("backup", "site1")["points"]
    assert "of live accounts alone" in jetbackup.refused("copy", own["id"], "--client", "jb")


def test_what_it_cannot_do_is_one_line(jetbackup: JetBackup) -> None:
    assert "say --to DIR" in jetbackup.refused("restore", "site1", "--client", "jb", "--yes")
    assert jetbackup.called("addQueueItems") == []
    assert "own schedules say" in jetbackup.refused("forget", parent(0), "--client", "jb")
    assert "--read-data" in jetbackup.refused("check", "--client", "jb", "--read-data")
    assert "is damaged" in jetbackup.refused("ls", parent(2))
    assert "no account 'probe'" in jetbackup.refused("clients", "--probe", "jb")
    text = jetbackup.server.config.read_text()
    jetbackup.server.config.write_text(text.replace("[backup]", '[backup]\nclient = "jb"'))
    assert "cannot be backup.client" in jetbackup.refused("backup", "site1")


def test_it_says_what_it_can_and_what_is_damaged(jetbackup: JetBackup) -> None:
    (row,) = (row for row in jetbackup.json("clients") if row["name"] == "jb")
    assert (row["driver"], row["version"], row["available"], row["levels"]) == ("jetbackup", "5.3.14", True, ["full"])
    plan = jetbackup.json("plan", "site1", "--client", "jb")
    assert [(read["run"], read["bytes"]) for read in plan["reads"]] == [(parent(1), 1234)]
    assert jetbackup.called("addQueueItems") == []
    jetbackup.script(licence="expired")
    done = jetbackup.server("--json", "check", "--client", "jb")
    assert (done.status, "problem with its licence (expired)" in done.err) == (1, True)
    assert [damage["points"] for damage in done.document["damage"]] == [[parent(2)]]
    jetbackup.program.unlink()
    (row,) = (row for row in jetbackup.json("clients") if row["name"] == "jb")
    assert (row["available"], row["version"]) == (False, None)
    assert "is not installed" in jetbackup.refused("points", "--client", "jb")


# --- archives ---------------------------------------------------------------------------------------------------------


def made(folder: Path, *members: tuple[str, bytes | None, dict[str, Any]]) -> bytes:
    path = folder / "made.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, more in members:
            _add(tar, name, content, **more)
    return os.fsencode(path)


def test_links_times_and_attributes_of_an_archive_are_kept(tmp_path: Path) -> None:
    headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.user.kept": "v\udcff"}
    path = made(
        tmp_path,
        ("backup/homedir/a", b"content", {"pax_headers": headers}),
        ("backup/homedir/b", b"", {"type": tarfile.LNKTYPE, "linkname": "backup/homedir/a"}),
        ("backup/homedir/c", b"", {"type": tarfile.SYMTYPE, "linkname": "../../../etc/passwd"}),
    )
    archive = Archive(path)
    a, b, c = archive.children(b"data")
    assert (a.mtime.nanoseconds, a.xattrs) == (123456789, ((b"user.kept", b"v\xff"),))
    assert a.link_group == b.link_group != b""
    assert c.target == b"../../../etc/passwd"
    assert [b"".join(data for _, data in archive.content(entry)) for entry in (a, b)] == [b"content"] * 2
    archive.close()


@pytest.mark.parametrize(
    "members",
    [
        [("backup/homedir/../../etc/cron.d/x", b"x", {})],
        [("backup/homedir/" + "d/" * 1200 + "x", b"x", {})],
        [("backup/homedir/a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), ("backup/homedir/a/x", b"x", {})],
        [("backup/homedir/b", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow"})],
        [("backup/homedir/b", b"", {"type": b"Z"})],
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, members: list[tuple[str, bytes | None, dict[str, Any]]]) -> None:
    with pytest.raises(ClientError, match="no whole archive"):
        Archive(made(tmp_path, *members))


def test_an_archive_that_is_cut_or_a_bomb_is_refused(tmp_path: Path) -> None:
    whole = Path(os.fsdecode(made(tmp_path, ("backup/homedir/a", b"x" * 5000, {}), ("backup/homedir/b", b"y", {}))))
    content = whole.read_bytes()
    for length in (0, 100, 512, 3000, 512 + 5120, 512 + 5120 + 300, 512 + 5120 + 1024):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(content[:length])
        with pytest.raises(ClientError):
            Archive(os.fsencode(cut))
    with pytest.raises(ClientError, match="far more in it"):
        plain(os.fsencode(whole), os.fsencode(tmp_path / "plain"), 1000)
    link = tmp_path / "link.tar"
    link.symlink_to(whole)
    with pytest.raises(ClientError):
        plain(os.fsencode(link), os.fsencode(tmp_path / "other"), 1 << 30)
    os.chown(whole, 10000, 10000)
    with pytest.raises(ClientError, match="no file of root's"):
        plain(os.fsencode(whole), os.fsencode(tmp_path / "other"), 1 << 30)
