"""A command that is killed at any step leaves the app as before it or as after it, once the next command ran."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.errors import SnapshotError
from tests.servers.mariadb import MariaDB
from tests.webapps.ground import SMALL, SMALL_DATABASE, Apps
from tests.webapps.keeping import Keeping, content

# What changes something, as Python's own audit tells of it; renames of ours go past it, so folders and links stand for them.
_STEPS = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.utime", "os.symlink", "os.truncate",
    "os.setxattr", "os.removexattr", "fcntl.flock", "subprocess.Popen", "socket.connect", "fcntl.fcntl",
}  # fmt: skip


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Do something in a child that is killed before its so-manieth step; whether it was."""
    child = os.fork()
    if child == 0:
        count = 0

        def look(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in _STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        try:
            act()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def every(act: Callable[[], object], prepare: Callable[[], None], look: Callable[[], None], stride: int) -> int:
    """Kill it at every so-manieth step, look after each; returns how often it was killed."""
    step, kills = 1, 0
    while True:
        prepare()
        if not killed_at(step, act):
            return kills
        look()
        kills += 1
        step += stride


def change(folder: Path) -> None:
    """What an update does: files changed, new and gone, other modes."""
    for name in ("index.php", "lib/a.php"):
        (folder / name).write_text("<?php // of the next version")
    for name in ("lib/new/x.php", "lib/new/y.php"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("<?php // new")
    for name in ("lib/b.php", "lib/deep/c.php"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "lib/deep").exists():
        (folder / "lib/deep").rmdir()
    os.chmod(folder / "lib", 0o700)


def test_a_rollback(small_shop: Apps, mariadb: MariaDB, tmp_path: Path) -> None:
    keeping = Keeping(small_shop, SMALL)
    first = keeping.snapshots.enable(keeping.app)
    before, rows = keeping.copy(tmp_path / "before"), content(mariadb, SMALL_DATABASE)

    def prepare() -> None:
        change(keeping.folder)
        mariadb.run("UPDATE posts SET title = 'next'", "DROP TABLE IF EXISTS empty", database=SMALL_DATABASE)
        keeping.copy(tmp_path / "after")

    seen = set()

    def look() -> None:
        keeping.snapshots.list(keeping.app)
        rolled = keeping.differs(before) == [] and content(mariadb, SMALL_DATABASE) == rows
        same = keeping.differs(tmp_path / "after") == [] and content(mariadb, SMALL_DATABASE)["posts"] != rows["posts"]
        assert rolled or same, (keeping.differs(before), keeping.differs(tmp_path / "after"))
        seen.add(rolled)
        staging = keeping.server.root / "home/virtual/site3"
        assert [name for name in os.listdir(staging) if name.startswith(".strongroom")] == []
        assert [name for name in os.listdir(keeping.folder) if name.startswith(".strongroom")] == []

    kills = every(lambda: keeping.snapshots.rollback(keeping.app, first.id), prepare, look, stride=17)
    assert kills > 5
    assert any("cut short" in note for note in keeping.notes.notes)
    assert seen == {True, False}
    assert keeping.differs(before) == [] and content(mariadb, SMALL_DATABASE) == rows


def test_turning_snapshots_on_and_off(small: Apps) -> None:
    keeping = Keeping(small, SMALL)
    copy = keeping.copy(small.folder / "copy")

    def look() -> None:
        """Whatever was left: the app is the same, and snapshots can be turned on."""
        left = [os.fsencode(name) for name in os.listdir(keeping.folder) if name.startswith(".strongroom")]
        # What is made in a folder for a moment changes its time, until that is set back.
        assert keeping.differs(copy, *left, top=True) == []
        if not keeping.app.snapshots:
            keeping.snapshots.enable(keeping.app)
        assert len(keeping.snapshots.list(keeping.app)) == 1
        assert keeping.differs(copy, top=True) == []

    def off() -> None:
        if keeping.app.snapshots:
            keeping.snapshots.disable(keeping.app)

    assert every(lambda: keeping.snapshots.enable(keeping.app), off, look, stride=9) > 3

    def on() -> None:
        if not keeping.app.snapshots:
            keeping.snapshots.enable(keeping.app)

    assert every(lambda: keeping.snapshots.disable(keeping.app), on, look, stride=9) > 3
    assert not keeping.app.snapshots and keeping.differs(copy, top=True) == []


def test_a_snapshot(small: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small.folder))
    keeping = Keeping(small, SMALL)
    keeping.snapshots.enable(keeping.app)
    numbers = []

    def look() -> None:
        numbers.append(len(keeping.snapshots.list(keeping.app)))
        assert keeping.snapshots.diff(keeping.app, "latest") == []

    assert every(lambda: keeping.snapshots.take(keeping.app, "x"), lambda: None, look, stride=7) > 3
    assert numbers == sorted(numbers)
    assert [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("strongroom-git-")] == []
    left = [each.name for each in (keeping.folder / ".git").rglob("*") if each.name.startswith((".strongroom", "tmp_"))]
    assert left == []


def test_a_snapshot_with_which_old_ones_go(small: Apps) -> None:
    keeping = Keeping(small, SMALL)
    keeping.keep = 2
    keeping.snapshots.enable(keeping.app)

    def take() -> None:
        keeping.snapshots.take(keeping.app, "x")

    def look() -> None:
        assert 2 <= len(keeping.snapshots.list(keeping.app)) <= 3
        assert keeping.snapshots.diff(keeping.app, "latest") == []
        keeping.git("fsck", "--strict")

    assert every(take, take, look, stride=5) > 3
    take()
    assert len(keeping.snapshots.list(keeping.app)) == 2
    assert len(list((keeping.folder / ".git/objects/pack").glob("*.pack"))) == 1


def test_a_rollback_that_cannot_be_ended_says_so_until_it_can(small: Apps) -> None:
    keeping = Keeping(small, SMALL)
    first = keeping.snapshots.enable(keeping.app)
    before = keeping.copy(small.folder / "before")
    change(keeping.folder)
    assert killed_at(75, lambda: keeping.snapshots.rollback(keeping.app, first.id))
    objects = keeping.folder / ".git/objects"
    objects.rename(small.folder / "objects")
    with pytest.raises(SnapshotError):
        keeping.snapshots.take(keeping.app, "x")
    (small.folder / "objects").rename(objects)
    keeping.snapshots.rollback(keeping.app, first.id)
    assert keeping.differs(before) == []
