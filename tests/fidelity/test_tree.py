"""The fidelity tree holds what it says, and two of them are equal."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fidelity import flags
from tests.fidelity.compare import compare, extents
from tests.fidelity.support import Support
from tests.fidelity.tree import DEEP_NAME, EVERY_BYTE, build, release, remove


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, Support]]:
    root = os.fsencode(tmp_path_factory.mktemp("fidelity")) + b"/tree"
    yield root, build(root)
    remove(root)


def _walk(folder: int) -> Iterator[tuple[bytes, os.stat_result]]:
    for name, info in flags.entries(folder):
        yield name, info
        if stat.S_ISDIR(info.st_mode):
            below = os.open(name, flags.FOLDER, dir_fd=folder)
            yield from _walk(below)
            os.close(below)


def test_two_of_them_are_equal(built: tuple[bytes, Support], tmp_path: Path) -> None:
    other = os.fsencode(tmp_path) + b"/tree"
    build(other, built[1])
    try:
        assert compare(built[0], other) == []
    finally:
        remove(other)


def test_it_holds_every_kind_of_thing(built: tuple[bytes, Support]) -> None:
    fd = os.open(built[0], flags.FOLDER)
    kinds = Counter(stat.S_IFMT(info.st_mode) for _, info in _walk(fd))
    os.close(fd)
    assert kinds.keys() >= {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK}
    assert not built[1].devices or kinds.keys() >= {stat.S_IFCHR, stat.S_IFBLK}
    assert kinds[stat.S_IFREG] > 3000


def test_it_has_names_of_every_byte_and_paths_beyond_path_max(built: tuple[bytes, Support]) -> None:
    assert EVERY_BYTE in os.listdir(built[0] + b"/names")
    fd = os.open(built[0] + b"/deep", flags.FOLDER)
    length = 0
    while DEEP_NAME in {os.fsencode(name) for name in os.listdir(fd)}:
        below = os.open(DEEP_NAME, flags.FOLDER, dir_fd=fd)
        os.close(fd)
        fd, length = below, length + len(DEEP_NAME) + 1
    assert sorted(os.listdir(fd)) == ["again", "fifo", "file", "link"]
    os.close(fd)
    assert length > 6000


def test_its_sparse_files_have_holes(built: tuple[bytes, Support]) -> None:
    found = {}
    for name in os.listdir(built[0] + b"/sparse"):
        fd = os.open(built[0] + b"/sparse/" + name, os.O_RDONLY)
        found[name] = len(extents(fd))
        os.close(fd)
    assert found[b"only-hole"] == 0
    assert found[b"alternating"] == 8
    assert os.stat(built[0] + b"/sparse/only-hole").st_size == 1 << 30


def test_on_ext4_or_tmpfs_as_root_it_holds_all_that_strangers_leave(built: tuple[bytes, Support]) -> None:
    support = built[1]
    if not support.devices or b"trusted" not in support.namespaces:
        pytest.skip("this file system or user may not hold devices and trusted attributes")
    root = built[0]
    assert os.getxattr(root + b"/xattrs-trusted/opaque", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(root + b"/xattrs-trusted/link", "trusted.value5", follow_symlinks=False) == b"plain"
    assert os.getxattr(root + b"/xattrs-user/file", "user.value0") == b""
    assert len(os.getxattr(root + b"/xattrs-user/largest", "user.large")) == support.value >= 1000
    assert "system.posix_acl_default" in os.listxattr(root + b"/acls/folder")
    assert len(os.getxattr(root + b"/xattrs-security/capable", "security.capability")) == 20
    assert os.stat(root + b"/specials/whiteout").st_rdev == 0
    assert any(moment < 0 for moment in support.moments)
    assert any(moment > 2**31 for moment in support.moments)
    assert os.stat(root + b"/owners-4294967294/file").st_uid == 4294967294


def test_release_takes_the_locks_off(built: tuple[bytes, Support], tmp_path: Path) -> None:
    if not flags.LOCKS & sum(built[1].file_flags):
        pytest.skip("this file system has no immutable files")
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    flags.add(os.fsencode(file), flags.LETTERS["i"])
    flags.add(os.fsencode(file.parent), flags.LETTERS["a"])
    with pytest.raises(PermissionError):
        file.unlink()
    release(os.fsencode(tmp_path))
    file.unlink()


def test_room_that_was_only_set_aside_is_no_difference_for_having_been_read(tmp_path: Path) -> None:
    for name, aside in (("one/file", True), ("other/file", False), ("dense/file", False)):
        (tmp_path / name).parent.mkdir()
        with open(tmp_path / name, "wb") as file:
            if aside:
                os.posix_fallocate(file.fileno(), 0, 1 << 20)
            file.write(b"x" * 4096 + (bytes((1 << 20) - 4096) if name == "dense/file" else b""))
            file.truncate(1 << 20)
        os.utime(tmp_path / name, (1, 1))
        os.utime((tmp_path / name).parent, (1, 1))
    one, other, dense = (os.fsencode(tmp_path / name) for name in ("one", "other", "dense"))
    assert compare(one, other) == []
    (tmp_path / "one/file").read_bytes()
    assert compare(one, other) == []
    # Zeros that were written are no holes, whoever reads them.
    (found,) = compare(other, dense)
    assert "dense" in found
