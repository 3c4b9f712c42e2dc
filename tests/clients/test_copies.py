"""Points that go from one client to another, and two clients for one account."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.kit import COMMAND, NAME, Kit
from tests.fidelity.compare import compare
from tests.servers.folder import server_folder


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with server_folder() as memory:
        yield Kit(tmp_path, COMMAND, memory=memory).vouch()


def test_a_copy_that_is_killed_leaves_no_point_and_stops_no_other(kit: Kit) -> None:
    (kit.data / "large").write_bytes(random.Random(1).randbytes(24 << 20))
    first = kit.server.backup("site1")["id"]
    kit.killed_while_saving("copy", first, "--client", NAME)
    assert [point["id"] for point in kit.json("points", "site1")] == [first]
    made = kit.json("copy", first, "--client", NAME)
    kit.json("prune", "--client", NAME)
    assert not list((kit.state / "unfinished").iterdir())
    assert kit.json("check", "--client", NAME)["status"] == "clean"
    assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(made["id"]))) == []


def test_a_copy_into_the_vault_that_is_killed_leaves_no_point(kit: Kit) -> None:
    for number in range(4):
        (kit.data / f"large-{number}").write_bytes(random.Random(number).randbytes(20 << 20))
    first = kit.backup()["id"]
    staged = kit.state.parents[1] / "vault/work"
    kit.killed_when(lambda: staged.is_dir() and bool(os.listdir(staged)), "copy", first, "--client", "vault")
    assert [point["id"] for point in kit.json("points", "site1")] == [first]
    made = kit.json("copy", first, "--client", "vault")
    assert kit.json("check", "--read-data")["status"] == "clean"
    assert os.listdir(staged) == []
    kit.server.root.rename(kit.folder / "elsewhere")
    data = kit.folder / "elsewhere" / kit.data.relative_to(kit.server.root)
    target = kit.folder / "out"
    kit.json("restore", "site1", "--point", made["id"], "--to", target)
    assert compare(os.fsencode(data), os.fsencode(target / "data")) == []


def test_content_that_is_not_what_was_backed_up_is_not_carried(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"as it was\n")
    first = kit.backup()["id"]
    (archive,) = (path for path in kit.storage.iterdir() if path.name == first)
    archive.write_bytes(archive.read_bytes().replace(b"as it was\n", b"as it not\n"))
    assert "is not what was backed up" in kit.refused("copy", first, "--client", "vault")
    assert [point["id"] for point in kit.json("points", "site1")] == [first]
    assert kit.server.backup("site1")["status"] == "complete"


def test_an_incomplete_point_stays_incomplete_and_says_why(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"content\n")
    kit.client().judge(["full: file: mtime"])
    first = kit.backup(status=1)
    done = kit.server("--json", "copy", first["id"], "--client", "vault")
    assert done.status == 1
    assert (done.document["status"], done.document["warnings"]) == ("incomplete", first["warnings"])


def test_a_client_that_failed_its_probe_takes_no_complete_point(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"content\n")
    first = kit.server.backup("site1")
    kit.client().judge(["full: file: mtime"])
    done = kit.server("--json", "copy", first["id"], "--client", NAME)
    assert (done.status, done.document["status"]) == (1, "incomplete")
    kit.vouch()
    again = kit.json("copy", first["id"], "--client", NAME)
    assert (again["copied"], again["status"]) == (True, "complete")


def test_what_cannot_be_copied_is_one_line(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"content\n")
    first = kit.server.backup("site1")["id"]
    assert "no point 'nonsense'" in kit.refused("copy", "nonsense", "--client", NAME)
    assert "no client 'elsewhere'" in kit.refused("copy", first, "--client", "elsewhere")
    assert "--client" in kit.refused("copy", first)


def test_a_point_of_the_vault_stands_alone(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"content\n")
    kit.server.backup("site1")
    last = kit.server.backup("site1")
    done = kit("copy", last["id"], "--client", "vault")
    assert (done.status, done.out.decode()) == (
        0,
        f"{last['id'][:12]} stands alone in vault already; nothing was done\n",
    )


def test_two_clients_at_once_for_one_account(kit: Kit) -> None:
    (kit.data / "large").write_bytes(random.Random(1).randbytes(8 << 20))
    runs = [
        subprocess.Popen(kit.server.command("--json", "backup", "site1", "--client", name), stdout=subprocess.DEVNULL)
        for name in ("vault", NAME, "vault")
    ]
    assert [run.wait(300) for run in runs] == [0, 0, 0]
    points = kit.json("points", "site1")
    assert sorted(point["client"] for point in points) == [NAME, "vault", "vault"]
    assert [point["status"] for point in points] == ["complete"] * 3
    for point in points[:2]:
        target = kit.folder / f"back-{point['id']}"
        kit.json("restore", "site1", "--point", point["id"], "--to", target)
        assert compare(os.fsencode(kit.data), os.fsencode(target / "data")) == []


def test_two_clients_on_alternating_nights(kit: Kit) -> None:
    """Each compares with its own last point, and one account is one history."""
    nights = []
    for number in range(6):
        (kit.data / f"night-{number}").write_bytes(b"%d\n" % number)
        name = NAME if number % 2 else "vault"
        level = "full" if number < 2 else "incremental"
        nights.append(kit.server.backup("site1", "--client", name, "--level", level))
    assert [night["parent"] for night in nights[2:]] == [night["id"] for night in nights[:4]]
    assert [night["files"]["changed"] for night in nights[2:]] == [2, 2, 2, 2]
    assert [point["id"] for point in kit.json("points", "site1")] == [night["id"] for night in reversed(nights)]
    for number, night in enumerate(nights):
        listed = [entry["path"] for entry in kit.json("ls", night["id"], "/") if "night" in entry["path"]]
        assert listed == [f"/night-{each}" for each in range(number + 1)]
    moved = kit.json("copy", nights[4]["id"], "--client", NAME)
    assert kit.backup("--level", "incremental")["parent"] == nights[5]["id"]
    assert (kit.restored(moved["id"], "/night-4") / "night-4").read_bytes() == b"4\n"
