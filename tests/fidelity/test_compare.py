"""The comparer finds each kind of difference: a proof is worth what it can fail at."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fidelity import flags
from tests.fidelity.compare import Ignore, compare
from tests.fidelity.tree import DEEP_LEVELS, DEEP_NAME, remove

MIB = 1 << 20
MOMENT = 1_700_000_000_123_456_789


def _small(root: Path) -> None:
    (root / "folder/below").mkdir(parents=True)
    (root / "file").write_bytes(b"x" * MIB + b"content")
    (root / "folder/one").write_bytes(b"linked")
    os.link(root / "folder/one", root / "folder/two")
    (root / "folder/three").write_bytes(b"linked")
    os.symlink("file", root / "link")
    os.mkfifo(root / "fifo")
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    with (root / "sparse").open("wb") as stream:
        stream.truncate(4 * MIB)
        stream.seek(2 * MIB)
        stream.write(b"d" * MIB)
    os.setxattr(root / "file", "user.mark", b"value")
    os.setxattr(root / "link", "trusted.mark", b"value", follow_symlinks=False)
    subprocess.run(["setfacl", "-m", "u:48:rwx,d:u:48:rwx", root / "folder"], check=True)
    _settle(root)


def _settle(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.utime(path, ns=(0, MOMENT), follow_symlinks=False)


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    left, right = tmp_path / "left", tmp_path / "right"
    for root in (left, right):
        root.mkdir()
        _small(root)
    yield left, right
    remove(os.fsencode(tmp_path))


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _write_byte(path: Path, offset: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"!")


def _fill(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(bytes(length))


PLANTED: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a missing file": (lambda r: (r / "file").unlink(), {"file: missing"}),
    "an extra file": (lambda r: (r / "more").touch(), {"more: extra"}),
    "an extra empty folder": (lambda r: (r / "folder/below/x").mkdir(), {"folder/below/x: extra"}),
    "a name of other bytes": (
        lambda r: (r / "file").rename(os.fsdecode(os.fsencode(r) + b"/\xff")),
        {"file: missing", "\\\\xff: extra"},
    ),
    "the last byte": (lambda r: _write_byte(r / "file", MIB + 6), {"file: content"}),
    "the first byte": (lambda r: _write_byte(r / "file", 0), {"file: content"}),
    "a byte where both had a hole": (lambda r: _write_byte(r / "sparse", 5), {"sparse: content"}),
    "a longer file": (lambda r: (r / "file").open("ab").write(b"."), {"file: size"}),
    "a longer hole": (lambda r: os.truncate(r / "sparse", 5 * MIB), {"sparse: size"}),
    "a hole filled with zeros": (lambda r: _fill(r / "sparse", 0, MIB), {"sparse: dense"}),
    "a mode": (lambda r: (r / "file").chmod(0o4755), {"file: mode"}),
    "a folder's mode": (lambda r: (r / "folder/below").chmod(0o1755), {"folder/below: mode"}),
    "an owner": (lambda r: os.chown(r / "file", 48, -1), {"file: owner"}),
    "a link's group": (lambda r: os.chown(r / "link", -1, 48, follow_symlinks=False), {"link: owner"}),
    "one nanosecond": (lambda r: os.utime(r / "file", ns=(0, MOMENT + 1)), {"file: mtime"}),
    "a link's time": (lambda r: os.utime(r / "link", ns=(0, 1), follow_symlinks=False), {"link: mtime"}),
    "a folder's time": (lambda r: os.utime(r / "folder", ns=(0, 1)), {"folder: mtime"}),
    "the top's time": (lambda r: os.utime(r, ns=(0, 1)), {".: mtime"}),
    "an xattr's value": (lambda r: os.setxattr(r / "file", "user.mark", b""), {"file: xattr"}),
    "a lost xattr": (lambda r: os.removexattr(r / "file", "user.mark"), {"file: xattr"}),
    "an xattr more, with an empty value": (lambda r: os.setxattr(r / "file", "trusted.m", b""), {"file: xattr"}),
    "a link's xattr": (
        lambda r: os.removexattr(r / "link", "trusted.mark", follow_symlinks=False),
        {"link: xattr"},
    ),
    "the top's xattr": (lambda r: os.setxattr(r, "user.top", b"1"), {".: xattr"}),
    "a FIFO's xattr": (lambda r: os.setxattr(r / "fifo", "trusted.x", b"1"), {"fifo: xattr"}),
    "an ACL": (lambda r: subprocess.run(["setfacl", "-m", "u:48:r-x", r / "folder"]), {"folder: xattr"}),
    "a default ACL": (lambda r: subprocess.run(["setfacl", "-k", r / "folder"]), {"folder: xattr"}),
    "a flag": (lambda r: flags.add(os.fsencode(r / "file"), flags.LETTERS["i"]), {"file: flags"}),
    "a folder's flag": (lambda r: flags.add(os.fsencode(r / "folder"), flags.LETTERS["a"]), {"folder: flags"}),
    "a link's target": (lambda r: _replace(r / "link", lambda p: p.symlink_to("fil")), {"link: target"}),
    "a device's number": (
        lambda r: _replace(r / "device", lambda p: os.mknod(p, stat.S_IFCHR | 0o600, os.makedev(0, 0))),
        {"device: rdev"},
    ),
    "a device of the other kind": (
        lambda r: _replace(r / "device", lambda p: os.mknod(p, stat.S_IFBLK | 0o600, os.makedev(1, 3))),
        {"device: type"},
    ),
    "a link that became what it points to": (
        lambda r: _replace(r / "link", lambda p: p.write_bytes((r / "file").read_bytes())),
        {"link: type"},
    ),
    "a hard link that became a copy": (
        lambda r: _replace(r / "folder/two", lambda p: p.write_bytes(b"linked")),
        {"folder/one: links"},
    ),
    "a hard link too many": (
        lambda r: _replace(r / "folder/three", lambda p: os.link(r / "folder/one", p)),
        {"folder/one: links"},
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_it_finds(planted: str, twins: tuple[Path, Path]) -> None:
    left, right = twins
    change, expected = PLANTED[planted]
    change(right)
    found = {": ".join(line.split(": ")[:2]) for line in compare(os.fsencode(left), os.fsencode(right))}
    assert expected <= found


def test_twins_have_no_differences(twins: tuple[Path, Path]) -> None:
    left, right = twins
    assert compare(os.fsencode(left), os.fsencode(right)) == []


def test_a_planted_difference_is_all_it_finds(twins: tuple[Path, Path]) -> None:
    left, right = twins
    (right / "file").chmod(0o600)
    assert compare(os.fsencode(left), os.fsencode(right)) == ["file: mode: 0644, then 0600"]


def test_a_zero_that_became_a_hole_is_told_from_a_hole_that_became_dense(twins: tuple[Path, Path]) -> None:
    left, right = twins
    _fill(left / "sparse", 0, MIB)
    os.utime(left / "sparse", ns=(0, MOMENT))
    (line,) = compare(os.fsencode(left), os.fsencode(right))
    assert line.startswith("sparse: holes: ")
    assert compare(os.fsencode(left), os.fsencode(right), Ignore(holes=True)) == []


def test_what_is_ignored_is_no_difference(twins: tuple[Path, Path]) -> None:
    left, right = twins
    (right / "socket").unlink()
    os.setxattr(right / "file", "trusted.overlay.origin", b"1")
    (right / "folder/three").write_bytes(b"other")
    os.utime(right, ns=(0, 5))
    ignore = Ignore(
        xattrs=frozenset({b"trusted.overlay.origin"}), paths=frozenset({b"folder/three"}), sockets=True, top=True
    )
    assert compare(os.fsencode(left), os.fsencode(right), ignore) == []
    seen = [line.split(": ")[1] for line in compare(os.fsencode(left), os.fsencode(right))]
    assert seen == ["mtime", "xattr", "mtime", "size", "content", "missing"]


def test_it_reaches_what_no_path_reaches(twins: tuple[Path, Path]) -> None:
    for root, word in zip(twins, (b"left", b"rite"), strict=True):
        fd = os.open(root, flags.FOLDER)
        for _ in range(DEEP_LEVELS):
            os.mkdir(DEEP_NAME, dir_fd=fd)
            below = os.open(DEEP_NAME, flags.FOLDER, dir_fd=fd)
            os.utime(fd, ns=(0, MOMENT))
            os.close(fd)
            fd = below
        with os.fdopen(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as stream:
            stream.write(word)
        os.utime(b"file", ns=(0, MOMENT), dir_fd=fd)
        os.utime(fd, ns=(0, MOMENT))
        os.close(fd)
    (line,) = compare(os.fsencode(twins[0]), os.fsencode(twins[1]))
    assert line.endswith("/file: content: the first other byte is at 0")


def test_names_are_shown_so_that_a_terminal_is_safe(twins: tuple[Path, Path]) -> None:
    left, right = twins
    (right / "\x1b[2J\n").touch()
    os.utime(right, ns=(0, MOMENT))
    (line,) = compare(os.fsencode(left), os.fsencode(right))
    assert line == "\\x1b[2J\\n: extra: file is not on the left"
