"""What is the same for all foreign clients, with a tool that can be told what goes wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from strongroom.clients.base import ExportFile, Failure, RunHead, Task
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.tool import TAIL, Trouble
from strongroom.clients.workroom import Workroom
from strongroom.errors import AwayError, BusyError, ClientError
from strongroom.model import Account, DatabaseCopy, Exclusion, Exported, Level, Location, Point, Status
from tests.clients.shelf import Shelf
from tests.fakes import Notes
from tests.whole.ground import OWNER

HEAD = RunHead(id="run", started="2026-11-25T00:00:00Z", server="server", workers=1)


class Bench:
    """One account's data, and a client over a `Shelf`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        (folder / "shelf").mkdir()
        self.tool = Shelf(folder / "shelf")
        self.exclude: tuple[Exclusion, ...] = ()
        self.select: tuple[bytes, ...] | None = None
        self.client = self.open()
        self.client.judge(())

    def open(self) -> ForeignClient:
        return ForeignClient("shelf", self.tool, Workroom(os.fsencode(self.folder / "state")), None, "digest")

    def backup(self, level: Level = Level.INCREMENTAL, exports: FakeExports | None = None) -> Point:
        place = Location(tree="data", path=os.fsencode(self.data), why="test", exclude=self.exclude, select=self.select)
        account = Account(name="site1", users=frozenset({OWNER}), locations=(place,))
        (outcome,) = self.client.backup([Task(account=account, level=level, exports=exports)], HEAD, Notes())
        assert not isinstance(outcome, Failure)
        return outcome

    def content(self, point: Point, path: bytes) -> bytes:
        entry = self.client.lookup(point, path)
        assert entry is not None
        return b"".join(data for _, _, data in self.client.contents(point, [entry]))

    def shelved(self, point: Point, path: str) -> Path:
        """Where a set has a file."""
        (series,) = (self.tool.folder / point.id).iterdir()
        return series / path


class FakeExports:
    """Two files, of which the second may fail."""

    opened: float | None = 1.0
    roots: Mapping[str, bytes] = {}

    def __init__(self, failure: str = "") -> None:
        self.failure, self.released = failure, 0

    def files(self) -> Iterator[ExportFile]:
        for name in (b"mysql/shop/before.sql", b"mysql/shop/tables/posts.sql"):
            file = _File(name)
            file.pieces = self._pieces(file)
            yield file

    def _pieces(self, file: ExportFile) -> Iterator[bytes]:
        yield b"-- "
        yield file.path
        file.failure = self.failure if file.path.endswith(b"posts.sql") else ""

    def result(self) -> Exported:
        status = Status.INCOMPLETE if self.failure else Status.COMPLETE
        copy = DatabaseCopy(engine="mysql", name="shop", status=status)
        return Exported(databases=(copy,), opened=self.opened, started=1.0, incomplete=bool(self.failure))

    def release(self) -> None:
        self.released += 1


class _File:
    def __init__(self, path: bytes) -> None:
        self.path, self.failure = path, ""
        self.pieces: Iterator[bytes] = iter(())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_file_that_changed_while_the_tool_read_is_read_again(bench: Bench) -> None:
    (bench.data / "file").write_bytes(b"before\n")
    (bench.data / "gone").write_bytes(b"gone\n")

    def meanwhile() -> None:
        (bench.data / "file").write_bytes(b"after\n")
        (bench.data / "new").write_bytes(b"new\n")
        (bench.data / "gone").unlink()

    bench.tool.meanwhile = meanwhile
    point = bench.backup()
    assert point.status is Status.COMPLETE
    assert bench.shelved(point, "data/file").read_bytes() == b"before\n"
    assert bench.content(point, b"data/file") == b"after\n"
    assert bench.content(point, b"data/new") == b"new\n"
    assert bench.client.lookup(point, b"data/gone") is None


