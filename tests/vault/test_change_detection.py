"""What changed is read, whatever its size and mtime say; what did not change is not."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from strongroom.model import FileType
from strongroom.vault.series import Outcome
from strongroom.vault.state import State, unpack
from strongroom.vault.substitute import Copy
from tests.vault.plot import SERIES, Ground


@pytest.fixture(params=["fresh", "old"])
def aged(request: pytest.FixtureRequest) -> bool:
    """Whether the minute in which nothing is trusted has passed."""
    return bool(request.param == "old")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    (made.source / "a").mkdir()
    (made.source / "a/page.php").write_bytes(b"<?php echo 1;")
    (made.source / "a/other.php").write_bytes(b"<?php echo 2;")
    (made.source / "b").mkdir()
    (made.source / "b/image").write_bytes(bytes(range(256)) * 20)
    return made


def night(ground: Ground, aged: bool, level: str = "incremental") -> Outcome:
    """The next night's run; its point must be what the source holds."""
    if aged:
        ground.age()
    outcome = ground.backup(level)
    assert outcome.complete, outcome.remarks
    assert ground.read(outcome.id) == ground.live()
    return outcome


def test_what_is_old_and_unchanged_is_not_read_again(ground: Ground) -> None:
    first = ground.backup()
    assert first.counts.bytes_read == 13 + 13 + 5120
    again = night(ground, aged=True)
    assert again.counts.bytes_read == 0
    assert (again.counts.changed, again.counts.unchanged) == (0, 3)
    assert again.stored == 0


def test_what_is_fresh_is_read_again(ground: Ground) -> None:
    ground.backup()
    ground.rejuvenate()
    assert night(ground, aged=False).counts.bytes_read == 13 + 13 + 5120


def test_an_edit_that_keeps_size_and_mtime_is_found(ground: Ground, aged: bool) -> None:
    page = ground.source / "a/page.php"
    before = page.stat()
    ground.backup()
    page.write_bytes(b"<?php echo 9;")
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert page.stat().st_size == before.st_size
    assert night(ground, aged).counts.changed >= 1


def test_an_inode_swapped_under_the_same_stat_is_found(ground: Ground, aged: bool) -> None:
    page = ground.source / "a/page.php"
    before = page.stat()
    above = page.parent.stat()
    beside = ground.base / "beside"
    beside.write_bytes(b"<?php echo 7;")
    ground.backup()
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.rename(page)
    os.utime(page.parent, ns=(above.st_atime_ns, above.st_mtime_ns))
    assert page.stat().st_ino != before.st_ino
    assert night(ground, aged).counts.changed >= 1


@pytest.mark.parametrize("change", ["chmod", "chown", "xattr", "acl", "acl of a folder", "default acl", "xattr gone"])
def test_a_change_of_attributes_alone_is_found(ground: Ground, aged: bool, change: str) -> None:
    page, folder = ground.source / "a/page.php", ground.source / "a"
    os.setxattr(page, "user.old", b"1")
    ground.backup()
    match change:
        case "chmod":
            page.chmod(0o640)
        case "chown":
            os.chown(page, 1000, 33)
        case "xattr":
            os.setxattr(page, "user.note", b"x" * 2000)
        case "xattr gone":
            os.removexattr(page, "user.old")
        case "acl":
            subprocess.run(["setfacl", "-m", "u:33:r", page], check=True)
        case "acl of a folder":
            subprocess.run(["setfacl", "-m", "u:33:rx", folder], check=True)
        case "default acl":
            subprocess.run(["setfacl", "-d", "-m", "u:33:rx", folder], check=True)
    night(ground, aged)


@pytest.mark.parametrize("to", ["link", "folder", "fifo", "device", "file"])
def test_a_swap_of_type_is_found(ground: Ground, aged: bool, to: str) -> None:
    place = ground.source / ("b" if to == "file" else "a/page.php")
    ground.backup()
    if place.is_dir():
        (place / "image").unlink()
        place.rmdir()
        place.write_bytes(b"a file now")
    else:
        place.unlink()
    match to:
        case "link":
            place.symlink_to("/etc/passwd")
        case "folder":
            (place / "deep/deeper").mkdir(parents=True)
            (place / "deep/deeper/file").write_bytes(b"x")
        case "fifo":
            os.mkfifo(place)
        case "device":
            os.mknod(place, 0o600 | 0o020000, os.makedev(0, 0))
    night(ground, aged)


def test_a_folder_that_went_takes_with_it_what_was_below(ground: Ground, aged: bool) -> None:
    deep = ground.source / "b/c/d"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")
    ground.backup()
    (deep / "file").unlink()
    deep.rmdir()
    deep.parent.rmdir()
    assert night(ground, aged).counts.removed == 1


def test_a_broken_hard_link_is_found(ground: Ground, aged: bool) -> None:
    page, name = ground.source / "a/page.php", ground.source / "b/same.php"
    name.hardlink_to(page)
    first = ground.backup()
    assert ground.read(first.id)[b"data/b/same.php"].links == b"data/a/page.php"
    name.unlink()
    name.write_bytes(b"<?php echo 1;")
    os.utime(name, ns=(page.stat().st_atime_ns, page.stat().st_mtime_ns))
    second = night(ground, aged)
    assert ground.read(second.id)[b"data/b/same.php"].links == b""


