"""How many snapshots of an app stay, what goes with those that do not, and what never goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.webapps.ground import SMALL, Apps, own
from tests.webapps.keeping import Keeping


@pytest.fixture
def keeping(small: Apps) -> Keeping:
    found = Keeping(small, SMALL)
    found.keep = 3
    return found


def large(keeping: Keeping, number: int) -> None:
    """Something that only one snapshot has, of a size that is seen."""
    (keeping.folder / "large").write_bytes(os.urandom(1 << 20))
    (keeping.folder / "index.php").write_text(f"<?php // {number}")


def room(keeping: Keeping) -> int:
    return sum(path.lstat().st_size for path in (keeping.folder / ".git").rglob("*"))


def labels(keeping: Keeping) -> list[str]:
    return [snapshot.label for snapshot in keeping.snapshots.list(keeping.app)]


def test_the_oldest_go_with_their_room_and_the_others_are_whole(keeping: Keeping, tmp_path: Path) -> None:
    keeping.snapshots.enable(keeping.app)
    copies, taken = [], []
    for number in range(6):
        large(keeping, number)
        copies.append(keeping.copy(tmp_path / f"{number}"))
        taken.append(keeping.snapshots.take(keeping.app, f"{number}"))
    assert labels(keeping) == ["5", "4", "3"]
    assert 3 << 20 < room(keeping) < 4 << 20
    assert [line.partition(" ")[2] for line in keeping.git("log", "--oneline").splitlines()] == ["5", "4", "3"]
    keeping.git("fsck", "--strict")
    assert keeping.git("status", "--porcelain") == ""
    keeping.keep = 0
    keeping.snapshots.rollback(keeping.app, taken[3].id)
    assert keeping.differs(copies[3]) == []
    assert labels(keeping) == [f"Before rollback to {taken[3].id[:12]}", "5", "4", "3"]


def test_0_keeps_all(keeping: Keeping) -> None:
    keeping.keep = 0
    keeping.snapshots.enable(keeping.app)
    for number in range(5):
        keeping.snapshots.take(keeping.app, f"{number}")
    assert len(labels(keeping)) == 6


def test_the_way_back_of_an_update_stays_and_so_does_the_last_that_no_rollback_took(keeping: Keeping) -> None:
    keeping.keep = 1
    first = keeping.snapshots.enable(keeping.app)
    keeping.needed = {first.id}
    keeping.snapshots.take(keeping.app, "second")
    assert labels(keeping) == ["second", "Initial install"]
    keeping.needed = set()
    keeping.snapshots.take(keeping.app, "third")
    assert labels(keeping) == ["third"]
    for number in range(3):
        (keeping.folder / "index.php").write_text(f"{number}")
        keeping.snapshots.rollback(keeping.app)
        assert (keeping.folder / "index.php").read_text() == "<?php echo 'one';"
    assert labels(keeping)[-1] == "third"


def test_what_its_owner_refers_to_stays(keeping: Keeping) -> None:
    first = keeping.snapshots.enable(keeping.app)
    keeping.git("tag", "mine", first.id)
    (keeping.folder / "own.txt").write_text("own\n")
    own(keeping.folder / "own.txt")
    keeping.git("add", "own.txt")
    keeping.git("-c", "user.name=me", "-c", "user.email=me@small.example", "commit", "-qm", "mine")
    for number in range(5):
        large(keeping, number)
        keeping.snapshots.take(keeping.app, f"{number}")
    assert labels(keeping) == ["4", "3", "2"]
    assert keeping.git("show", "mine:index.php") == "<?php echo 'one';"
    keeping.git("fsck", "--strict")
    keeping.git("gc", "-q")
    keeping.snapshots.take(keeping.app, "last")
    assert labels(keeping) == ["last", "4", "3"]
