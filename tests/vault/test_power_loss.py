"""The machine stops after any operation of a backup or a prune: nothing that was told is lost, and work goes on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from strongroom.vault import sweep
from strongroom.vault.errors import StorageError
from strongroom.vault.series import Outcome
from strongroom.vault.verify import verify
from tests.vault.ground import Content, Ground, assert_safe, in_memory, in_vault, request, run
from tests.vault.unsafe_storage import Disk, Done


class Recorded:
    """One run, with the state folder and what had been told as they were before each of its operations."""

    def __init__(self, ground: Ground, disk: Disk, work: Callable[[], object]) -> None:
        self.ground, self.disk = ground, disk
        self._told: list[dict[str, Content]] = []
        disk.begin()
        disk.watch = self._look
        work()
        self._keep()
        disk.watch = lambda done: None

    def _look(self, done: Done) -> None:
        if done.what not in ("get", "list"):
            self._keep()

    def _keep(self) -> None:
        self.ground.state_copy(str(len(self._told)))
        self._told.append(dict(self.ground.told))

    def moments(self) -> Iterator[tuple[Disk, Path, dict[str, Content]]]:
        """Before each operation and after the last: the disk, the state folder, and what had been told."""
        for number, told in enumerate(self._told):
            yield self.disk.after_kill(number), self.ground.folder / "states" / str(number), told


def states(kept: Path, folder: Path) -> Iterator[Path]:
    """The state folder after the crash: as it was, and gone."""
    for name, there in (("kept", True), ("gone", False)):
        state = folder / name
        shutil.rmtree(state, ignore_errors=True)
        if there and kept.exists():
            shutil.copytree(kept, state)
        yield state


def picture(folder: Path) -> frozenset[tuple[str, bytes]]:
    """Every file of a folder, to tell whether two are the same."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return frozenset((str(path.relative_to(folder)), blake3(path.read_bytes()).digest()) for path in files)


def assert_goes_on(ground: Ground, disk: Disk, state: Path, told: dict[str, Content]) -> None:
    """A new process finds all that was told; the next backup and the next prune work, and lose nothing either."""
    assert_safe(ground.vault(disk, state), told)
    before = dict(ground.told)
    ground.told = dict(told)
    ground.backup(ground.vault(disk, state))
    assert_safe(ground.vault(disk, state), ground.told)
    sweep.prune(ground.vault(disk, state))
    assert_safe(ground.vault(disk, state), ground.told)
    assert [name for name in disk.objects if name.startswith(("sessions/", "tombstones/"))] == []
    ground.told = before


def first_backup(ground: Ground, disk: Disk) -> Recorded:
    return Recorded(ground, disk, lambda: ground.backup(ground.vault(disk)))


def next_backup(ground: Ground, disk: Disk) -> Recorded:
    ground.backup(ground.vault(disk))
    ground.change(1)
    return Recorded(ground, disk, lambda: ground.backup(ground.vault(disk)))


def backup_with_a_feed(ground: Ground, disk: Disk) -> Recorded:
    ground.change_made(0)
    ground.backup(ground.vault(disk))
    ground.change(1)
    ground.change_made(1)
    made = Recorded(ground, disk, lambda: ground.backup(ground.vault(disk)))
    assert "features/read-prefixed" in disk.objects, "nothing was stored against the first night's"
    return made


def prune_with_repacking(ground: Ground, disk: Disk) -> Recorded:
    for night in range(3):
        ground.change(night)
        told = ground.backup(ground.vault(disk))
    old = sorted(set(ground.told) - set(told))
    packs = {name for name in disk.objects if name.startswith("packs/")}

    def work() -> None:
        for id in old:
            ground.told.pop(id)
        sweep.forget(ground.vault(disk), old)
        swept = sweep.prune(ground.vault(disk))
        assert swept.freed > 0

    made = Recorded(ground, disk, work)
    assert {name for name in disk.objects if name.startswith("packs/")} - packs, "nothing was carried over"
    assert len(packs - set(disk.objects)) >= 2
    return made


WORKS = {
    "first backup": first_backup,
    "next backup": next_backup,
    "next backup with a feed": backup_with_a_feed,
    "forget and prune": prune_with_repacking,
}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with in_memory(tmp_path) as folder:
        yield Ground(folder)


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
def test_after_a_power_loss_at_any_moment_all_that_was_told_is_there(
    ground: Ground, work: Callable[[Ground, Disk], Recorded]
) -> None:
    recorded = work(ground, ground.disk())
    tried: set[object] = set()
    for crashed, kept, told in recorded.moments():
        for objects in crashed.surviving():
            for state in states(kept, ground.folder):
                case = (frozenset(objects), frozenset(told), picture(state))
                if case not in tried:
                    tried.add(case)
                    assert_goes_on(ground, crashed.started_again(objects), state, told)
    assert len(tried) > 10


