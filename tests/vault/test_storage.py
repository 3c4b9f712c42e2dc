"""What every storage has to keep to: a folder, and the double that loses power."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.vault.errors import AbsentError, StorageError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.storage import Storage
from tests.vault.ground import in_memory
from tests.vault.unsafe_storage import Disk

# Makes the storage anew, as another process sees the same place.
Process = Callable[[], Storage]


def a_folder(folder: Path) -> Process:
    return lambda: FolderStorage(str(folder / "vault"))


def an_unsafe_disk(folder: Path) -> Process:
    disk = Disk(str(folder / "spools"))
    return disk.process


@pytest.fixture(params=[a_folder, an_unsafe_disk])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Process:
    made: Process = request.param(tmp_path)
    return made


def names(storage: Storage, prefix: str) -> list[str]:
    return sorted(item.name for item in storage.list(prefix))


def in_a_child(work: Callable[[], object]) -> int:
    """Run something in a forked process; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_is_put_is_read_back_whole_and_in_parts(process: Process) -> None:
    process().put("packs/ab/one", b"0123456789")
    storage = process()
    assert storage.get("packs/ab/one") == b"0123456789"
    assert storage.get("packs/ab/one", 3) == b"3456789"
    assert storage.get("packs/ab/one", 3, 4) == b"3456"
    assert storage.get("packs/ab/one", 8, 4) == b"89"
    assert storage.get("packs/ab/one", 12, 4) == b""


def test_what_is_not_there_is_absent_and_may_be_deleted(process: Process) -> None:
    storage = process()
    with pytest.raises(AbsentError):
        storage.get("packs/none")
    storage.delete("packs/none")
    assert storage.list("packs/") == []


def test_a_listing_shows_every_put_and_delete_before_it_whoever_did_it(process: Process) -> None:
    one, other = process(), process()
    before = one.now()
    for number in range(20):
        (one, other)[number % 2].put(f"packs/{number % 3}/{number}", bytes(number))
        assert len(one.list("packs/")) == len(other.list("packs/")) == number + 1
    assert {item.name: item.size for item in one.list("packs/")} == {f"packs/{n % 3}/{n}": n for n in range(20)}
    assert all(item.received >= before - 1 for item in one.list("packs/"))
    other.delete("packs/0/0")
    assert "packs/0/0" not in names(one, "packs/")
    assert names(one, "index/") == []


def test_put_if_absent_lets_one_win(process: Process) -> None:
    one, other = process(), process()
    assert one.put_if_absent("vault", b"first") is True
    assert other.put_if_absent("vault", b"second") is False
    assert one.get("vault") == other.get("vault") == b"first"


def test_a_spool_becomes_an_object_from_another_process(process: Process) -> None:
    storage = process()
    spool = storage.spool()
    spool.append(b"written here, ")

    def work() -> None:
        theirs = storage.spool(spool.path)
        theirs.truncate(14)
        theirs.append(b"and there")
        theirs.sync()
        theirs.close()

    assert in_a_child(work) == 0
    storage.put("packs/x", storage.spool(spool.path))
    assert storage.get("packs/x") == b"written here, and there"
    assert not os.path.exists(spool.path)


def test_a_discarded_spool_is_gone_and_none_is_listed(process: Process) -> None:
    storage = process()
    spool = storage.spool()
    spool.append(b"x")
    assert storage.list("packs/") == storage.list("sessions/") == []
    spool.discard()
    assert not os.path.exists(spool.path)


def test_a_hold_is_alive_until_it_is_released(process: Process) -> None:
    storage = process()
    hold = storage.hold("sessions/a", b"note")
    assert process().alive("sessions/a")
    assert storage.get("sessions/a") == b"note"
    hold.release()
    assert not process().alive("sessions/a")
    assert names(storage, "sessions/") == []


def test_a_hold_is_kept_once(process: Process) -> None:
    hold = process().hold("sessions/a", b"note")
    with pytest.raises(FileExistsError):
        process().hold("sessions/a", b"note")
    assert process().alive("sessions/a")
    hold.release()


def test_a_child_that_abandons_a_hold_does_not_end_it(process: Process) -> None:
    storage = process()
    hold = storage.hold("sessions/a", b"note")
    assert in_a_child(hold.abandon) == 0
    assert process().alive("sessions/a")
    hold.release()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "vault"


def test_a_hold_dies_with_its_process_and_its_spools_are_swept_at_once(folder: Path) -> None:
    ours = FolderStorage(str(folder))
    hold = ours.hold("sessions/ours", b"")
    kept = ours.spool()

    def work() -> None:
        theirs = FolderStorage(str(folder))
        theirs.hold("sessions/theirs", b"")
        theirs.spool().append(bytes(1000))
        os._exit(0)

    assert in_a_child(work) == 0
    storage = FolderStorage(str(folder))
    assert names(storage, "sessions/") == ["sessions/ours", "sessions/theirs"]
    assert storage.alive("sessions/ours") and not storage.alive("sessions/theirs")
    assert storage.sweep_spools() == 1000
    assert names(storage, "tmp/") == ["tmp/" + os.path.basename(kept.path)]
    hold.release()
    storage.sweep_spools()
    assert names(storage, "tmp/") == []


