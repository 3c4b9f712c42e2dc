"""What is known to be lost, what heals, and what a later copy is worth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from strongroom.vault import session, sweep
from strongroom.vault.errors import DamagedError, VaultError
from strongroom.vault.verify import verify
from tests.vault.plot import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    (made.source / "a").mkdir()
    (made.source / "a/file").write_bytes(b"\xff\xd8\xff" + os.urandom(2000))
    (made.source / "other").write_bytes(b"other " * 100)
    return made


def flip(ground: Ground, id: str, path: bytes) -> None:
    """Damage the frame of a file's first chunk where the index finds it."""
    vault = ground.vault()
    row = vault.reader.row(vault.snapshot(id), path)
    assert row is not None
    place = vault.reader.locate(row.references[:20])
    file = next(ground.folder.rglob(place.pack.id.hex()))
    data = bytearray(file.read_bytes())
    data[place.offset + place.size - 3] ^= 1
    file.write_bytes(data)


def test_a_quick_check_does_not_forget_what_a_full_one_found(ground: Ground) -> None:
    first = ground.backup()
    flip(ground, first.id, b"data/a/file")
    ground.age()
    assert verify(ground.vault(), read_data=1.0).damage
    assert verify(ground.vault()).damage == ()  # it reads no content …
    second = ground.backup()  # … and this run knows all the same
    assert ground.read(second.id) == ground.read(first.id) == ground.live()


def test_what_was_healed_is_stored_once_and_a_full_check_clears_the_record(ground: Ground) -> None:
    first = ground.backup()
    flip(ground, first.id, b"data/a/file")
    ground.age()
    verify(ground.vault(), read_data=1.0)
    assert ground.storage.list(session.RECORDS)
    assert ground.backup().stored > 0
    ground.age()
    assert ground.backup().stored == 0
    assert verify(ground.vault(), read_data=1.0).damage == ()
    assert ground.storage.list(session.RECORDS) == []


def test_the_copy_that_healed_counts_after_prunes_and_lost_index_runs(ground: Ground) -> None:
    first = ground.backup()
    flip(ground, first.id, b"data/a/file")
    ground.age()
    verify(ground.vault(), read_data=1.0)
    (ground.source / "more").write_bytes(b"more")
    ground.backup()
    (ground.source / "a/file").unlink()  # from now on the copy is all there is
    last = ground.backup()
    sweep.forget(ground.vault(), [last.id])
    for lose in (False, True):
        if lose:
            for item in ground.storage.list("index/"):
                ground.storage.delete(item.name)
            ground.lose_state()
            verify(ground.vault(), repair=True)
        sweep.prune(ground.vault())
        assert len(ground.read(first.id)[b"data/a/file"].content) == 2003


def test_a_prune_refuses_to_leave_behind_what_it_cannot_read(ground: Ground) -> None:
    (ground.source / "large").write_bytes(b"\xff\xd8\xff" + os.urandom(900_000))
    first = ground.backup()
    (ground.source / "large").unlink()
    second = ground.backup()
    flip(ground, second.id, b"data/a/file")
    sweep.forget(ground.vault(), [first.id])
    before = {item.name for prefix in ("packs/", "index/", "snapshots/") for item in ground.storage.list(prefix)}
    for _ in range(2):
        with pytest.raises(DamagedError, match="prune deletes nothing"):
            sweep.prune(ground.vault())
        after = {item.name for prefix in ("packs/", "index/", "snapshots/") for item in ground.storage.list(prefix)}
        assert after == before
    # Once a check has found it lost for certain, it stands in nobody's way.
    verify(ground.vault(), read_data=1.0)
    assert sweep.prune(ground.vault()).freed > 800_000
    assert len(ground.vault().ids()) == 1


def test_an_unreadable_tombstone_stops_a_backup_only_while_a_sweeper_is_at_work(ground: Ground) -> None:
    first = ground.backup()
    ground.backup()
    sweep.forget(ground.vault(), [first.id])
    (stone,) = ground.storage.list(session.TOMBSTONES)
    (ground.folder / stone.name).write_bytes(b"unreadable")
    assert first.id in ground.vault().ids()
    assert ground.read(first.id) == ground.live()
    hold = ground.storage.hold(session.SWEEPER, b"")
    try:
        with pytest.raises(VaultError, match="while a prune is at work"):
            ground.backup()
    finally:
        hold.release()
    ground.backup()
    sweep.prune(ground.vault())
    assert ground.storage.list(session.TOMBSTONES) == []
    assert first.id in ground.vault().ids()


def test_packs_of_a_lost_index_run_are_found_by_the_next_night_itself(ground: Ground) -> None:
    first = ground.backup()
    ground.age()
    (ground.source / "new").write_bytes(b"new")
    second = ground.backup()
    ground.age()
    for item in ground.storage.list("index/"):
        ground.storage.delete(item.name)
    third = ground.backup()
    assert third.counts.bytes_read == 0
    assert ground.read(second.id) == ground.read(third.id) == ground.live()
    assert set(ground.read(first.id)) < set(ground.live())
    assert verify(ground.vault(), read_data=1.0).damage == ()


def test_what_lies_under_a_mount_is_not_in_the_point(ground: Ground) -> None:
    """Last night's folders below it must not stay, nor hide what comes behind them."""
    for name in ("a/deep/deeper", "b"):
        (ground.source / name).mkdir(parents=True)
        (ground.source / name / "file").write_bytes(b"x")
    ground.backup()
    ground.age()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", ground.source / "a"], check=True)
    try:
        (ground.source / "a/inside").write_bytes(b"of another file system")
        second = ground.backup()
    finally:
        subprocess.run(["umount", ground.source / "a"], check=True)
    assert second.complete
    assert [(remark.path, "mounted" in remark.message) for remark in second.remarks] == [(b"data/a", True)]
    vault = ground.vault()
    paths = [path for path, _ in vault.reader.directories(vault.snapshot(second.id))]
    assert paths == [b"data", b"data/a", b"data/b"]
    ground.age()
    third = ground.backup()
    assert ground.read(third.id) == ground.live()