@pytest.mark.parametrize("next_work", ["backup", "prune"])
def test_what_a_killed_run_left_is_not_relied_on_before_it_is_durable(ground: Ground, next_work: str) -> None:
    recorded = next_backup(ground, ground.disk())
    states = ground.folder / "states"
    for number, (killed, kept, told) in enumerate(recorded.moments()):
        ground.told, ground.state = dict(told), states / f"{number} again"
        shutil.copytree(kept, ground.state)
        if next_work == "backup":
            ground.backup(ground.vault(killed))
        else:
            sweep.prune(ground.vault(killed))
        for objects in killed.surviving():
            assert_safe(ground.vault(killed.started_again(objects), ground.folder / "gone"), ground.told)
            shutil.rmtree(ground.folder / "gone")
            assert_safe(ground.vault(killed.started_again(objects)), ground.told)


@pytest.mark.parametrize("seed", range(3))
def test_a_weaker_storage_may_tear_what_was_not_synced_and_no_earlier_point_suffers(ground: Ground, seed: int) -> None:
    recorded = next_backup(ground, ground.disk())
    for number, (crashed, kept, told) in enumerate(recorded.moments()):
        objects, cut = crashed.torn(seed * 100 + number)
        if not cut:
            continue
        disk = crashed.started_again(objects)
        vault = ground.vault(disk, kept)
        for id, content in told.items():
            assert in_vault(vault, id) == content
        ground.told = dict(told)
        ground.backup(ground.vault(disk, kept))
        verify(ground.vault(disk, kept), repair=True)
        sweep.forget(
            ground.vault(disk, kept), [name.removeprefix("snapshots/") for name in cut if "snapshots/" in name]
        )
        sweep.prune(ground.vault(disk, kept))
        assert_safe(ground.vault(disk, kept), ground.told)


def test_a_snapshot_is_put_when_all_it_needs_is_durable_and_told_when_it_is_durable_itself(ground: Ground) -> None:
    disk = ground.disk()
    for night in range(2):
        ground.change(night)
        disk.begin()
        for told in run(ground.vault(disk), [request(account) for account in ground.accounts]):
            assert isinstance(told, Outcome)
            assert f"snapshots/{told.id}" in disk.durable
        kinds = [done.name.partition("/")[0] or done.what for done in disk.log if done.what in ("put", "barrier")]
        order = [kind for kind, _ in itertools.groupby(kinds)]
        assert order[0] == "sessions"
        # Once; more often on a machine so slow that who is ready does not wait for the others.
        commit = ["packs", "barrier", "index", "barrier", "snapshots", "barrier"]
        assert order[1:] == commit * (len(order) // len(commit))


def test_a_writer_shows_its_session_before_it_looks_and_looks_for_tombstones_first(ground: Ground) -> None:
    disk = ground.disk()
    for night in range(2):
        ground.change(night)
        seen: list[str] = []
        disk.watch = lambda done, seen=seen: seen.append(f"{done.what} {done.name.partition('/')[0]}")  # type: ignore[misc]
        ground.backup(ground.vault(disk))
        disk.watch = lambda done: None
        order = ["put sessions", "list tombstones", "list index", "put packs", "put snapshots", "delete sessions"]
        assert sorted(order, key=seen.index) == order
        assert seen.index("list tombstones") < seen.index("list snapshots")
        last = len(seen) - 1 - seen[::-1].index("list sessions")
        assert last < seen.index("put snapshots") < seen.index("delete sessions")


@pytest.mark.parametrize("number", range(3))
def test_a_failed_barrier_ends_the_run_and_nothing_is_told(ground: Ground, number: int) -> None:
    disk = ground.disk()
    ground.backup(ground.vault(disk))
    told = dict(ground.told)
    ground.change(1)
    disk.begin()
    disk.fail = lambda done: done.what == "barrier" and sum(item.what == "barrier" for item in disk.log) == number
    outcomes: list[object] = []
    with pytest.raises(StorageError, match="Input/output error"):
        outcomes += run(ground.vault(disk), [request(account) for account in ground.accounts])
    assert outcomes == []
    after = [done.name.partition("/")[0] for done in disk.log if done.what == "put"]
    assert ("index" in after, "snapshots" in after) == (number > 0, number > 1)
    for objects in disk.surviving():
        for state in states(ground.state, ground.folder):
            assert_goes_on(ground, disk.started_again(objects), state, told)
