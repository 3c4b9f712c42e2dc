"""The real program, killed at any moment, on a full disk and on one that is read only."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from strongroom.vault.folder import FolderStorage
from strongroom.vault.vault import Vault
from tests.vault.ground import Content, in_memory, in_vault, on_disk

T = TypeVar("T")
ACCOUNTS = ("alpha", "beta", "gamma")
# Nothing here takes longer than this (seconds) unless it hangs.
PATIENCE = 300
# What reading in /proc says of a process that has ended meanwhile.
GONE = (FileNotFoundError, ProcessLookupError)
CONFIGURATION = """[server]
layout = "plain"
root = "{folder}/srv"
accounts = ["/*"]
state = "{folder}/state"
[vault]
url = "{vault}"
passphrase_file = "{folder}/passphrase"
[backup]
workers = {workers}
"""


class Server:
    """Three accounts of a few hundred files, and the program as an administrator runs it."""

    def __init__(self, folder: Path, vault: Path | None = None, workers: int = 2) -> None:
        self.folder = folder
        self.root = vault or folder / "vault"
        self.points: dict[str, Content] = {}
        self._configure(workers)
        for account in ACCOUNTS:
            for place in range(8):
                (folder / "srv" / account / f"folder{place}").mkdir(parents=True)
                for number in range(15):
                    (folder / "srv" / account / f"folder{place}" / str(number)).write_bytes(
                        os.urandom(random.randrange(4000))
                    )
            (folder / "srv" / account / "large").write_bytes(os.urandom(3 << 20))
        assert self.json("init")["created"] is True

    def _configure(self, workers: int) -> None:
        text = CONFIGURATION.format(folder=self.folder, vault=self.root, workers=workers)
        (self.folder / "config.toml").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "strongroom", "--config", str(self.folder / "config.toml"), *arguments]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str, status: int = 0) -> Any:
        ended, out, err = self.run("--json", *arguments)
        assert ended == status, (out, err)
        return json.loads(out)

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = self.command(*options, "backup")
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def backup(self) -> None:
        """Back up everything, and remember what the points have to hold."""
        for point in self.json("backup")["points"]:
            self.points[point["id"]] = self.content(point["account"])

    def content(self, account: str) -> Content:
        found = on_disk(self.folder / "srv" / account)
        return {path.removeprefix(b"data/"): data for path, data in found.items()}

    def change(self, chance: random.Random) -> None:
        for account in ACCOUNTS:
            for _ in range(20):
                place = self.folder / "srv" / account / f"folder{chance.randrange(8)}" / str(chance.randrange(30))
                place.write_bytes(chance.randbytes(chance.randrange(20_000)))
            (self.folder / "srv" / account / "large").write_bytes(chance.randbytes(3 << 20))

    def works(self, pid: int) -> bool:
        """Whether a worker has a folder of an account open."""
        with contextlib.suppress(*GONE):
            return any(str(self.folder / "srv") + "/" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
        return False

    def vault(self) -> Vault:
        passphrase = (self.folder / "passphrase").read_bytes().strip()
        return Vault(FolderStorage(str(self.root)), str(self.folder / "state/vault"), passphrase)

    def assert_safe(self) -> None:
        """All points hold what they have to, and a check that reads everything finds nothing."""
        vault = self.vault()
        for id, content in self.points.items():
            found = in_vault(vault, id)
            assert {path.partition(b"/")[2]: data for path, data in found.items()} == content
        assert self.json("check", "--read-data")["damage"] == []

    def leftovers(self) -> list[str]:
        """What runs had in the making, in the vault and in the state folder; but for single small objects (the names of
        their spools begin with a dot), which may be another process's and go when they are an hour old."""
        places = [self.root / "tmp", self.root / "sessions", self.root / "tombstones", self.folder / "state"]
        files = [path for place in places if place.exists() for path in place.rglob("*") if path.is_file()]
        left = [path for path in files if not (path.name.startswith(".") and path.stat().st_size < 4096)]
        return [str(p) for p in left if self.root in p.parents or p.name.startswith("scratch") or p.suffix == ".new"]


def children(pid: int) -> list[int]:
    """The processes that a process has forked and that still run."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except GONE:
        return []


def until(what: str, done: Callable[[], T | None]) -> T:
    """Wait for something that must not take long, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE} seconds"
        time.sleep(0.005)
    return found