def test_a_file_that_the_tool_could_not_read_is_read_by_us(bench: Bench) -> None:
    (bench.data / "folder").mkdir()
    (bench.data / "folder/file").write_bytes(b"content\n")
    bench.tool.troubles = lambda top: (Trouble(path=top + b"/data/folder", message="EIO"),)
    point = bench.backup()
    assert point.status is Status.COMPLETE
    bench.shelved(point, "data/folder/file").unlink()
    assert bench.content(point, b"data/folder/file") == b"content\n"


def test_trouble_with_nobody_knows_what_makes_a_point_incomplete(bench: Bench) -> None:
    bench.tool.troubles = lambda top: (Trouble(path=b"", message="something could not be read"),)
    point = bench.backup()
    assert point.status is Status.INCOMPLETE
    assert [remark.message for remark in point.warnings] == ["shelf: something could not be read"]


def test_trouble_with_a_name_that_nobody_saw_is_not_lost(bench: Bench) -> None:
    bench.tool.troubles = lambda top: (Trouble(path=top + b"/data/mangled?name", message="EIO"),)
    point = bench.backup()
    assert point.status is Status.INCOMPLETE
    assert [(remark.path, remark.message) for remark in point.warnings] == [(b"data/mangled?name", "shelf: EIO")]


def test_what_comes_back_is_checked(bench: Bench) -> None:
    (bench.data / "file").write_bytes(b"content\n")
    (bench.data / "lost").write_bytes(b"content\n")
    point = bench.backup()
    bench.shelved(point, "data/file").write_bytes(b"CONTENT\n")
    bench.shelved(point, "data/lost").unlink()
    with pytest.raises(ClientError, match="is not what was backed up"):
        bench.content(point, b"data/file")
    with pytest.raises(ClientError, match="did not bring"):
        bench.content(point, b"data/lost")


def test_what_is_left_out_is_hidden_from_the_tool(bench: Bench) -> None:
    (bench.data / "cache").mkdir()
    (bench.data / "cache/file").write_bytes(b"left out\n")
    (bench.data / "secret").write_bytes(b"left out\n")
    other = bench.folder / "other"
    other.write_bytes(b"another's\n")
    os.chown(other, OWNER + 1, OWNER + 1)
    os.link(other, bench.data / "linked")
    bench.exclude = (Exclusion(pattern=b"/cache", reason="test"), Exclusion(pattern=b"secret", reason="test"))
    point = bench.backup()
    assert point.status is Status.COMPLETE
    assert [remark.path for remark in point.warnings] == [b"data/linked"]
    assert [entry.path for entry in bench.client.ls(point, b"data")] == [b"data/linked"]
    assert list(bench.shelved(point, "data/cache").iterdir()) == []
    assert bench.shelved(point, "data/secret").read_bytes() == b""
    assert bench.shelved(point, "data/linked").read_bytes() == b""


def test_a_hard_link_all_of_whose_names_are_here_is_the_account_s(bench: Bench) -> None:
    (bench.data / "one").write_bytes(b"shared\n")
    os.chown(bench.data / "one", OWNER + 1, OWNER + 1)
    os.link(bench.data / "one", bench.data / "two")
    point = bench.backup()
    assert (point.status, point.warnings) == (Status.COMPLETE, ())
    assert bench.content(point, b"data/two") == b"shared\n"


def test_a_location_that_is_taken_in_part_is_carried_by_us(bench: Bench) -> None:
    (bench.data / "taken").write_bytes(b"taken\n")
    (bench.data / "other").write_bytes(b"not taken\n")
    bench.select = (b"/taken",)
    point = bench.backup()
    assert [entry.path for entry in bench.client.ls(point, b"data")] == [b"data/taken"]
    assert bench.content(point, b"data/taken") == b"taken\n"
    assert not bench.shelved(point, "data").exists()


