"""Repositories of restic and borg that somebody else has filled: their snapshots become points."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from strongroom.clients.sidecar import Row
from strongroom.clients.snapshots import Snapshot, SnapshotAdoption, expanded, moment
from strongroom.config import load
from strongroom.errors import ClientError
from tests.clients.kit import BORG, NAME, RESTIC, Driver, Kit
from tests.servers.folder import server_folder
from tests.whole.ground import OWNER

# Names that are no text, and one that a listing of them would look the same as.
_ODD = (b"odd \xff", b"odd \xe2\x82", b"odd ?", b"odd \xef\xbf\xbd")


class Ground(Kit):
    """A server with two accounts, and a repository that was there before Strongroom came."""

    def tool(self, *words: str | Path, folder: Path | None = None) -> None:
        """What the administrator does by himself."""
        environ = {
            **os.environ,
            "RESTIC_REPOSITORY": f"{self.storage}/repository",
            "RESTIC_PASSWORD_FILE": f"{self.folder}/secret",
            "BORG_REPO": f"{self.storage}/repository",
            "BORG_PASSCOMMAND": f"cat {self.folder}/secret",
            "BORG_BASE_DIR": f"{self.folder}/own",
            "RESTIC_CACHE_DIR": f"{self.folder}/own",
            "TZ": "UTC",
        }
        subprocess.run([self.driver.name, *words], env=environ, cwd=folder, check=True, capture_output=True)

    def save(self, day: int, what: Path | str, *, folder: Path | None = None) -> None:
        """A snapshot of a day in January, of a folder by its absolute path, or from the folder above."""
        date = f"2026-01-{day:02}"
        if self.driver is RESTIC:
            self.tool("backup", "--time", f"{date} 03:04:05", what, folder=folder)
        else:
            self.tool("create", "--timestamp", f"{date}T03:04:05", f"::day-{day}", what, folder=folder)


@pytest.fixture(scope="module", params=[RESTIC, BORG], ids=lambda driver: driver.name)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    driver: Driver = request.param
    with server_folder() as folder:
        made = Ground(folder, driver)
        made.server.site(2, "example.org", uid=OWNER + 1)
        virtual = made.server.root / "home/virtual"
        www = made.data / "var/www"
        www.mkdir(parents=True)
        (www / "page").write_bytes(b"first\n")
        os.link(www / "page", www / "same")
        (www / "it's \u00e9 [odd]*").write_bytes(b"odd\n")
        os.setxattr(www / "page", "user.colour", b"green")
        (www / "page").chmod(0o4750)
        os.symlink("page", www / "link")
        for name in _ODD:
            folder = made.data / os.fsdecode(name)
            folder.mkdir()
            (folder / os.fsdecode(b"in \xff?")).write_bytes(b"in " + name)
        os.utime(www / "page", ns=(1_600_000_000_123456789, 1_600_000_000_123456789))
        made.tool("init", *(["--encryption", "repokey-blake2"] if driver is BORG else []))
        made.save(1, virtual)
        (www / "page").rename(www / "moved")
        (www / "new").write_bytes(b"new\n")
        made.save(2, "site1/shadow", folder=virtual)
        made.vouch()
        yield made


def _ids(ground: Ground, account: str) -> list[str]:
    return [point["id"] for point in ground.json("points", account, "--client", NAME)]


def test_snapshots_of_others_are_points_that_say_so(ground: Ground) -> None:
    points = ground.json("points", "site1", "--client", NAME)
    assert [(point["level"], point["status"]) for point in points] == [("full", "incomplete")] * 2
    assert [point["time"] for point in points] == ["2026-01-02T03:04:05Z", "2026-01-01T03:04:05Z"]
    assert len(_ids(ground, "site2")) == 1
    shown = ground.json("show", points[0]["id"])
    assert f"adopted from a {ground.driver.name}" in shown["warnings"][0]["message"]
    report = ground.json("status", status=1)
    assert {account["last_complete"] for account in report["accounts"]} == {None}


def test_what_they_hold_is_listed_and_planned(ground: Ground) -> None:
    new, old = _ids(ground, "site1")
    listed = {entry["path"]: entry for entry in ground.json("ls", old, "/var/www")}
    names = ["it's \u00e9 [odd]*", "link", "page", "same"]
    assert sorted(listed) == [f"/var/www/{name}" for name in names]
    assert {listed[f"/var/www/{name}"]["size"] for name in ("page", "same")} == {6}
    assert listed["/var/www/page"]["mode"] == "4750"
    assert listed["/var/www/page"]["mtime"].startswith("2020-09-13T12:26:40.12345")
    assert "/var/www/moved" in [entry["path"] for entry in ground.json("ls", new, "/var/www", "-R")]
    versions = ground.json("history", "site1", "/var/www/link", "--client", NAME)
    assert [version["points"] for version in versions] == [[old, new]]
    assert ground.json("plan", "site1", "/var/www/page", "--point", old)["reads"][0]["bytes"] == 6


def test_they_are_restored(ground: Ground) -> None:
    new, old = _ids(ground, "site1")
    www = ground.restored(old) / "var/www"
    assert (www / "page").read_bytes() == b"first\n"
    status = (www / "page").stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o4750, 1_600_000_000_123456789)
    assert status.st_ino == (www / "same").stat().st_ino
    assert os.getxattr(www / "page", "user.colour") == b"green"
    assert os.readlink(www / "link") == "page"
    info = "info/current/siteinfo"
    assert (www.parents[2] / info).read_bytes() == (ground.data.parent / info).read_bytes()
    assert sorted(path.name for path in (ground.restored(new, "/var") / "var/www").iterdir()) == [
        "it's \u00e9 [odd]*", "link", "moved", "new", "same"
    ]  # fmt: skip
    odd = ground.data / "var/www/it's \u00e9 [odd]*"
    odd.write_bytes(b"broken\n")
    ground.json("restore", "site1", "/var/www/it's \u00e9 [odd]*", "--point", new, "--client", NAME, "--yes")
    assert odd.read_bytes() == b"odd\n"


def test_names_that_are_no_text_come_back(ground: Ground) -> None:
    point = _ids(ground, "site1")[-1]
    listed = {os.fsencode(entry["path"]) for entry in ground.json("ls", point, "-R")}
    assert {b"/" + name + b"/in \xff?" for name in _ODD} <= listed
    back = ground.restored(point, *(f"/{os.fsdecode(name)}" for name in _ODD))
    for name in _ODD:
        assert (back / os.fsdecode(name) / os.fsdecode(b"in \xff?")).read_bytes() == b"in " + name


def test_a_repository_that_is_away_hides_none(ground: Ground) -> None:
    before = _ids(ground, "site1")
    ground.storage.rename(ground.folder / "away")
    try:
        assert _ids(ground, "site1") == before
        done = ground("restore", "site1", "--point", before[0], "--to", ground.folder / "never")
        assert done.status == 2
        assert f"there is no {ground.driver.name} repository" in done.err
    finally:
        (ground.folder / "away").rename(ground.storage)


def test_they_are_copied_and_passed_over_and_never_taken_away(ground: Ground) -> None:
    (only,) = _ids(ground, "site2")
    copied = ground.json("copy", only, "--client", "vault", status=1)
    assert (copied["client"], copied["status"]) == ("vault", "incomplete")
    listed = ground.json("ls", only, "-R") + ground.json("ls", only, "info:/", "-R")
    assert copied["entries"] == len(listed) + 2, "and the two trees themselves"
    assert copied["files"]["seen"] == sum(entry["type"] != "dir" for entry in listed)
    assert copied["bytes"] == sum(entry["size"] for entry in listed if entry["type"] == "file") > 0
    (entry,) = ground.json("ls", copied["id"], "info:/current/siteinfo")
    assert entry["size"] == (ground.server.root / "home/virtual/site2/info/current/siteinfo").stat().st_size
    assert "adopted" in ground.refused("copy", only, "--client", NAME)
    assert ground.json("forget", "--client", NAME)["forgotten"] == []
    assert ground.json("forget", only, "--client", NAME)["forgotten"] == [only]
    ground.json("prune", "--client", NAME)
    assert _ids(ground, "site2") == []
    assert len(_ids(ground, "site1")) == 2


def test_our_own_stand_beside_them(ground: Ground) -> None:
    before = _ids(ground, "site1")
    point = ground.backup()
    assert (point["level"], point["status"]) == ("full", "complete")
    assert _ids(ground, "site1") == [point["id"], *before]


def test_folders_are_found_step_by_step() -> None:
    there = {"/home": ["/home/a", "/home/b"], "/home/a": ["/home/a/www"], "/home/b": ["/home/b/other"], "/": ["/www"]}
    asked: list[set[str]] = []

    def below(folders: set[str]) -> Iterator[str]:
        asked.append(folders)
        return (path for folder in folders for path in there.get(folder, ()))

    assert sorted(expanded(["/home/*/www", "/www"], below)) == ["/home/a/www", "/www"]
    assert asked == [{"/home", "/"}, {"/home/a", "/home/b"}]


def test_moments_are_read_with_and_without_a_zone() -> None:
    assert moment("2020-09-13T12:26:40.123456789Z") == (1_600_000_000, 123_456_789)
    assert moment("2020-09-13T14:26:40+02:00") == moment("2020-09-13T12:26:40.000000") == (1_600_000_000, 0)


def test_what_is_damaged_is_not_brought_as_if_it_were_whole(ground: Ground) -> None:
    """The last: the repository is broken by it."""
    point = _ids(ground, "site1")[-1]
    packs = sorted((ground.storage / "repository/data").rglob("*"), key=lambda path: path.stat().st_size)
    for pack in packs:
        if pack.is_file() and pack.stat().st_size > 100:
            pack.chmod(0o600)
            content = bytearray(pack.read_bytes())
            content[60:90] = bytes(byte ^ 0xFF for byte in content[60:90])
            pack.write_bytes(content)
    done = ground("restore", "site1", "--point", point, "--to", ground.folder / "out-damaged")
    assert done.status == 2, (done.out, done.err)
    assert "Traceback" not in done.err
    assert ground.driver.name in done.err


class _Listed:
    """A repository in which three hosts have one snapshot each."""

    driver = "listed"

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.broken = False

    def others(self) -> list[Snapshot]:
        """See the port."""
        return [Snapshot(id=host, host=host, time=1_600_000_000) for host in ("here", "there", os.uname().nodename)]

    def folders(self, snapshot: str, globs: Sequence[str]) -> Iterator[str]:
        """See the port."""
        if self.broken and self.looked:
            raise ClientError("the disk is gone")
        self.looked.append(snapshot)
        return iter(["/home/virtual/site1/shadow", "/home/virtual/site1/other", "/virtual/site2/info"])

    def listed(self, snapshot: str, folders: Sequence[str]) -> Iterator[Row]:
        """See the port."""
        return iter(())

    def fetch(self, snapshot: str, places: Sequence[bytes], target: bytes) -> None:
        """See the port."""


def _adoption(folder: Path, tool: _Listed, hosts: str) -> SnapshotAdoption:
    (folder / "snapshots").mkdir(exist_ok=True)
    table = f'[clients.{NAME}]\ndriver = "restic"\nurl = "{folder}"\n' + (f"hosts = {hosts}\n" if hosts else "")
    config = folder / "config.toml"
    config.write_text(f'[server]\nlayout = "apiscp"\nstate = "{folder}/state"\n{table}')
    kept = os.fsencode(folder / "kept")
    return SnapshotAdoption(tool, load(str(config)), NAME, kept, f"{folder}/snapshots")


@pytest.mark.parametrize(("hosts", "looked"), [("", [os.uname().nodename]), ('["there"]', ["there"]), ("[]", [])])
def test_whose_snapshots_are_taken(tmp_path: Path, hosts: str, looked: list[str]) -> None:
    tool = _Listed()
    first = _adoption(tmp_path, tool, hosts).all()
    assert sorted(each.point.account for each in first.values()) == ["site1", "site2"] * len(looked)
    (tmp_path / "snapshots/another").touch()
    assert _adoption(tmp_path, tool, hosts).all() == first
    assert tool.looked == looked, "each is looked into once"


def test_a_look_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    tool = _Listed()
    tool.broken = True
    assert len(_adoption(tmp_path, tool, '["here", "there"]').all()) == 2
    tool.broken = False
    assert len(_adoption(tmp_path, tool, '["here", "there"]').all()) == 4
    assert tool.looked == ["here", "there"]
