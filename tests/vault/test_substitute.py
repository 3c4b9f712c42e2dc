"""Files that are copied by the means of their program: which, when again, and what is kept where there is no copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vault.ground import in_vault
from tests.vault.plot import Ground

BEGINS = b"LEDGER"


class Copied:
    """A copy with these pieces, which then failed or not."""

    def __init__(self, pieces: Iterator[bytes], failure: str) -> None:
        self.pieces, self.failure = pieces, failure


class Ledgers:
    """A program whose files begin with ``LEDGER``; a copy is the file and its log. ``meanwhile`` is done while it is made."""

    suffixes = ("-log",)

    def __init__(self, count: Path) -> None:
        self.failure = ""
        self.meanwhile: Callable[[], object] = lambda: None
        self._count = count

    def wants(self, begins: bytes) -> bool:
        return begins.startswith(BEGINS)

    def copy(self, folder: int, name: bytes, status: os.stat_result) -> Copied:
        with self._count.open("a") as told:  # what a worker does shows outside it in a file alone
            told.write("copied\n")
        self.meanwhile()
        return Copied(self._pieces(folder, name), self.failure)

    def _pieces(self, folder: int, name: bytes) -> Iterator[bytes]:
        for each in (name, name + b"-log"):
            if os.path.exists(f"/proc/self/fd/{folder}/{os.fsdecode(each)}"):
                with open(os.open(each, os.O_RDONLY, dir_fd=folder), "rb") as stream:
                    while piece := stream.read(100_000):
                        yield piece

    @property
    def copies(self) -> int:
        return self._count.read_text().count("copied") if self._count.exists() else 0


@pytest.fixture
def ledgers(tmp_path: Path) -> Ledgers:
    return Ledgers(tmp_path / "count")


@pytest.fixture
def ground(tmp_path: Path, ledgers: Ledgers) -> Ground:
    ground = Ground(tmp_path)
    ground.substitute = ledgers
    (ground.source / "ledger").write_bytes(BEGINS + b" of today")
    (ground.source / "page").write_bytes(b"a page")
    return ground


def content(ground: Ground, name: str, id: str) -> bytes:
    return ground.read(id)[b"data/" + name.encode()].content


def test_an_unchanged_file_is_neither_copied_nor_read_again(ground: Ground, ledgers: Ledgers) -> None:
    first = ground.backup()
    assert (ledgers.copies, first.counts.bytes_read) == (1, len("LEDGER of today") + len("a page"))
    assert (first.complete, first.remarks) == (True, ())
    assert ground.read(first.id) == ground.live()
    ground.age()
    second = ground.backup()
    assert (ledgers.copies, second.counts.bytes_read, second.counts.changed) == (1, 0, 0)


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_what_a_log_holds_is_in_the_copy_and_the_log_is_not_in_the_point(
    ground: Ground, ledgers: Ledgers, size: int
) -> None:
    log = os.urandom(size)
    (ground.source / "ledger-log").write_bytes(log)
    before = (ground.source / "ledger").stat()
    outcome = ground.backup()
    seen = ground.read(outcome.id)
    assert seen[b"data/ledger"].content == BEGINS + b" of today" + log
    assert (seen[b"data/ledger"].mtime, seen[b"data/ledger"].size) == (before.st_mtime_ns, before.st_size + size)
    assert b"data/ledger-log" not in seen
    assert outcome.complete
    ((path, message, defect),) = [(told.path, told.message, told.defect) for told in outcome.remarks]
    assert (path, defect) == (b"data/ledger-log", False)
    assert "is in the copy of ledger" in message


def test_with_a_log_beside_it_a_file_is_copied_again_though_its_stat_is_the_same(
    ground: Ground, ledgers: Ledgers
) -> None:
    """Equal sizes on purpose: nothing about the file itself says that its content is another."""
    ground.backup()
    log = ground.source / "ledger-log"
    log.write_bytes(b"")
    for more in (b"", b"one", b"two"):
        log.write_bytes(more)
        ground.age()
        outcome = ground.backup()
        assert content(ground, "ledger", outcome.id) == BEGINS + b" of today" + more
    log.unlink()
    ground.age()
    outcome = ground.backup()
    assert content(ground, "ledger", outcome.id) == BEGINS + b" of today"
    ground.age()
    copies = ledgers.copies
    assert (ground.backup().counts.bytes_read, ledgers.copies) == (0, copies)


def test_a_file_of_that_name_is_kept_where_it_is_nobodys_log(ground: Ground) -> None:
    (ground.source / "page-log").write_bytes(b"of a page that is no ledger")
    (ground.source / "other-log").write_bytes(b"of nothing")
    (ground.source / "ledger-log").symlink_to("page")
    outcome = ground.backup()
    seen = ground.read(outcome.id)
    assert {b"data/page-log", b"data/other-log", b"data/ledger-log"} <= set(seen)
    assert outcome.remarks == ()


def test_without_a_copy_a_file_that_stands_still_is_kept_as_it_is(ground: Ground, ledgers: Ledgers) -> None:
    ledgers.failure = "no ledger"
    outcome = ground.backup()
    assert outcome.complete
    assert [(told.path, told.message) for told in outcome.remarks] == [(b"data/ledger", "kept byte by byte: no ledger")]
    assert ground.read(outcome.id) == ground.live()


@pytest.mark.parametrize("how", ["log", "write"])
def test_without_a_copy_a_file_that_moves_makes_the_point_incomplete(
    ground: Ground, ledgers: Ledgers, how: str
) -> None:
    ledgers.failure = "locked"
    ledger = ground.source / "ledger"
    if how == "log":
        (ground.source / "ledger-log").write_bytes(b"more")
    else:
        ledgers.meanwhile = lambda: ledger.write_bytes(BEGINS + b" of another day")
    outcome = ground.backup()
    assert not outcome.complete
    (told,) = outcome.remarks
    assert (told.path, told.defect) == (b"data/ledger", True)
    assert "locked" in told.message
    stored = in_vault(ground.vault(), outcome.id)
    assert stored[b"data/ledger"] == ledger.read_bytes()
    assert (b"data/ledger-log" in stored) == (how == "log")


def test_what_stands_after_the_end_of_a_ledger_is_not_lost(ground: Ground, ledgers: Ledgers) -> None:
    """A copy that is shorter than a file that stands still does not hold all of it."""
    ledgers._pieces = lambda folder, name: iter([BEGINS])  # type: ignore[method-assign]
    outcome = ground.backup()
    assert (outcome.complete, outcome.remarks) == (True, ())
    assert ground.read(outcome.id) == ground.live()