def test_what_is_asked_for_by_name_may_be_on_another_file_system(bench: Bench) -> None:
    for name in ("var", "home"):
        (bench.data / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", bench.data / name], check=True)
    try:
        (bench.data / "var/table").write_bytes(b"rows\n")
        bench.select = (b"/var/table*", b"/home*/x")
        asked = bench.backup()
        bench.select = None
        whole = bench.backup()
    finally:
        for name in ("var", "home"):
            subprocess.run(["umount", bench.data / name], check=True)
    assert (asked.warnings, bench.content(asked, b"data/var/table")) == ((), b"rows\n")
    assert [remark.path for remark in whole.warnings] == [b"data/home", b"data/var"]


def test_exports_are_one_more_tree(bench: Bench) -> None:
    (bench.data / "file").write_bytes(b"content\n")
    exports = FakeExports()
    point = bench.backup(exports=exports)
    assert point.status is Status.COMPLETE
    assert [copy.name for copy in point.databases] == ["shop"]
    assert list((bench.folder / "state/work").iterdir()) == []
    assert bench.content(point, b"databases/mysql/shop/tables/posts.sql") == b"-- mysql/shop/tables/posts.sql"
    assert (point.synchrony.changed_in_gap, point.synchrony.changed_paths) == (1, (b"data/file",))
    assert exports.released == 1


def test_an_export_that_failed_is_named_and_not_kept(bench: Bench) -> None:
    point = bench.backup(exports=FakeExports("cut short"))
    assert point.status is Status.INCOMPLETE
    assert ("cut short", b"databases/mysql/shop/tables/posts.sql") in [
        (each.message, each.path) for each in point.warnings
    ]
    assert bench.client.lookup(point, b"databases/mysql/shop/tables/posts.sql") is None


def test_sets_of_changes_are_read_from_where_the_content_is(bench: Bench) -> None:
    bench.tool.alone = False
    (bench.data / "old").write_bytes(b"old\n")
    first = bench.backup(Level.FULL)
    (bench.data / "new").write_bytes(b"new\n")
    second = bench.backup(Level.INCREMENTAL)
    third = bench.backup(Level.DIFFERENTIAL)
    assert (second.parent, third.parent) == (first.id, first.id)
    assert [order.since for order in bench.tool.orders if not order.tail] == ["", first.id, first.id]
    bench.shelved(second, "data/old").unlink()  # what did not change is not in a set of changes
    assert bench.content(second, b"data/old") == b"old\n"
    assert [(read.level, read.bytes) for read in bench.client.plan(second, [b"data"]).reads] == [
        ("full", 4),
        ("incremental", 4),
    ]
    assert [read.level for read in bench.client.plan(second, [b"data/old"]).reads] == ["full"]


def test_a_missing_link_is_told(bench: Bench) -> None:
    bench.tool.alone = False
    (bench.data / "old").write_bytes(b"old\n")
    first = bench.backup(Level.FULL)
    second = bench.backup(Level.INCREMENTAL)
    entry = bench.client.lookup(second, b"data/old")
    assert entry is not None
    bench.client._holdings.all().pop(first.id)
    with pytest.raises(ClientError, match=f"needs point {first.id}, which is not there any more"):
        list(bench.client.contents(second, [entry]))
    assert bench.client.verify(read_data=0, repair=False, monitor=Notes()).damage[0].points == (second.id,)
    assert bench.backup(Level.INCREMENTAL).level is Level.FULL


def test_a_forgotten_full_stays_for_those_built_on_it(bench: Bench) -> None:
    bench.tool.alone = False
    (bench.data / "old").write_bytes(b"old\n")
    first = bench.backup(Level.FULL)
    second = bench.backup(Level.INCREMENTAL)
    bench.client.forget([first.id])
    assert bench.client.ids() == {second.id}
    assert bench.client.prune(dry_run=False).objects == 0
    assert bench.open().ids() == {second.id}
    assert bench.content(second, b"data/old") == b"old\n"
    bench.client.forget([second.id])
    assert bench.client.prune(dry_run=False).objects == 2


def test_a_client_that_failed_its_probe_makes_incomplete_points(bench: Bench) -> None:
    bench.client.judge(["full: file: mtime"])
    point = bench.backup()
    assert point.status is Status.INCOMPLETE
    assert "failed its probe: full: file: mtime" in point.warnings[0].message


def test_two_at_once_are_told_apart(bench: Bench) -> None:
    with bench.client._room.alone("wait"):
        with pytest.raises(BusyError, match="another command is at work"):
            bench.backup()


def rewrite(path: Path, content: bytes) -> None:
    assert path.write_bytes(content) == len(content)


def test_a_tool_that_can_makes_a_chain_into_a_full_set_itself(bench: Bench) -> None:
    """The sidecar, the files beside it and the second part of the last link are those of the new set too."""
    bench.tool.alone, bench.tool.replays = False, True
    (bench.data / "file").write_bytes(b"first\n")
    first = bench.backup(Level.FULL)
    (bench.data / "file").write_bytes(b"before\n")
    bench.tool.meanwhile = lambda: rewrite(bench.data / "file", b"late\n")
    second = bench.backup(Level.INCREMENTAL)
    bench.tool.meanwhile = lambda: None
    made = bench.client.carry(second, bench.client, Notes())
    assert bench.tool.consolidated == [[first.id, second.id]]
    assert (made.level, made.time, made.parent, made.seq) == (Level.FULL, second.time, None, 3)
    assert made.origin is not None and made.origin.point == second.id
    bench.client.forget([first.id, second.id])
    bench.client.prune(dry_run=False)
    for gone in (first.id, second.id):
        shutil.rmtree(bench.tool.folder / gone)
        shutil.rmtree(bench.tool.folder / f"{gone}{TAIL}")
    shutil.rmtree(bench.folder / "state/sidecars")
    bench.client = bench.open()
    assert bench.client.ids() == {made.id}
    assert bench.content(made, b"data/file") == b"late\n"
    third = bench.backup(Level.INCREMENTAL)
    assert third.parent == made.id
    assert [read.level for read in bench.client.plan(third, [b"data"]).reads] == ["full", "incremental"]


def test_a_tool_that_brings_nothing_is_not_asked_for_ever(tmp_path: Path) -> None:
    """The same is asked for once; after a few failures, and no success, all is given up."""
    bench = Bench(tmp_path)
    for number in range(20):
        (bench.data / f"{number}").write_bytes(b"%d\n" % number)
    point = bench.backup()
    shutil.rmtree(bench.tool.folder / point.id)
    bench.tool.partial = True
    asked: list[int] = []

    def bring(handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        asked.append(len(places))
        raise ClientError("there is nothing")

    bench.tool.bring = bring  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(ClientError, match="there is nothing"):
            bench.content(point, b"data/1")
    assert asked == [1]
    with pytest.raises(AwayError, match="nothing can be brought back"):
        for number in range(20):
            with contextlib.suppress(ClientError) if number < 7 else contextlib.nullcontext():
                bench.content(point, b"data/%d" % number)
    assert len(asked) == 8


def test_of_a_tool_that_knows_no_parts_a_whole_set_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.tool.alone = False
    (bench.data / "small").write_bytes(b"x" * 10)
    (bench.data / "large").write_bytes(b"x" * 1000)
    first = bench.backup()
    (bench.data / "new").write_bytes(b"x" * 5)
    second = bench.backup()
    bench.client = bench.open()
    assert [step.bytes for step in bench.client.plan(first, [b"data/small"]).reads] == [1010]
    assert [(step.run, step.level, step.bytes) for step in bench.client.plan(second, [b"data/new"]).reads] == [
        ("run", Level.INCREMENTAL, 5)
    ]
    assert [step.bytes for step in bench.client.plan(second, [b"data/new", b"data/small"]).reads] == [1010, 5]
