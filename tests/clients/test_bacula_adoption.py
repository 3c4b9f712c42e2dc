"""A Bacula that somebody else has run: its jobs become points, without a new full one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.clients.bacula.client import BaculaClient
from strongroom.clients.registry import open_client
from strongroom.config import load
from tests.clients.kit import NAME
from tests.panel.servers import write
from tests.servers.bacula import Bacula
from tests.servers.folder import server_folder
from tests.whole.ground import CONFIGURATION, OWNER, Server

# As an administrator has it: one job for the whole server, another for another server, and a pool of his own.
_OWN = """
FileSet {{ Name = Accounts
  Include {{ Options {{ Signature = {signature}; AclSupport = yes; XattrSupport = yes }}
    File = {root}/home/virtual }} }}
Job {{ Name = Nightly-{client}; Type = Backup; Level = Incremental; Accurate = yes; Client = {client}; FileSet = Accounts
  Storage = File; Pool = Own; Messages = Daemon }}
Job {{ Name = Careless; Type = Backup; Level = Incremental; Accurate = no; Client = {client}; FileSet = Accounts
  Storage = File; Pool = Own; Messages = Daemon }}
Job {{ Name = Waits; Type = Backup; Level = Full; Client = {client}; FileSet = Hosts
  Storage = File; Pool = Own; Messages = Daemon
  RunScript {{ RunsWhen = Before; RunsOnClient = yes; FailJobOnError = yes
    Command = "sh -c 'for try in $(seq 600); do test ! -e {root}/go || exit 0; sleep 0.1; done; exit 1'"
  }}
}}
"""


class Ground:
    """A server with two accounts, and a Bacula that had backed it up before Strongroom came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(folder, CONFIGURATION)
        write(self.server.root / "home/virtual/.keep")
        self.data = self.server.site(1, "example.com")
        self.other = self.server.site(2, "example.org", uid=OWNER + 1)
        (folder / "volumes").mkdir()
        more = _OWN.format(signature="MD5", root=self.server.root, client="host-fd")
        self.bacula = Bacula(folder / "bacula", folder / "volumes", more=more)
        with self.server.config.open("a") as file:
            file.write(f"[clients.{NAME}]\n{self.bacula.table()}")
        self.server.json("init")

    def nightly(self, level: str, job: str = "Nightly-host-fd") -> None:
        """What the administrator's Bacula does by itself."""
        told = self.bacula.say(f"run job={job} level={level} yes", "wait")
        assert "Job queued" in told, told


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with server_folder() as folder:
        made = Ground(folder)
        data = made.data / "var/www"
        data.mkdir(parents=True)
        (data / "page").write_bytes(b"first\n")
        (data / "it's \xc3\xa9 [odd]*".encode("latin-1").decode()).write_bytes(b"odd\n")
        (data / "gone").write_bytes(b"goes\n")
        os.setxattr(data / "page", "user.colour", b"green")
        os.symlink("page", data / "link")
        os.utime(data / "page", ns=(1_600_000_000_123456789, 1_600_000_000_123456789))
        made.nightly("Full")
        (data / "gone").unlink()
        (data / "new").write_bytes(b"new\n")
        made.nightly("Incremental")
        yield made
        made.bacula.stop()


def test_jobs_of_others_are_points_that_say_so(ground: Ground) -> None:
    points = ground.server.json("points", "site1", "--client", NAME)
    assert [point["level"] for point in points] == ["incremental", "full"]
    assert {point["status"] for point in points} == {"incomplete"}
    shown = ground.server.json("show", points[0]["id"])
    assert "adopted from a Bacula" in shown["warnings"][0]["message"]
    assert len(ground.server.json("points", "site2", "--client", NAME)) == 2
    report = ground.server.json("status", status=1)
    assert [account["last_complete"] for account in report["accounts"]] == [None] * len(report["accounts"])


def test_what_adopted_points_hold_is_listed_and_planned(ground: Ground) -> None:
    new, old = (point["id"] for point in ground.server.json("points", "site1", "--client", NAME))
    names = [entry["path"] for entry in ground.server.json("ls", new, "/var/www")]
    assert names == ["/var/www/it's \xe9 [odd]*", "/var/www/link", "/var/www/new", "/var/www/page"]
    (page,) = (entry for entry in ground.server.json("ls", old, "/var/www") if entry["path"].endswith("page"))
    assert page["mtime"] == "2020-09-13T12:26:40.000000000Z"
    assert "/var/www/gone" in [entry["path"] for entry in ground.server.json("ls", old, "/var/www", "-R")]
    versions = ground.server.json("history", "site1", "/var/www/page", "--client", NAME)
    assert [version["points"] for version in versions] == [[old, new]]
    reads = ground.server.json("plan", "site1", "/var/www/page", "--point", new)["reads"]
    assert [(read["level"], read["bytes"]) for read in reads] == [("full", 6)]
    assert "Own-0001" in reads[0]["what"]
    assert [read["level"] for read in ground.server.json("plan", "site1", "--point", new)["reads"]] == [
        "full",
        "incremental",
    ]