class Busy:
    """Copies nothing. Whenever a file that begins with ``-`` was begun to be read, a byte of it changes, and its mtime."""

    suffixes = ("-nobody's",)

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"-" * 9_000_000)
        self._path, self._times = path, 0

    def wants(self, begins: bytes) -> bool:
        if begins.startswith(b"-"):
            self._times += 1
            with open(self._path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), b"+", self._times)
            os.utime(self._path, (self._times, self._times))
        return False

    def copy(self, folder: int, name: bytes, status: os.stat_result) -> Copy:
        raise NotImplementedError


def test_a_file_that_changed_under_the_first_night_is_read_in_the_second(ground: Ground) -> None:
    ground.substitute = Busy(ground.source / "a/log")
    first = ground.backup()
    assert not first.complete
    assert [remark.path for remark in first.remarks] == [b"data/a/log"]
    ground.substitute = None
    ground.backup()  # with the log at rest the point is complete again …
    assert night(ground, aged=True).counts.bytes_read == 0  # … and trusted from then on


def test_a_defect_forbids_trust_whatever_the_stat_says(ground: Ground) -> None:
    log = ground.source / "a/log"
    ground.substitute = Busy(log)
    first = ground.backup()
    assert not first.complete
    ground.substitute = None
    # All that is seen counts as old, and the stat of the file is just what the record says: it is read again.
    row = ground.vault().reader.row(ground.vault().snapshot(first.id), b"data/a/log")
    assert row is not None and row.ctime == log.stat().st_ctime_ns
    assert night(ground, aged=True).counts.bytes_read == log.stat().st_size


def test_sockets_and_links_to_others_files_are_told_every_night(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(ground.source / "a/socket"))
    foreign = ground.base / "foreign"
    foreign.write_bytes(b"of another user")
    os.chown(foreign, 4242, 4242)
    (ground.source / "b/theirs").hardlink_to(foreign)
    for _ in range(3):
        outcome = ground.backup()
        assert outcome.complete
        told = {remark.path: remark.message for remark in outcome.remarks}
        assert set(told) == {b"data/a/socket", b"data/b/theirs"}
        assert "hard link" in told[b"data/b/theirs"]
        ground.age()


def test_a_ctime_in_the_future_is_never_trusted(ground: Ground) -> None:
    """The clock ran ahead when the files were made, and was set back before the run: their ctimes lie in its future."""
    ground.backup()
    ground.age()
    state = ground.vault().state
    behind = time.time_ns() - 3600 * 10**9
    for _ in range(2):
        summaries = [msgspec.structs.replace(item, scan_started=behind) for item in state.summaries().values()]
        state.remember_summaries(summaries)
        assert ground.backup().counts.bytes_read == 13 + 13 + 5120


def test_without_the_cache_no_content_is_read_again(ground: Ground) -> None:
    first = ground.backup()
    ground.age()
    folder = Path(State(str(ground.state / ground.vault().header.id.hex())).folder) / "bases"
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()
    again = ground.backup()
    assert again.counts.bytes_read == 0
    assert again.complete
    assert ground.read(again.id) == ground.read(first.id) == ground.live()


def test_a_torn_cache_is_no_cache(ground: Ground) -> None:
    ground.backup()
    ground.age()
    for file in (ground.state).rglob("bases/*/*"):
        if file.name != "heads":
            file.write_bytes(file.read_bytes()[:-3])
    assert night(ground, aged=False).counts.bytes_read == 0


def test_changed_patterns_work_the_next_night(ground: Ground) -> None:
    first = ground.backup()
    ground.exclude = ("*.php", "/b")
    ground.age()
    second = ground.backup()
    assert set(ground.read(second.id)) == {b"data", b"data/a"}
    ground.exclude = ()
    ground.age()
    third = ground.backup()
    assert ground.read(third.id) == ground.read(first.id) == ground.live()


def test_full_reads_everything_and_stores_nothing_twice(ground: Ground) -> None:
    first = ground.backup()
    packs = sum(item.size for item in ground.storage.list("packs/"))
    second = night(ground, aged=True, level="full")
    assert second.level == "full"
    assert second.counts.bytes_read == first.counts.bytes_read
    assert second.stored == 0
    assert sum(item.size for item in ground.storage.list("packs/")) == packs


def test_differential_compares_with_the_last_full_one(ground: Ground) -> None:
    full = ground.backup("full")
    ground.age()
    (ground.source / "a/page.php").write_bytes(b"changed after the full one")
    ground.backup("incremental")
    ground.age()
    outcome = night(ground, aged=False, level="differential")
    assert outcome.parent == full.id
    assert outcome.counts.changed == 1  # though last night's incremental point has it
    assert outcome.counts.bytes_read == 26


def test_the_first_run_is_full_whatever_was_asked(ground: Ground) -> None:
    assert ground.backup("differential").level == "full"


def test_nothing_fresh_is_remembered_as_reusable(ground: Ground) -> None:
    ground.backup()
    ground.rejuvenate()
    state = ground.vault().state
    (head,) = state.base_heads(SERIES)
    known = state.load_base(state.base_path(SERIES, head.file))
    assert known is not None
    started = next(iter(state.summaries().values())).scan_started
    assert all(unpack(packed).newest > started - 60 * 10**9 for packed in known.values())


def test_the_types_are_those_that_were_asked_for(ground: Ground) -> None:
    (ground.source / "link").symlink_to("nowhere")
    assert ground.read(ground.backup().id)[b"data/link"].type is FileType.SYMLINK
