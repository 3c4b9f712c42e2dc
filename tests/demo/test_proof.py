"""The demo's proof sees every kind of difference, and none where there is none."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.demo import inode_flags, proof


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"x" * 5000)
    (root / "link").symlink_to("file")
    (root / "one").write_bytes(b"")
    os.link(root / "one", root / "two")
    os.mkfifo(root / "fifo")
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    with (root / "sparse").open("wb") as stream:
        stream.truncate(1 << 20)
    os.setxattr(root / "file", "user.mark", b"")
    return root


def _same_time(path: Path, change: Callable[[], object]) -> None:
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _again(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (
        lambda r: _same_time(r / "file", lambda: (r / "file").write_bytes(b"x" * 4999 + b"y")),
        "file: sha256: ",
    ),
    "size": (lambda r: os.truncate(r / "file", 4999), "file: size: 5000, then 4999"),
    "hole": (lambda r: _same_time(r / "sparse", lambda: (r / "sparse").write_bytes(bytes(1 << 20))), "sparse: data: "),
    "missing": (lambda r: (r / "one").unlink(), "one: missing"),
    "extra": (lambda r: (r / "folder/\n").touch(), "folder/\\n: was not there before"),
    "mode": (lambda r: (r / "folder").chmod(0o1755), "folder: mode: 0755, then 1755"),
    "owner": (lambda r: os.chown(r / "fifo", 48, 48), "fifo: owner: (0, 0), then (48, 48)"),
    "time": (lambda r: os.utime(r / "link", ns=(0, 1), follow_symlinks=False), "link: mtime: "),
    "top": (lambda r: r.chmod(0o700), ".: mode: "),
    "target": (lambda r: _again(r / "link", lambda: (r / "link").symlink_to("fil")), "link: target: "),
    "device": (
        lambda r: _again(r / "device", lambda: os.mknod(r / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))),
        "device: device: ",
    ),
    "type": (lambda r: _again(r / "fifo", (r / "fifo").touch), "fifo: type: fifo, then file"),
    "xattr": (lambda r: os.removexattr(r / "file", "user.mark"), "file: xattrs: "),
    "acl": (lambda r: subprocess.run(["setfacl", "-m", "d:u:48:rwx", r / "folder"], check=True), "folder: xattrs: "),
    "flags": (lambda r: inode_flags.mark(os.fsencode(r / "file"), inode_flags.NO_DUMP), "file: flags: 0, then 64"),
    "links": (lambda r: _again(r / "two", (r / "two").touch), "one: links: (b'one', b'two'), then ()"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_it_finds_a_difference_in(planted: str, tree: Path) -> None:
    before = proof.take(os.fsencode(tree))
    assert proof.differences(before, proof.take(os.fsencode(tree))) == []
    change, expected = PLANTED[planted]
    change(tree)
    found = proof.differences(before, proof.take(os.fsencode(tree)))
    assert any(line.startswith(expected) for line in found), found


def test_sockets_and_what_is_left_out_are_not_written_down(tree: Path) -> None:
    (tree / "folder/below").mkdir()
    manifest = proof.take(os.fsencode(tree), [b"folder"])
    assert sorted(manifest.records) == [b".", b"device", b"fifo", b"file", b"link", b"one", b"sparse", b"two"]
