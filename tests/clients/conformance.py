"""What every client of foreign software has to do, against the real software.

A driver's tests are a class below `Conformance` with its `Driver` in ``driver``: ``class TestMine(Conformance): driver = …``.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.kit import NAME, Driver, Kit, copy
from tests.fidelity.compare import Ignore, compare
from tests.fidelity.tree import build, release
from tests.servers.folder import server_folder
from tests.whole.ground import OWNER

SOCKETS = Ignore(sockets=True)


class Conformance:
    """The suite."""

    driver: Driver

    @pytest.fixture
    def kit(self, tmp_path: Path) -> Iterator[Kit]:
        with server_folder() as memory:
            yield Kit(tmp_path, self.driver, memory=memory).vouch()
        release(os.fsencode(tmp_path))

    def test_everything_comes_back_from_every_level(self, kit: Kit) -> None:
        """The fidelity tree (3,000 entries and every odd thing), changed before each level; then each point again."""
        tree = kit.data / "tree"
        build(os.fsencode(tree))
        plain = kit.data / "var/www"
        plain.mkdir(parents=True)
        points, copies = [], []
        for number, level in enumerate(self.driver.levels):
            (plain / "same").write_bytes(b"always here\n") if not number else None
            (plain / f"only-{number}").write_bytes(b"%d\n" % number)
            (plain / "page").write_bytes(b"version %d\n" % number * 2000)
            if number:
                (plain / f"only-{number - 1}").unlink()
                os.chmod(plain / "same", 0o600 + number)
            point = kit.backup("--level", level)
            assert (point["level"], point["status"]) == (level, "complete"), point["warnings"]
            assert point["files"]["seen"] > 3000
            if number:
                assert point["files"]["changed"] < 20
                assert point["files"]["removed"] == 1
            points.append(point["id"])
            copies.append(copy(plain, kit.folder / f"copy-{number}"))
        assert compare(os.fsencode(tree), os.fsencode(kit.restored(points[-1]) / "tree"), SOCKETS) == []
        for point, kept in zip(points, copies, strict=True):
            assert compare(os.fsencode(kept), os.fsencode(kit.restored(point, "/var/www") / "var/www")) == []
        self._answers(kit, points)
        self._plans(kit, points)

    def test_a_point_goes_to_the_vault_and_comes_from_there(self, kit: Kit) -> None:
        """With everything, its time and its status: from the vault to this client, and from here to the vault."""
        tree = kit.data / "tree"
        build(os.fsencode(tree))
        first = kit.server.backup("site1")
        time.sleep(0.01)
        (kit.data / "later").write_bytes(b"not in the point\n")
        here = kit.json("copy", first["id"], "--client", NAME)
        assert here["copied"] is True
        for key in ("account", "domains", "time", "status", "entries", "bytes", "files", "started", "finished"):
            assert here[key] == first[key], key
        assert (here["client"], here["level"], here["parent"]) == (NAME, "full", None)
        assert (here["origin"]["point"], here["origin"]["client"]) == (first["id"], "vault")
        again = kit.json("copy", first["id"], "--client", NAME)
        assert (again["id"], again["copied"]) == (here["id"], False)
        kit.json("forget", first["id"])
        kit.json("prune")
        back = kit.json("copy", here["id"], "--client", "vault")
        assert (back["client"], back["time"], back["origin"]["point"]) == ("vault", first["time"], first["id"])
        assert kit.json("check", "--read-data")["status"] == "clean"
        assert [point["id"] for point in kit.json("points", "site1")] == [back["id"], here["id"]]
        assert kit.json("show", here["id"])["copies"] == [back["id"]]
        (row,) = (row for row in kit.json("status", status=1)["accounts"] if row["account"] == "site1")
        assert (row["last_complete"], row["problems"]) == (first["time"], [])
        for point, client in ((here["id"], NAME), (back["id"], "vault")):
            target = kit.folder / f"carried-{client}"
            kit.json("restore", "site1", "--point", point, "--client", client, "--to", target)
            assert not (target / "data/later").exists()
            assert compare(os.fsencode(tree), os.fsencode(target / "data/tree"), SOCKETS) == []

    def test_a_chain_becomes_a_full_point_that_others_are_built_on(self, kit: Kit) -> None:
        """Without the server being read; what changed there meanwhile is in the next increment, forged times or not."""
        points = [self._night(kit, number) for number in range(3)]
        page = kit.data / "page"
        page.write_bytes(b"between the last night and the full point\n")
        made = kit.json("copy", points[2]["id"], "--client", NAME)
        if self.driver.alone:
            assert (made["id"], made["copied"]) == (points[2]["id"], False)
            return
        assert (made["level"], made["time"], made["parent"]) == ("full", points[2]["time"], None)
        assert kit.json("copy", points[2]["id"], "--client", NAME)["id"] == made["id"]
        assert [point["id"] for point in kit.json("points", "--limit", "2")] == [made["id"], points[2]["id"]]
        (kit.data / "new").write_bytes(b"new\n")
        last = kit.backup("--level", "incremental")
        assert (last["parent"], last["status"]) == (made["id"], "complete")
        assert last["files"]["changed"] == 2
        old = kit.json("copy", points[1]["id"], "--client", NAME)
        assert kit.backup("--level", "incremental")["parent"] == last["id"]
        kit.json("forget", *(point["id"] for point in points), "--client", NAME)
        kit.json("prune", "--client", NAME)
        assert kit.json("check", "--client", NAME)["status"] == "clean"
        assert [read["level"] for read in kit.json("show", last["id"])["reads"]["reads"]] == ["full", "incremental"]
        for point, copied in ((made, 2), (old, 1)):
            assert compare(os.fsencode(kit.folder / f"copy-{copied}"), os.fsencode(kit.restored(point["id"]))) == []
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(last["id"]))) == []

    def _night(self, kit: Kit, number: int) -> dict[str, Any]:
        (kit.data / f"only-{number}").write_bytes(b"%d\n" % number)
        (kit.data / "odd \xff name").write_bytes(b"odd %d\n" % number)
        (kit.data / "page").write_bytes(b"version %d\n" % number)
        # Other content of the same size and with the same time, as unpackers and copiers make it.
        (kit.data / "forged").write_bytes(b"forged %d\n" % min(number, 1))
        os.utime(kit.data / "forged", ns=(10**18, 10**18))
        if number:
            (kit.data / f"only-{number - 1}").unlink()
        else:
            (kit.data / "large").write_bytes(random.Random(1).randbytes(1 << 20))
            os.chown(kit.data / "large", OWNER, OWNER)
            os.link(kit.data / "large", kit.data / "linked")
            os.truncate(kit.data / "page", 1 << 20)
        point = kit.backup("--level", "incremental" if number else "full")
        copy(kit.data, kit.folder / f"copy-{number}")
        return point

    def _answers(self, kit: Kit, points: list[str]) -> None:
        names = [entry["path"] for entry in kit.json("ls", points[-1], "/var/www")]
        assert names == [f"/var/www/only-{len(points) - 1}", "/var/www/page", "/var/www/same"]
        versions = kit.json("history", "site1", "/var/www/page", "--client", NAME)
        assert [version["points"] for version in versions] == [[point] for point in reversed(points)]
        changes = {change["path"]: change for change in kit.json("diff", points[0], points[1], "/var/www")}
        assert changes["/var/www/same"]["what"] == ["mode"]
        assert changes["/var/www/only-0"]["change"] == "removed"
        found = kit.json("find", "site1", "only-?", "--client", NAME)
        assert [entry["points"] for entry in found] == [[point] for point in points]
        assert [point["id"] for point in kit.json("points", "site1", "--client", NAME)] == points[::-1]

    def _plans(self, kit: Kit, points: list[str]) -> None:
        reads = kit.json("plan", "site1", "--point", points[-1], "--client", NAME)["reads"]
        # The third of three is built on the second, the second (a differential or an increment) on the first.
        assert [read["level"] for read in reads] == list(
            self.driver.levels if not self.driver.alone else ("incremental",)
        )
        one = kit.json("plan", "site1", "/var/www/same", "--point", points[-1], "--client", NAME)
        assert len(one["reads"]) == 1
        # Of sets that are packed, or brought back whole, more is read than the file.
        least = len(b"always here\n")
        assert one["reads"][0]["bytes"] == least or (not self.driver.alone and one["reads"][0]["bytes"] > least)
        assert one["reads"][0]["level"] == ("incremental" if self.driver.alone else "full")

    def test_the_state_folder_may_vanish(self, tmp_path: Path) -> None:
        """Without a vault, too: the points are in the client's own storage."""
        for vault in (True, False):
            folder = tmp_path / f"vault-{vault}"
            folder.mkdir()
            kit = Kit(folder, self.driver, vault=vault).vouch()
            (kit.data / "file").write_bytes(b"kept\n")
            (kit.data / "odd \xff name").write_bytes(b"kept as well\n")
            point = kit.backup()
            del point["warnings"]
            shutil.rmtree(kit.folder / "state")
            assert kit.json("points", "site1", "--client", NAME) == [point]
            kit.server.root.rename(kit.folder / "elsewhere")
            back = kit.restored(point["id"])
            data = kit.folder / "elsewhere" / kit.data.relative_to(kit.server.root)
            assert compare(os.fsencode(data), os.fsencode(back)) == []

    def test_a_killed_run_leaves_no_point_and_stops_no_other(self, kit: Kit) -> None:
        (kit.data / "large").write_bytes(random.Random(1).randbytes(24 << 20))
        (kit.data / "file").write_bytes(b"first\n")
        first = kit.backup()["id"]
        (kit.data / "file").write_bytes(b"second\n")
        (kit.data / "large").write_bytes(random.Random(2).randbytes(24 << 20))
        kit.killed_while_saving()
        assert [point["id"] for point in kit.json("points", "site1", "--client", NAME)] == [first]
        assert (kit.restored(first, "/file") / "file").read_bytes() == b"first\n"
        second = kit.backup()
        assert second["status"] == "complete"
        kit.json("prune", "--client", NAME)
        assert not list((kit.state / "unfinished").iterdir())
        assert kit.json("check", "--client", NAME)["status"] == "clean"
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(second["id"]))) == []

    def test_a_level_without_a_word_is_refused(self, kit: Kit) -> None:
        for level in {"full", "differential", "incremental"} - set(self.driver.levels):
            assert f"no {level} level" in kit.refused("backup", "site1", "--client", NAME, "--level", level)

    def test_a_wrong_passphrase_is_one_line(self, kit: Kit) -> None:
        if not self.driver.encrypted:
            pytest.skip("commands have no passphrase of ours")
        (kit.data / "file").write_bytes(b"kept\n")
        point = kit.backup()["id"]
        (kit.folder / "secret").write_text("wrong\n")
        shutil.rmtree(kit.state / "archive", ignore_errors=True)  # where duplicity keeps copies in clear
        assert "passphrase" in kit.refused("backup", "site1", "--client", NAME)
        assert "passphrase" in kit.refused("restore", "site1", "--client", NAME, "--point", point, "--to", kit.folder / "out")
        assert not (kit.folder / "out").exists()
        assert "passphrase" in kit.refused("download", "site1", "--client", NAME, "-o", kit.folder / "out.tar")
        (kit.folder / "secret").write_text("correct horse\n")
        assert (kit.restored(point, "/file") / "file").read_bytes() == b"kept\n"

    def test_software_that_is_not_there_is_one_line(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        if self.driver.name == "command":
            (kit.folder / "tool").unlink()
        monkeypatch.setenv("PATH", str(kit.folder / "nothing"))
        assert "not installed" in kit.refused("backup", "site1", "--client", NAME)
        (row,) = (row for row in kit.json("clients") if row["name"] == NAME)
        assert (row["driver"], row["available"], row["version"]) == (self.driver.name, False, None)

    def test_a_full_disk_is_one_line_and_leaves_nothing_that_stops_the_next(self, kit: Kit) -> None:
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", kit.storage], capture_output=True
        ).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            (kit.data / "file").write_bytes(b"small\n")
            first = kit.backup()["id"]
            (kit.data / "large").write_bytes(random.Random(3).randbytes(8 << 20))
            told = kit.refused("backup", "site1", "--client", NAME).lower()
            assert "space" in told or "wrote only" in told or "room" in told
            assert [point["id"] for point in kit.json("points", "site1", "--client", NAME)] == [first]
            subprocess.run(["mount", "-o", "remount,size=64m", kit.storage], check=True)
            second = kit.backup()
            assert second["status"] == "complete"
            assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(second["id"]))) == []
        finally:
            subprocess.run(["umount", "-l", kit.storage], check=True)

    def test_forgotten_points_go_and_their_room_is_freed(self, kit: Kit) -> None:
        (kit.data / "large").write_bytes(random.Random(4).randbytes(4 << 20))
        first = kit.backup("--level", "full")["id"]
        (kit.data / "large").unlink()
        second = kit.backup("--level", "full")["id"]
        before = _size(kit.storage)
        assert kit.json("forget", first, "--client", NAME)["forgotten"] == [first]
        kit.json("prune", "--client", NAME)
        assert _size(kit.storage) < before - (3 << 20)
        assert [point["id"] for point in kit.json("points", "--client", NAME)] == [second]
        assert kit.json("check", "--client", NAME, "--read-data")["status"] == "clean"
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(second))) == []

    def test_a_set_that_is_gone_is_damage(self, kit: Kit) -> None:
        (kit.data / "file").write_bytes(b"x" * 100000)
        point = kit.backup()["id"]
        shutil.rmtree(kit.storage)
        kit.storage.mkdir()
        done = kit("--json", "check", "--client", NAME)
        assert done.status in (1, 2)
        assert done.status == 2 or done.document["damage"][0]["points"] == [point]

    def test_an_account_gets_nothing_of_others_into_its_points(self, kit: Kit) -> None:
        """Folders swapped for links all through a backup, and a hard link to another's file."""
        secret = kit.folder / "root/home/virtual/secret"
        secret.mkdir()
        (secret / "file").write_bytes(b"SECRET " * 1000)
        foreign = secret / "foreign"
        foreign.write_bytes(b"SECRET " * 10)
        os.chown(foreign, OWNER + 1, OWNER + 1)
        swapped = kit.data / "swapped"
        swapped.mkdir()
        (swapped / "file").write_bytes(b"harmless\n")
        (kit.data / "many").mkdir()
        for number in range(400):
            (kit.data / f"many/{number}").write_bytes(b"%d\n" % number)
        os.link(foreign, kit.data / "linked")
        attack = subprocess.Popen(
            [
                "sh",
                "-c",
                f"cd '{kit.data}'; while :; do mv swapped kept; ln -s {secret} swapped; rm swapped; mv kept swapped; done",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            done = kit("--json", "backup", "site1", "--client", NAME)
        finally:
            attack.kill()
            attack.wait()
        assert done.status in (0, 1), done.err
        (point,) = done.document["points"]
        assert any(warning["path"] == "/linked" for warning in point["warnings"])
        client = kit.client()
        held = client._holdings.held(point["id"])
        brought = kit.folder / "brought"
        brought.mkdir()
        client._tool.bring(held.data, held.series, [], os.fsencode(brought))
        grep = subprocess.run(["grep", "-r", "-l", "SECRET", brought], capture_output=True, text=True)
        assert grep.stdout == ""

    def test_folders_that_change_places_take_their_files_along(self, kit: Kit) -> None:
        """No file in them is younger for it, and each is another one at its place."""
        for name in ("one", "two"):
            (kit.data / name).mkdir()
            (kit.data / name / "file").write_bytes(name.encode() + b"\n")
        kit.backup("--level", "full")
        for old, new in (("one", "kept"), ("two", "one"), ("kept", "two")):
            os.rename(kit.data / old, kit.data / new)
        point = kit.backup("--level", self.driver.levels[-1])
        assert point["status"] == "complete"
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(point["id"]))) == []

    def test_twenty_thousand_files(self, kit: Kit) -> None:
        """One of them comes back, and all of them as they were after a few changes."""
        for number in range(20_000):
            folder = kit.data / f"many/{number // 200:03}"
            if number % 200 == 0:
                folder.mkdir(parents=True)
            (folder / f"{number:05}").write_bytes(b"%d\n" % number)
        assert kit.backup("--level", "full")["files"]["seen"] > 20_000
        (kit.data / "many/007/01400").write_bytes(b"changed\n")
        os.rename(kit.data / "many/099", kit.data / "many/moved")
        point = kit.backup("--level", self.driver.levels[-1])
        assert (point["status"], point["files"]["removed"]) == ("complete", 200)
        one = kit.restored(point["id"], "/many/050/10007")
        assert (one / "many/050/10007").read_bytes() == b"10007\n"
        assert compare(os.fsencode(kit.data / "many"), os.fsencode(kit.restored(point["id"], "/many") / "many")) == []

    def test_the_probe_passes(self, kit: Kit) -> None:
        (kit.state / "verdict.json").unlink()
        point = kit.backup()
        assert point["status"] == "complete"
        (row,) = (row for row in kit.json("clients") if row["name"] == NAME)
        assert row["probe"]["status"] == "passed"
        assert [found["account"] for found in kit.json("points", "--client", NAME)] == ["site1"]


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
