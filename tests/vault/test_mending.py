"""What is known to be lost, what heals, and what a later copy is worth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from strongroom.vault import session, sweep
from strongroom.vault.errors import BusyError, DamagedError, VaultError
from strongroom.vault.index import FramePlace
from strongroom.vault.mark import ids_in
from strongroom.vault.verify import verify
from tests.vault.plot import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    (made.source / "a").mkdir()
    (made.source / "a/file").write_bytes(b"\xff\xd8\xff" + os.urandom(2000))
    (made.source / "other").write_bytes(b"other " * 100)
    return made


def places_of(ground: Ground, id: str, path: bytes) -> list[FramePlace]:
    """The frames of a file's chunks where the index finds them."""
    vault = ground.vault()
    row = vault.reader.row(vault.snapshot(id), path)
    assert row is not None
    return [vault.reader.locate(chunk) for chunk in ids_in(vault.reader.references(row))]


def flip(ground: Ground, place: FramePlace) -> None:
    """Damage a frame."""
    file = next(ground.folder.rglob(place.pack.id.hex()))
    data = bytearray(file.read_bytes())
    data[place.offset + place.size - 3] ^= 1
    file.write_bytes(data)


def test_a_quick_check_does_not_forget_what_a_full_one_found(ground: Ground) -> None:
    first = ground.backup()
    flip(ground, places_of(ground, first.id, b"data/a/file")[0])
    ground.age()
    assert verify(ground.vault(), read_data=1.0).damage
    assert verify(ground.vault()).damage == ()  # it reads no content …
    second = ground.backup()  # … and this run knows all the same
    assert ground.read(second.id) == ground.read(first.id) == ground.live()


def test_what_was_healed_is_stored_once_and_a_full_check_clears_the_record(ground: Ground) -> None:
    first = ground.backup()
    flip(ground, places_of(ground, first.id, b"data/a/file")[0])
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
    flip(ground, places_of(ground, first.id, b"data/a/file")[0])
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
    flip(ground, places_of(ground, second.id, b"data/a/file")[0])
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


def pack_of(ground: Ground, id: str, path: bytes) -> Path:
    """The pack of a file's first chunk."""
    return next(ground.folder.rglob(places_of(ground, id, path)[0].pack.id.hex()))


def test_a_pack_that_is_gone_and_was_stored_again_is_out_of_the_index_after_a_prune(ground: Ground) -> None:
    first = ground.backup()
    ground.age()
    (ground.source / "other").write_bytes(b"edited")
    second = ground.backup()
    ground.age()
    pack_of(ground, first.id, b"data/a/file").unlink()
    (ground.source / "other").write_bytes(b"other " * 100)  # what both points had comes again, and heals them
    third = ground.backup()
    (found,) = verify(ground.vault()).damage
    assert (found.snapshots, "strongroom prune" in found.message) == ((), True)
    sweep.prune(ground.vault())
    assert verify(ground.vault(), read_data=1).damage == ()
    ground.lose_state()
    assert verify(ground.vault(), read_data=1).damage == ()
    assert [len(ground.read(point.id)) for point in (first, second, third)] == [4, 4, 4]


@pytest.mark.parametrize("harm", ["cut short", "flipped"])
def test_a_pack_that_lost_only_what_nothing_needs_is_written_anew_by_a_prune(ground: Ground, harm: str) -> None:
    for name, size in (("a/file", 6_000_000), ("large", 4_000_000)):
        (ground.source / name).write_bytes(b"\xff\xd8\xff" + os.urandom(size))
    first = ground.backup()
    for name in ("a/file", "other"):
        (ground.source / name).unlink()
    second = ground.backup()
    held = ground.read(second.id)
    (ground.source / "large").unlink()
    third = ground.backup()
    pack = pack_of(ground, first.id, b"data/a/file")
    assert pack == pack_of(ground, second.id, b"data/large")
    kept = places_of(ground, second.id, b"data/large")  # where files meet, one frame may hold chunks of both
    if harm == "flipped":
        flip(ground, next(place for place in places_of(ground, first.id, b"data/a/file") if place not in kept))
    else:
        os.truncate(pack, pack.stat().st_size - 1)
    sweep.forget(ground.vault(), [first.id])
    (found,) = verify(ground.vault(), read_data=1).damage
    assert found.snapshots == ()
    sweep.prune(ground.vault())
    assert not pack.exists()
    assert verify(ground.vault(), read_data=1).damage == ()
    assert (ground.read(second.id), ground.read(third.id)) == (held, ground.live())


def test_a_repair_removes_a_damaged_tombstone_and_says_so_unless_a_sweeper_is_at_work(ground: Ground) -> None:
    first = ground.backup()
    ground.backup()
    sweep.forget(ground.vault(), [first.id])
    (stone,) = ground.storage.list(session.TOMBSTONES)
    (ground.folder / stone.name).write_bytes(b"unreadable")
    (found,) = verify(ground.vault()).damage
    assert (found.object, "check --repair" in found.message) == (stone.name, True)
    told = Told()
    hold = ground.storage.hold(session.SWEEPER, b"")
    try:
        with pytest.raises(BusyError, match="a prune is at work"):
            verify(ground.vault(), repair=True, monitor=told)
    finally:
        hold.release()
    assert [item.name for item in ground.storage.list(session.TOMBSTONES)] == [stone.name]
    assert verify(ground.vault(), repair=True, monitor=told).damage == ()
    assert ground.storage.list(session.TOMBSTONES) == []
    assert (len(told.notes), stone.name in told.notes[0]) == (1, True)
    assert ground.read(first.id) == ground.live()


def test_who_watches_a_check_hears_how_many_bytes_of_how_many_were_read_back(ground: Ground) -> None:
    ground.backup()
    told = Told()
    checked = verify(ground.vault(), read_data=1, monitor=told)
    assert told.read == sorted(told.read)
    assert told.read[-1] == (checked.bytes_read, checked.bytes_read)
    assert {expected for _, expected in told.read} == {checked.bytes_read}


class Told:
    """Remembers what a check told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.read: list[tuple[int, int]] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def read_back(self, done: int, expected: int) -> None:
        self.read.append((done, expected))
