"""Trees that come from elsewhere: stored as if they had been walked, and nobody's parent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.clients.vault_entries import Tree
from strongroom.vault.feed import CarriedEntry
from strongroom.vault.record import Defect, Extra, Row, Type
from strongroom.vault.series import Outcome, Request, SeriesFailure
from strongroom.vault.verify import verify
from tests.vault.plot import SERIES, Ground

CONTENT = os.urandom(3 << 20)


class Trees:
    """Trees made of entries that a function gives."""

    names = ("data", "info")

    def __init__(self, make: Callable[[], Iterator[CarriedEntry]]) -> None:
        self._make = make

    def entries(self) -> Iterator[CarriedEntry]:
        yield from self._make()

    def release(self) -> None:
        pass


def folder(path: bytes, **more: object) -> CarriedEntry:
    return CarriedEntry(path, row(path, Type.DIR, 0o750, **more))


def row(path: bytes, kind: Type, mode: int, **more: object) -> Row:
    values = {"uid": 7, "gid": 8, "mtime_s": -5, "mtime_ns": 123456789, "ctime_s": 6, "inode": 99, "links": 1} | more
    return Row(path.rpartition(b"/")[2], kind, mode, **values)  # type: ignore[arg-type]


def carry(ground: Ground, make: Callable[[], Iterator[CarriedEntry]]) -> Outcome | SeriesFailure:
    request = Request(series=SERIES, level="full", sources=(), owners=frozenset(), feed=Trees(make))
    (outcome,) = ground.vault().backup([request], workers=1, describe=lambda _: b"", progress=lambda _: None)
    return outcome


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_what_was_carried_is_what_came(ground: Ground) -> None:
    whole = ground.base / "whole"
    whole.write_bytes(CONTENT)

    def make() -> Iterator[CarriedEntry]:
        fd = os.open(whole, os.O_RDONLY)
        large = ((b"user.large", b"v" * 5000), (b"user.small", b"v"))
        yield CarriedEntry(b"data", row(b"data", Type.DIR, 0o2755, extra=Extra(flags=0x10)), large)
        yield CarriedEntry(b"data/file", row(b"data/file", Type.FILE, 0o4640, size=len(CONTENT)), large, fd)
        holes = ((0, 4096), (1 << 20, 1 << 20))
        sparse = row(b"data/sparse", Type.FILE, 0o600, size=5 << 20, links=2)
        yield CarriedEntry(b"data/sparse", sparse, (), fd, holes)
        yield folder(b"data/sub")
        link = row(b"data/sub/link", Type.SYMLINK, 0o777, size=6, extra=Extra(target=b"target"))
        yield CarriedEntry(b"data/sub/link", link)
        yield folder(b"info")
        os.close(fd)

    outcome = carry(ground, make)
    assert isinstance(outcome, Outcome)
    assert (outcome.level, outcome.parent, outcome.counts.entries, outcome.counts.seen) == ("full", None, 6, 3)
    seen = ground.read(outcome.id)
    assert sorted(seen) == [b"data", b"data/file", b"data/sparse", b"data/sub", b"data/sub/link", b"info"]
    file = seen[b"data/file"]
    assert (file.content, file.mode, file.uid, file.gid) == (CONTENT, 0o4640, 7, 8)
    assert file.mtime == -5 * 10**9 + 123456789
    assert dict(file.xattrs) == {b"user.large": b"v" * 5000, b"user.small": b"v"} == dict(seen[b"data"].xattrs)
    sparse = bytearray(5 << 20)
    sparse[:4096] = CONTENT[:4096]
    sparse[1 << 20 : 2 << 20] = CONTENT[1 << 20 : 2 << 20]
    assert seen[b"data/sparse"].content == bytes(sparse)
    assert seen[b"data/sub/link"].target == b"target"
    assert not verify(ground.vault(), read_data=1.0, repair=False).damage


def test_what_the_vault_has_is_not_stored_again(ground: Ground) -> None:
    (ground.source / "file").write_bytes(CONTENT)
    ground.backup()

    def make() -> Iterator[CarriedEntry]:
        fd = os.open(ground.source / "file", os.O_RDONLY)
        yield folder(b"data")
        yield CarriedEntry(b"data/file", row(b"data/file", Type.FILE, 0o600, size=len(CONTENT)), (), fd)
        os.close(fd)

    outcome = carry(ground, make)
    assert isinstance(outcome, Outcome)
    assert outcome.stored < 10_000


def test_no_run_is_compared_with_it(ground: Ground) -> None:
    (ground.source / "file").write_bytes(b"content\n")
    first = ground.backup()
    ground.age()
    carried = carry(ground, lambda: iter([folder(b"data")]))
    assert isinstance(carried, Outcome)
    assert carried.seq == first.seq + 1
    second = ground.backup()
    assert (second.parent, second.counts.unchanged, second.counts.bytes_read) == (first.id, 1, 0)
    assert second.seq == carried.seq + 1


def test_what_came_first_of_all_is_not_trusted_either(ground: Ground) -> None:
    """Its rows may be those of these very inodes: what they held meanwhile nobody here has seen."""
    (ground.source / "file").write_bytes(b"content\n")
    status = (ground.source / "file").stat()

    def make() -> Iterator[CarriedEntry]:
        yield folder(b"data")
        now = {
            "uid": status.st_uid, "gid": status.st_gid, "size": status.st_size, "inode": status.st_ino,
            "mtime_s": status.st_mtime_ns // 10**9, "mtime_ns": status.st_mtime_ns % 10**9,
            "ctime_s": status.st_ctime_ns // 10**9, "ctime_ns": status.st_ctime_ns % 10**9,
        }  # fmt: skip
        yield CarriedEntry(b"data/file", row(b"data/file", Type.FILE, 0o644, **now, extra=Extra(extents=())))

    assert isinstance(carry(ground, make), Outcome)
    second = ground.backup()
    assert second.counts.bytes_read == status.st_size
    assert ground.read(second.id)[b"data/file"].content == b"content\n"


def test_a_defect_is_kept_and_told(ground: Ground) -> None:
    def make() -> Iterator[CarriedEntry]:
        yield folder(b"data", extra=Extra(defect=Defect.CHANGED, remark="attributes could not be read"))
        lost = Extra(defect=Defect.UNREAD, remark="could not be read: EIO")
        yield CarriedEntry(b"data/lost", row(b"data/lost", Type.FILE, 0o600, size=10, extra=lost))

    outcome = carry(ground, make)
    assert isinstance(outcome, Outcome)
    vault = ground.vault()
    entries = list(Tree(vault.reader, vault.snapshot(outcome.id)).walk([b"data"]))
    assert [(entry.path, entry.defect, entry.stored) for entry in entries] == [
        (b"data", "attributes could not be read", 0),
        (b"data/lost", "could not be read: EIO", 0),
    ]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ([b"data", b"data/b", b"data/a"], "comes out of order"),
        ([b"data", b"data/a", b"data/a"], "comes out of order"),
        ([b"data", b"data/a", b"data/b/c"], "comes out of order"),
        ([b"data", b"data/.."], "is no name for a file"),
        ([b"etc"], "is in no tree that is carried"),
    ],
)
def test_what_no_tree_can_hold_is_refused(ground: Ground, paths: list[bytes], told: str) -> None:
    outcome = carry(ground, lambda: (folder(path) for path in paths))
    assert isinstance(outcome, SeriesFailure)
    assert told in outcome.message
    assert ground.vault().ids() == set()


def test_a_source_that_fails_leaves_no_snapshot(ground: Ground) -> None:
    def make() -> Iterator[CarriedEntry]:
        yield folder(b"data")
        raise ValueError("the other client's disk is gone")

    outcome = carry(ground, make)
    assert isinstance(outcome, SeriesFailure)
    assert outcome.message == "the other client's disk is gone"
    assert ground.vault().ids() == set()