def test_adopted_points_are_restored(ground: Ground) -> None:
    new, _ = (point["id"] for point in ground.server.json("points", "site1", "--client", NAME))
    out = ground.folder / "out"
    ground.server.json("restore", "site1", "--point", new, "--to", out)
    www = out / "data/var/www"
    assert sorted(path.name for path in www.iterdir()) == ["it's \xe9 [odd]*", "link", "new", "page"]
    assert (www / "page").read_bytes() == b"first\n"
    assert os.getxattr(www / "page", "user.colour") == b"green"
    assert (www / "page").stat().st_mtime_ns == 1_600_000_000_000000000
    assert os.readlink(www / "link") == "page"
    assert (out / "info/current/siteinfo").read_bytes() == (ground.data.parent / "info/current/siteinfo").read_bytes()
    one = ground.folder / "one"
    ground.server.json("restore", "site1", "/var/www/it's \xe9 [odd]*", "--point", new, "--to", one)
    assert (one / "data/var/www/it's \xe9 [odd]*").read_bytes() == b"odd\n"


def test_the_first_own_point_stands_beside_them(ground: Ground) -> None:
    before = ground.server.json("points", "site2", "--client", NAME)
    client = open_client(load(str(ground.server.config)), NAME)
    assert isinstance(client, BaculaClient)
    client.judge(())  # the probe has a test of its own
    point = ground.server.backup("site2", "--client", NAME)
    assert (point["level"], point["status"]) == ("full", "complete")
    points = ground.server.json("points", "site2", "--client", NAME)
    assert [each["id"] for each in points] == [point["id"], *(each["id"] for each in before)]
    assert ground.server.json("forget", "--client", NAME)["forgotten"] == []
    assert ground.server.json("check", "--client", NAME)["status"] == "clean"
    gone = before[-1]["id"]
    assert ground.server.json("forget", gone, "--client", NAME)["forgotten"] == [gone]
    ground.server.json("prune", "--client", NAME)
    assert gone not in [each["id"] for each in ground.server.json("points", "site2", "--client", NAME)]
    assert len(ground.server.json("points", "site1", "--client", NAME)) == 2


def test_a_planted_link_leads_no_restore_elsewhere(ground: Ground) -> None:
    """Jobs that do not know what is gone hold a link, and files below a folder of its name."""
    outside = ground.folder / "outside"
    outside.mkdir()
    planted = ground.data / "planted"
    os.symlink(outside, planted)
    ground.nightly("Full", "Careless")
    planted.unlink()
    planted.mkdir()
    (planted / "file").write_bytes(b"written by a restore\n")
    (ground.data / "beside").write_bytes(b"beside\n")
    ground.nightly("Incremental", "Careless")
    points = ground.server.json("points", "site1", "--client", NAME)
    (point,) = (each["id"] for each in points if each["run"].startswith("Careless") and each["level"] != "full")
    out = ground.folder / "out-planted"
    ground.server.json("restore", "site1", "--point", point, "--to", out)
    assert list(outside.iterdir()) == []
    assert (out / "data/planted/file").read_bytes() == b"written by a restore\n"


def test_a_job_is_followed_while_it_runs(ground: Ground) -> None:
    """It ends only once its progress was told."""
    client = open_client(load(str(ground.server.config)), NAME)
    assert isinstance(client, BaculaClient)
    told: list[tuple[int, int]] = []

    def progress(files: int, size: int) -> None:
        told.append((files, size))
        (ground.server.root / "go").touch()

    done = client.bacula.jobs.run("run job=Waits yes", progress=progress)
    assert (done.status, done.files) == ("T", 1)
    assert told == sorted(told)


def test_a_director_that_is_down_hides_no_point(ground: Ground) -> None:
    before = ground.server.json("points", "site1")
    assert len(before) >= 2
    ground.bacula.end("director")
    try:
        assert ground.server.json("points", "site1") == before
        done = ground.server("-q", "restore", "site1", "--point", before[0]["id"], "--to", ground.folder / "never")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert "cannot be reached" in done.err
    finally:
        ground.bacula.start("director")