def test_a_spool_of_no_hold_is_swept_when_it_is_old(folder: Path) -> None:
    storage = FolderStorage(str(folder))
    storage.spool()
    old = storage.spool()
    os.utime(old.path, (time.time() - 7200,) * 2)
    storage.sweep_spools()
    assert len(storage.list("tmp/")) == 1 and not os.path.exists(old.path)


def test_a_spool_never_opens_what_is_there(folder: Path) -> None:
    storage = FolderStorage(str(folder))
    spool = storage.spool()
    with pytest.raises(FileExistsError):
        type(spool)(spool.path, create=True)  # type: ignore[call-arg]


class Watched:
    """Knows which file or folder each fsync was for, and what was visible then."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.synced: list[Path] = []
        self.visible: list[list[str]] = []

    def __call__(self, fd: int) -> None:
        os.fsync(fd)
        self.synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
        self.visible.append(sorted(p.name for p in self.root.rglob("*") if p.is_file() and p.parent.name != "tmp"))


def test_bytes_are_synced_before_they_have_their_name_and_folders_up_to_the_first_by_the_barrier(
    tmp_path: Path,
) -> None:
    root = tmp_path / "new" / "vault"
    watched = Watched(root)
    storage = FolderStorage(str(root), fsync=watched)
    storage.put("packs/ab/one", b"1")
    assert [path.parent for path in watched.synced] == [root / "tmp"]
    assert watched.visible == [[]], "the name was there before the bytes were synced"
    watched.synced.clear()
    storage.barrier()
    folders = {root / "packs/ab", root / "packs", root, tmp_path / "new", tmp_path}
    assert set(watched.synced) == folders
    watched.synced.clear()
    storage.barrier()
    assert watched.synced == []
    storage.delete("packs/ab/one")
    storage.barrier()
    assert watched.synced == [root / "packs/ab"]


def test_folders_that_another_run_made_are_synced_too(folder: Path) -> None:
    FolderStorage(str(folder)).put("packs/ab/one", b"1")
    watched = Watched(folder)
    storage = FolderStorage(str(folder), fsync=watched)
    storage.put("packs/ab/two", b"2")
    watched.synced.clear()
    storage.barrier()
    assert {folder / "packs/ab", folder / "packs", folder} <= set(watched.synced)
    watched.synced.clear()
    storage.distrust("packs/")
    storage.barrier()
    assert set(watched.synced) == {folder, folder / "packs", folder / "packs/ab"}


def test_a_failed_sync_of_a_folder_fails_the_barrier_and_one_of_a_file_the_put(folder: Path) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    storage = FolderStorage(str(folder))
    storage.put("index/a", b"a")
    storage._fsync = broken
    with pytest.raises(StorageError, match=r"cannot sync .*/index: Input/output error; check the disk|cannot sync"):
        storage.barrier()
    with pytest.raises(StorageError, match="cannot sync"):
        storage.put("index/b", b"b")
    assert names(storage, "index/") == ["index/a"]
    assert names(storage, "tmp/") == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with in_memory(tmp_path, "size=256k") as small:
        storage = FolderStorage(str(small / "vault"))
        storage.put("packs/fits", bytes(10_000))
        with pytest.raises(StorageError, match=r"^cannot write .*: No space left on device; free some room there"):
            storage.put("packs/large", bytes(1 << 20))
        assert [names(storage, prefix) for prefix in ("packs/", "tmp/")] == [["packs/fits"], []]
        storage.put("packs/fits too", bytes(10_000))
        spool = storage.spool()
        with pytest.raises(StorageError, match="No space left"):
            spool.append(bytes(1 << 20))
        spool.discard()
        assert storage.list("tmp/") == []


def test_a_read_only_file_system_is_read_and_every_change_is_one_line(tmp_path: Path) -> None:
    with in_memory(tmp_path) as place:
        FolderStorage(str(place / "vault")).put("packs/one", b"1")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        storage = FolderStorage(str(place / "vault"))
        assert storage.get("packs/one") == b"1"
        assert names(storage, "packs/") == ["packs/one"]
        changes: list[Callable[[], object]] = [
            lambda: storage.put("packs/two", b"2"),
            lambda: storage.delete("packs/one"),
            lambda: storage.hold("sessions/s", b""),
            lambda: storage.put_if_absent("vault", b""),
        ]
        for change in changes:
            with pytest.raises(StorageError, match=r"^cannot \w+ .*: Read-only file system; mount it writable"):
                change()
