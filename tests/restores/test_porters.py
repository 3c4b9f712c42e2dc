"""What processes beside the restore's own write is no different from what it would have written itself."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from strongroom.errors import RestoreError
from strongroom.model import Entry, FileType, Status, Time
from strongroom.restores.porters import LOAD_FILES
from strongroom.restores.request import RestoreRequest, RestoreResult
from strongroom.restores.restore import restore
from tests.restores.backup import Memory, Quiet, picture

FOLDERS = 8
# One full load, and a rest that is carried too.
EACH = LOAD_FILES // FOLDERS + 20


def path(folder: int, number: int) -> bytes:
    return b"data/d%d/f%04d" % (folder, number)


def filled(each: int) -> Memory:
    """A point with so many files in each of its folders."""
    client = Memory()
    client.add(Entry(path=b"data", type=FileType.DIR, mode=0o755, uid=0, gid=0, mtime=Time(1)))
    for folder in range(FOLDERS):
        client.add(Entry(path=b"data/d%d" % folder, type=FileType.DIR, mode=0o751, uid=7, gid=8, mtime=Time(5, folder)))
        for number in range(each):
            content = b"%d of %d" % (number, folder)
            client.add(
                Entry(
                    path=path(folder, number), type=FileType.FILE, mode=0o640, uid=1001, gid=1002, mtime=Time(9, number),
                    size=len(content), stored=len(content), inode=folder * 10_000 + number, content=((0, content),),
                )
            )  # fmt: skip
    return client


@pytest.fixture
def many() -> Memory:
    """A point with more files than one porter carries at once."""
    return filled(EACH)


def back(client: Memory, to: Path, porters: int = 2) -> RestoreResult:
    request = RestoreRequest(id="1", point=client.point(), paths=(b"data",), to=os.fsencode(to))
    return restore(request, client, Quiet(), porters=porters)


def test_porters_bring_back_what_the_restore_itself_would(tmp_path: Path) -> None:
    many = filled(2 * EACH)  # the third load waits for a porter
    names = (path(0, 1), path(3, 7), path(7, 19))
    for name in names:
        content = many.entries[names[0]].content
        size = many.entries[names[0]].size
        many.change(name, link_group=b"one", links=3, content=content, size=size, stored=size, mtime=Time(9, 1))
    many.change(path(2, 2), xattrs=((b"user.note", b"kept"),), mode=0o4755)
    many.change(path(4, 4), size=5 << 20)  # the rest is a hole
    alone, carried = back(many, tmp_path / "alone", porters=0), back(many, tmp_path / "carried")

    assert carried.status is Status.COMPLETE and carried.warnings == ()
    assert carried.files == alone.files and carried.files.written == len(many.entries)
    assert picture(os.fsencode(tmp_path / "carried/data")) == picture(os.fsencode(tmp_path / "alone/data"))
    assert len({os.stat(os.path.join(os.fsencode(tmp_path / "carried"), name)).st_ino for name in names}) == 1
    assert os.stat(tmp_path / "carried/data/d4/f0004").st_blocks * 512 < 1 << 20


def test_the_content_is_fetched_by_porters(many: Memory, tmp_path: Path) -> None:
    back(many, tmp_path / "out")
    assert many.fetched == []  # in this process


def test_a_little_is_fetched_by_the_restore_itself(many: Memory, tmp_path: Path) -> None:
    request = RestoreRequest(id="1", point=many.point(), paths=(b"data/d1",), to=os.fsencode(tmp_path / "out"))
    restore(request, many, Quiet(), porters=2)
    assert len(many.fetched) == EACH


def test_what_a_porter_has_to_say_is_said(many: Memory, tmp_path: Path) -> None:
    many.broken.add(path(1, 5))
    many.change(path(1, 6), mtime=Time(1 << 40))
    result = back(many, tmp_path / "out")
    assert result.status is Status.INCOMPLETE
    said = {remark.path: remark.message for remark in result.warnings}
    assert said.keys() == {path(1, 5), path(1, 6)}
    assert "not what was stored" in said[path(1, 5)] and "is kept as" in said[path(1, 6)]
    assert not (tmp_path / "out/data/d1/f0005").exists() and (tmp_path / "out/data/d1/f0006").exists()
    assert result.files.written == len(many.entries) - 1


def test_other_names_of_what_a_porter_lost_are_named(many: Memory, tmp_path: Path) -> None:
    for name in (path(1, 5), path(6, 5)):
        many.change(name, link_group=b"one", links=2)
        many.broken.add(name)
    result = back(many, tmp_path / "out")
    assert [remark.path for remark in result.warnings] == [path(1, 5), path(6, 5)]


def test_a_porter_that_is_killed_stops_the_restore_and_leaves_nothing(many: Memory, tmp_path: Path) -> None:
    own = os.getpid()

    def killed(entry: Entry, offset: int) -> None:
        if entry.path == path(2, 9) and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)

    many.hook = killed
    with pytest.raises(RestoreError, match="was killed"):
        back(many, tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_fault_in_a_porter_is_one_line(many: Memory, tmp_path: Path) -> None:
    def fault(entry: Entry, offset: int) -> None:
        if entry.path == path(2, 9):
            raise ZeroDivisionError("oops")

    many.hook = fault
    with pytest.raises(RestoreError, match="bug in Strongroom: ZeroDivisionError"):
        back(many, tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_no_room_for_what_porters_carry_stops_the_restore(many: Memory, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
    try:
        with pytest.raises(RestoreError, match=r"stopped at .*No space left"):
            back(many, small / "out")
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def children() -> set[str]:
    """The processes that this one has forked and not waited for: servers of other tests are among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_an_interrupt_ends_the_porters_first(many: Memory, tmp_path: Path) -> None:
    own = os.getpid()

    def interrupting(entry: Entry, offset: int) -> None:
        if entry.path == path(0, 0):
            os.kill(own, signal.SIGUSR1)
            signal.pause()

    many.hook = interrupting
    others = children()
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            back(many, tmp_path / "out")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert os.listdir(tmp_path) == []
    assert children() <= others
