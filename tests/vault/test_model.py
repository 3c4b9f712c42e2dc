"""A vault driven against a plain model: whatever happens, every point reads as the source was when it was made."""

from __future__ import annotations

import os
import random
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

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


def _is_file(path: bytes) -> bool:
    return os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode)


class Nights(RuleBasedStateMachine):
    """An account that lives, and its nights."""

    files = Bundle("files")
    folders = Bundle("folders")

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="model-"))
        self.ground = Ground(self.base, chunker=SMALL_CHUNKS)
        self.points: dict[str, dict[bytes, Seen]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    @initialize(target=folders)
    def root(self) -> bytes:
        return os.fsencode(self.ground.source)

    # --- the account ----------------------------------------------------------------------------------------------

    @rule(target=files, folder=folders, name=NAMES, content=CONTENT)
    def write(self, folder: bytes, name: bytes, content: bytes) -> object:
        path = folder + b"/" + name
        if not os.path.isdir(folder) or (os.path.lexists(path) and not _is_file(path)):
            return multiple()
        with open(path, "wb") as file:
            file.write(content)
        return path

    @rule(target=folders, folder=folders, name=NAMES)
    def make_folder(self, folder: bytes, name: bytes) -> object:
        path = folder + b"/" + name
        if not os.path.isdir(folder) or os.path.lexists(path) or folder.count(b"/") > 12:
            return multiple()
        os.mkdir(path)
        return path

    @rule(path=files, byte=st.integers(0, 255))
    def edit_behind_the_back(self, path: bytes, byte: int) -> None:
        """An edit that keeps size and mtime."""
        if _is_file(path) and (size := os.path.getsize(path)):
            before = os.stat(path)
            with open(path, "r+b") as file:
                file.seek(byte % size)
                file.write(bytes((byte,)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(path=files, moment=st.integers(-(10**18), 4 * 10**18))
    def touch(self, path: bytes, moment: int) -> None:
        if os.path.lexists(path):
            os.utime(path, ns=(0, moment), follow_symlinks=False)

    @rule(path=st.one_of(files, folders), mode=st.sampled_from([0o600, 0o644, 0o755, 0o4711, 0o2750, 0]))
    def chmod(self, path: bytes, mode: int) -> None:
        if os.path.lexists(path) and not os.path.islink(path):
            os.chmod(path, mode)

    @rule(path=st.one_of(files, folders), owner=st.sampled_from([0, 1000]))
    def chown(self, path: bytes, owner: int) -> None:
        if os.path.lexists(path):
            os.chown(path, owner, owner, follow_symlinks=False)

    @rule(path=st.one_of(files, folders), value=st.binary(max_size=1500))
    def set_attribute(self, path: bytes, value: bytes) -> None:
        if os.path.lexists(path) and (_is_file(path) or (os.path.isdir(path) and not os.path.islink(path))):
            os.setxattr(path, "user.note", value)

    @rule(target=files, path=files, folder=folders, name=NAMES)
    def rename(self, path: bytes, folder: bytes, name: bytes) -> object:
        to = folder + b"/" + name
        if not os.path.lexists(path) or os.path.isdir(path) or not os.path.isdir(folder) or os.path.isdir(to):
            return multiple()
        os.rename(path, to)
        return to

    @rule(target=files, path=files, folder=folders, name=NAMES)
    def link(self, path: bytes, folder: bytes, name: bytes) -> object:
        to = folder + b"/" + name
        if not _is_file(path) or not os.path.isdir(folder) or os.path.lexists(to):
            return multiple()
        os.link(path, to)
        return to

    @rule(path=files, to=st.sampled_from(["link", "fifo", "folder", "whiteout", "nothing"]))
    def swap_type(self, path: bytes, to: str) -> None:
        if not os.path.lexists(path) or (os.path.isdir(path) and not os.path.islink(path)):
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

    @rule(path=folders)
    def remove_folder(self, path: bytes) -> None:
        if path != os.fsencode(self.ground.source) and os.path.isdir(path):
            shutil.rmtree(path)

    # --- the nights -----------------------------------------------------------------------------------------------

    @rule(level=st.sampled_from(["full", "differential", "incremental", "incremental"]), old=st.booleans())
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


_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}

TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=25, stateful_step_count=25, derandomize=True, **_COMMON)  # type: ignore[arg-type]


@pytest.mark.torture
class TestManyNights(Nights.TestCase):  # type: ignore[misc, valid-type]
    """The same for an hour or so."""

    settings = settings(max_examples=2000, stateful_step_count=60, **_COMMON)  # type: ignore[arg-type]
