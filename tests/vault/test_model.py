"""A vault driven against a plain model: whatever happens, every point reads as the source was when it was made."""

from __future__ import annotations

import os
import random
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from strongroom.vault import sweep, verify
from tests.vault.plot import SMALL_CHUNKS, Ground, Seen

NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff\xfe", b"with space", b"a\x01"])
CONTENT = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda seed, size: random.Random(seed).randbytes(size),
        st.integers(1, 9),
        st.sampled_from([4096, 9000, 1_100_000]),
    ),
)


PICK = st.integers(0, 10_000)


class Nights(RuleBasedStateMachine):
    """An account that lives, and its nights."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="model-"))
        self.ground = Ground(self.base, chunker=SMALL_CHUNKS)
        self.points: dict[str, dict[bytes, Seen]] = {}
        self.root = os.fsencode(self.ground.source)
        for folder in (b"a", b"a/b", b"b", b"b/a", b"b/a/c"):
            os.mkdir(self.root + b"/" + folder)
            for name in (b"file", b"same"):
                with open(self.root + b"/" + folder + b"/" + name, "wb") as file:
                    file.write(b"the same" if name == b"same" else folder * 30)

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    # --- what there is --------------------------------------------------------------------------------------------

    def _those(self, wanted: Callable[[int], bool]) -> list[bytes]:
        paths = [self.root]
        for folder, folders, names in os.walk(self.root):
            paths += [folder + b"/" + name for name in (*folders, *names)]
        return sorted(path for path in paths if wanted(os.lstat(path).st_mode))

    def file(self, pick: int) -> bytes | None:
        """A regular file, if there is one."""
        found = self._those(stat.S_ISREG)
        return found[pick % len(found)] if found else None

    def folder(self, pick: int) -> bytes:
        found = self._those(stat.S_ISDIR)
        return found[pick % len(found)]

    def anything(self, pick: int) -> bytes:
        found = self._those(lambda mode: True)
        return found[pick % len(found)]

    # --- the account ----------------------------------------------------------------------------------------------

    @rule(pick=PICK, name=NAMES, content=CONTENT)
    def write(self, pick: int, name: bytes, content: bytes) -> None:
        path = self.folder(pick) + b"/" + name
        if not os.path.lexists(path) or stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "wb") as file:
                file.write(content)

    @rule(pick=PICK, name=NAMES)
    def make_folder(self, pick: int, name: bytes) -> None:
        path = self.folder(pick) + b"/" + name
        if not os.path.lexists(path):
            os.mkdir(path)

    @rule(pick=PICK, byte=st.integers(0, 255))
    def edit_behind_the_back(self, pick: int, byte: int) -> None:
        """An edit that keeps size and mtime."""
        path = self.file(pick)
        if path and (size := os.path.getsize(path)):
            before = os.stat(path)
            with open(path, "r+b") as file:
                file.seek(byte % size)
                file.write(bytes((byte,)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(pick=PICK, moment=st.integers(-(10**18), 4 * 10**18))
    def touch(self, pick: int, moment: int) -> None:
        os.utime(self.anything(pick), ns=(0, moment), follow_symlinks=False)

    @rule(pick=PICK, mode=st.sampled_from([0o600, 0o644, 0o755, 0o4711, 0o2750, 0]))
    def chmod(self, pick: int, mode: int) -> None:
        path = self.anything(pick)
        if not os.path.islink(path):
            os.chmod(path, mode)

    @rule(pick=PICK, owner=st.sampled_from([0, 1000]))
    def chown(self, pick: int, owner: int) -> None:
        os.chown(self.anything(pick), owner, owner, follow_symlinks=False)

    @rule(pick=PICK, folder=st.booleans(), value=st.binary(max_size=1500))
    def set_attribute(self, pick: int, folder: bool, value: bytes) -> None:
        path = self.folder(pick) if folder else self.file(pick)
        if path:
            os.setxattr(path, "user.note", value)

    @rule(pick=PICK, to=PICK, name=NAMES)
    def rename(self, pick: int, to: int, name: bytes) -> None:
        path, target = self.anything(pick), self.folder(to) + b"/" + name
        into_itself = path == self.root or target.startswith(path + b"/")
        folder_onto_a_file = os.path.isdir(path) and not os.path.islink(path) and os.path.lexists(target)
        if not (into_itself or folder_onto_a_file or os.path.isdir(target)):
            os.rename(path, target)

    @rule(pick=PICK, to=PICK, name=NAMES)
    def link(self, pick: int, to: int, name: bytes) -> None:
        path, target = self.file(pick), self.folder(to) + b"/" + name
        if path and not os.path.lexists(target):
            os.link(path, target)

    @rule(pick=PICK, to=st.sampled_from(["link", "fifo", "folder", "whiteout", "nothing"]))
    def swap_type(self, pick: int, to: str) -> None:
        path = self.file(pick)
        if path is None:
            return
        os.unlink(path)
        match to:
            case "link":
                os.symlink(b"../anywhere\xff", path)
            case "fifo":
                os.mkfifo(path)
            case "folder":
                os.mkdir(path)
            case "whiteout":
                os.mknod(path, 0o020000, 0)

    @rule(pick=PICK)
    def remove_folder(self, pick: int) -> None:
        path = self.folder(pick)
        if path != self.root:
            shutil.rmtree(path)

    # --- the nights -----------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.points)
    @rule()
    def first_backup(self) -> None:
        self.backup("full", old=False)

    @rule()
    def quiet_night(self) -> None:
        self.backup("incremental", old=True)

    @rule(pick=PICK, byte=st.integers(0, 255), name=NAMES)
    def busy_night(self, pick: int, byte: int, name: bytes) -> None:
        self.ground.age()
        self.edit_behind_the_back(pick, byte)
        self.rename(pick + 1, pick, name)
        self.backup("incremental", old=False)

    @rule(level=st.sampled_from(["full", "differential", "incremental"]), old=st.booleans())
    def backup(self, level: str, old: bool) -> None:
        if old:
            self.ground.age()
        outcome = self.ground.backup(level)
        assert outcome.complete, outcome.remarks
        self.points[outcome.id] = self.ground.live()
        assert self.ground.read(outcome.id) == self.points[outcome.id]

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.points:
            id = data.draw(st.sampled_from(sorted(self.points)))
            sweep.forget(self.ground.vault(), [id])
            del self.points[id]

    @rule()
    def prune(self) -> None:
        sweep.prune(self.ground.vault())

    @rule()
    def lose_state(self) -> None:
        if self.ground.state.exists():
            self.ground.lose_state()

    @rule()
    def check(self) -> None:
        assert verify.verify(self.ground.vault(), read_data=1.0).damage == ()

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        if self.points:
            id = data.draw(st.sampled_from(sorted(self.points)))
            assert self.ground.read(id) == self.points[id]

    @invariant()
    def points_are_those_made_and_not_forgotten(self) -> None:
        assert self.ground.vault().ids() == set(self.points)


_COMMON = {"suppress_health_check": list(HealthCheck), "print_blob": True}

TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=60, stateful_step_count=30, derandomize=True, **_COMMON)  # type: ignore[arg-type]


@pytest.mark.torture
class TestManyNights(Nights.TestCase):  # type: ignore[misc, valid-type]
    """The same for an hour or so."""

    settings = settings(max_examples=2000, stateful_step_count=60, **_COMMON)  # type: ignore[arg-type]