def ended(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def kill_somebody(running: subprocess.Popen[str], whom: str, after: float) -> None:
    """Kill -9 the whole run, its coordinating process alone, or one worker alone; whoever is left must end."""
    time.sleep(after)
    workers = children(running.pid)
    try:
        if whom == "all":
            os.killpg(running.pid, signal.SIGKILL)
        elif whom == "worker" and workers:
            os.kill(workers[0], signal.SIGKILL)
        else:
            os.kill(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was done already
    _, err = running.communicate(timeout=PATIENCE)
    until("the rest of a killed run ends", lambda: ended(running.pid))
    assert "Traceback" not in err
    if whom == "worker" and running.returncode >= 0:
        assert running.returncode in (0, 1, 2)
        assert bool(running.returncode) == bool(err), err


def kill_at_work(server: Server) -> Any:
    """Back up, and kill a worker that has an account's folder open; the document of that run."""
    running = server.start("--json")

    def at_work() -> int:
        return next(filter(server.works, children(running.pid)), 0) or -(running.poll() is not None)

    # Until the keys are there, a worker waits with a folder open.
    worker = until("a worker begins, or all are done", at_work)
    if worker > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    out, err = running.communicate(timeout=PATIENCE)
    document = json.loads(out)
    assert len(err.splitlines()) == len(document["failures"]), err
    assert running.returncode == (0 if not document["failures"] else 1 if document["points"] else 2)
    return document


def rounds(server: Server, seed: int, number: int) -> None:
    """Kill backup after backup; after each, all is safe and the next one completes and tidies up."""
    chance = random.Random(seed)
    began = time.monotonic()
    server.backup()
    duration = time.monotonic() - began
    for turn in range(number):
        server.change(chance)
        whom = ("all", "coordinator", "worker")[turn % 3]
        kill_somebody(server.start(), whom, chance.uniform(0.2, 1) * duration)
        if turn % 3 == 2:
            server.assert_safe()
            server.backup()
            assert server.leftovers() == []
    server.assert_safe()
    assert server.json("prune")["held_bytes"] == 0
    server.assert_safe()


def test_a_backup_killed_at_any_moment_harms_no_point_and_stops_no_other(tmp_path: Path) -> None:
    rounds(Server(tmp_path), seed=7, number=12)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(20))
def test_backups_killed_over_and_over_harm_nothing(tmp_path: Path, seed: int) -> None:
    rounds(Server(tmp_path), seed=seed, number=60)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_costs_the_accounts_it_was_at(tmp_path: Path, workers: int) -> None:
    server = Server(tmp_path, workers=workers)
    while not (document := kill_at_work(server))["failures"]:
        pass  # it had nothing left to do
    points, failed = ([each["account"] for each in document[what]] for what in ("points", "failures"))
    assert sorted(points + failed) == sorted(ACCOUNTS)
    if workers > 1:
        assert all("was killed; run the backup of this account again" in each["message"] for each in document["failures"])
        # It may have begun with the next while what it found in the last was still being written.
        assert len(failed) <= 2
    server.backup()
    server.assert_safe()
    assert server.leftovers() == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with in_memory(tmp_path, "size=24m") as place:
        yield place


def used(place: Path) -> int:
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_a_full_disk_ends_a_backup_with_one_line_and_stops_nothing_later(tmp_path: Path, small: Path) -> None:
    server = Server(tmp_path, small / "vault")
    server.backup()
    before = used(small)
    too_much = tmp_path / "srv/beta/too much"
    for size in (16 << 20, 40 << 20):
        too_much.write_bytes(os.urandom(size))
        status, _, err = server.run("backup")
        assert status == 2
        assert len(err.splitlines()) == 1 and "No space left on device; free some room there" in err
        assert server.leftovers() == []
        assert used(small) - before < 64 << 10, "a failed run keeps room"
        server.assert_safe()
    too_much.unlink()
    server.backup()
    server.assert_safe()
    subprocess.run(["mount", "-o", "remount,size=96m", small], check=True)
    too_much.write_bytes(os.urandom(40 << 20))
    server.backup()
    server.assert_safe()


def test_on_a_full_disk_prune_still_frees_room(tmp_path: Path, small: Path) -> None:
    server = Server(tmp_path, small / "vault")
    server.backup()
    extra = tmp_path / "srv/beta/extra"
    extra.write_bytes(os.urandom(5 << 20))
    server.backup()
    old = list(server.points)
    extra.unlink()
    for account in ACCOUNTS:
        (tmp_path / "srv" / account / "large").write_bytes(b"small now")
    server.backup()
    free = os.statvfs(small)
    (small / "filling").write_bytes(bytes(free.f_bfree * free.f_frsize - (64 << 10)))
    server.json("forget", *old)
    for id in old:
        server.points.pop(id)
    # What is dead as a whole goes first; there is room then to carry over what lives of the rest.
    assert server.json("prune")["freed_bytes"] > 4 << 20
    server.assert_safe()
    assert server.json("prune")["freed_bytes"] > 8 << 20
    server.assert_safe()
    assert server.leftovers() == []


def test_a_read_only_vault_restores_and_says_that_it_takes_no_backup(tmp_path: Path, small: Path) -> None:
    server = Server(tmp_path, small / "vault")
    server.backup()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    status, _, err = server.run("backup")
    assert status == 2
    assert len(err.splitlines()) == 1 and "Read-only file system; mount it writable" in err
    assert server.json("restore", "alpha", "--to", str(tmp_path / "here"))["status"] == "complete"
    server.assert_safe()
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)
    server.backup()
