"""The fidelity tree: everything a file system can hold, below one folder.

Two builds on one file system are equal in all that a backup must bring back; only inodes and ctimes differ.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable

from tests.fidelity import flags
from tests.fidelity.support import NANOSECONDS, Support, probe

MIB = 1 << 20
EVERY_BYTE = bytes(byte for byte in range(1, 256) if byte != 0x2F)
NAMES = (
    b"n" * 255,
    EVERY_BYTE,
    b"line\nbreak",
    b"-rf",
    b"--",
    b" leading",
    b"trailing ",
    b"two  spaces",
    b"...",
    b"not utf-8 \xff\xfe\xc3\x28",
    "gemischt äöü 漢字 🗄".encode(),
    "e\u0301 decomposed".encode(),
    "\u00e9 composed".encode(),
    b"star*question?pipe|",
    b"[brackets]{braces}",
    b"quote'double\"back\\slash`",
    b"$HOME;&#!",
    b"\x1b[31mterminal\x1b[0m",
    b"CON",
    b".hidden",
    b"tab\tand\rreturn",
)
OWNERS = (48, 65534, 4294967294)
MODES = (0o0000, 0o0200, 0o0400, 0o0644, 0o0777, 0o1777, 0o2644, 0o2755, 0o4755, 0o6711, 0o7777)
NET_BIND = 1 << 10
CAPABILITY_2 = struct.pack("<5I", 0x02000001, NET_BIND, 0, 0, 0)
CAPABILITY_3 = struct.pack("<6I", 0x03000001, NET_BIND, 0, 0, 0, 1000)
DEEP_NAME, DEEP_LEVELS = b"d" * 200, 31
MANY = 3000


def build(folder: bytes, support: Support | None = None) -> Support:
    """Fill an empty folder (made when absent) with the fidelity tree; what its file system cannot hold is left out."""
    os.makedirs(folder, exist_ok=True)
    support = support or probe(folder)
    tree = _Tree(folder, support)
    for part in (_contents, _sparse, _targets, _links, _specials, _modes, _owners, _xattrs, _acls, _names):
        part(tree)
    for part in (_deep, _many, _times):
        part(tree)
    tree.stamp()
    _flags(tree)
    return support


def release(folder: bytes) -> None:
    """Take +i and +a off everything at and below a folder, so that it can be removed."""
    fd = os.open(folder, flags.FOLDER)
    try:
        flags.unlock(fd)
    finally:
        os.close(fd)


def remove(folder: bytes) -> None:
    """Remove a fidelity tree, whatever it holds."""
    release(folder)
    shutil.rmtree(folder)


class _Tree:
    """The folder being filled, what it may hold, and the times that are to be just so."""

    def __init__(self, root: bytes, support: Support) -> None:
        self.root = root
        self.support = support
        self.random = random.Random(20250101)
        self.moments: dict[bytes, int] = {}

    def folder(self, path: bytes) -> bytes:
        os.mkdir(self.at(path), 0o755)
        return path

    def file(self, path: bytes, content: bytes = b"content\n") -> bytes:
        fd = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
        return path

    def link(self, path: bytes, target: bytes) -> bytes:
        os.symlink(target, self.at(path))
        return path

    def each(self, path: bytes) -> list[bytes]:
        """One thing of every kind that can be made everywhere, in a new folder, and that folder."""
        self.folder(path)
        made = [path, self.file(path + b"/file"), self.link(path + b"/link", b"file"), path + b"/fifo"]
        os.mkfifo(self.at(made[-1]))
        if self.support.devices:
            made.append(path + b"/device")
            os.mknod(self.at(made[-1]), stat.S_IFCHR | 0o640, os.makedev(1, 3))
        return made

    def at(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def stamp(self) -> None:
        """Give everything a time of its own that depends on its path alone: the last thing before flags."""
        fd = os.open(self.root, flags.FOLDER)
        try:
            self._stamp(fd, b"")
            os.utime(fd, ns=(0, _moment(b"")))
        finally:
            os.close(fd)

    def _stamp(self, folder: int, prefix: bytes) -> None:
        for name, info in flags.entries(folder):
            path = prefix + name
            if stat.S_ISDIR(info.st_mode):
                below = os.open(name, flags.FOLDER, dir_fd=folder)
                try:
                    self._stamp(below, path + b"/")
                finally:
                    os.close(below)
            elif info.st_nlink > 1:
                path = b"links"
            moment = self.moments.get(path, _moment(path))
            os.utime(name, ns=(0, moment), dir_fd=folder, follow_symlinks=False)


def _moment(path: bytes) -> int:
    return 1_600_000_000 * 10**9 + zlib.crc32(path) * 20_011


def _contents(tree: _Tree) -> None:
    tree.folder(b"contents")
    sizes = {b"one": 1, b"below": MIB - 1, b"exact": MIB, b"above": MIB + 1, b"random-9MiB": 9 * MIB}
    tree.file(b"contents/empty", b"")
    for name, size in sizes.items():
        tree.file(b"contents/" + name, tree.random.randbytes(size))
    line = b"<?php echo 'the same again and again'; // %08d\n"
    tree.file(b"contents/compressible-9MiB", b"".join(line % number for number in range(180_000)))
    tree.file(b"contents/zeros", bytes(3 * MIB))
    tree.file(b"contents/twin-1", b"twins\n" * 2000)
    tree.file(b"contents/twin-2", b"twins\n" * 2000)


def _sparse(tree: _Tree) -> None:
    tree.folder(b"sparse")
    data = tree.random.randbytes(256 * 1024)
    layouts: dict[bytes, tuple[int, tuple[int, ...]]] = {
        b"hole-first": (4 * MIB, (4 * MIB - len(data),)),
        b"hole-last": (4 * MIB, (0,)),
        b"only-hole": (1024 * MIB, ()),
        b"alternating": (16 * MIB, tuple(range(0, 16 * MIB, 2 * MIB))),
        b"far-end": (3 * 1024 * MIB + 5, (3 * 1024 * MIB - 2 * len(data),)),
        b"odd-tail": (2 * MIB + 17, (0,)),
    }
    for name, (size, offsets) in layouts.items():
        fd = os.open(tree.at(b"sparse/" + name), os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(fd, size)
        for offset in offsets:
            os.pwrite(fd, data, offset)
        os.close(fd)
    fd = os.open(tree.at(b"sparse/preallocated"), os.O_WRONLY | os.O_CREAT, 0o644)
    os.posix_fallocate(fd, 0, 2 * MIB)
    os.pwrite(fd, data, 0)
    os.close(fd)


def _targets(tree: _Tree) -> None:
    tree.folder(b"symlinks")
    targets = {
        b"absolute": b"/etc/passwd",
        b"relative": b"../contents/one",
        b"dangling": b"nowhere/at/all",
        b"above": b"../..",
        b"far-above": b"../../../../../../../../../etc",
        b"self": b"self",
        b"folder": b"../contents/",
        b"newline": b"line\nbreak",
        b"not-utf-8": b"\xff\xfe/\x80",
        b"root": b"/",
        b"long": (b"l" * 200 + b"/") * 21,
    }
    for name, target in targets.items():
        tree.link(b"symlinks/" + name, target[: tree.support.target])
    tree.link(b"symlinks/longest", (b"0123456789abcde/" * 256)[: tree.support.target])


def _links(tree: _Tree) -> None:
    tree.folder(b"links")
    tree.folder(b"links-elsewhere")
    tree.folder(b"links-elsewhere/below")
    kinds: dict[bytes, Callable[[bytes], object]] = {
        b"file": lambda path: tree.file(path, b"several names\n" * 1000),
        b"symlink": lambda path: tree.link(path, b"file"),
        b"fifo": lambda path: os.mkfifo(tree.at(path)),
    }
    for name, make in kinds.items():
        make(b"links/" + name)
        for other in (b"links/again-" + name, b"links-elsewhere/" + name, b"links-elsewhere/below/" + name):
            os.link(tree.at(b"links/" + name), tree.at(other), follow_symlinks=False)
    tree.file(b"links/same-content", b"several names\n" * 1000)


def _specials(tree: _Tree) -> None:
    tree.folder(b"specials")
    os.mkfifo(tree.at(b"specials/fifo"))
    os.chmod(tree.at(b"specials/fifo"), 0o622)
    os.mknod(tree.at(b"specials/socket"), stat.S_IFSOCK | 0o755)
    _bound_socket(tree.at(b"specials"))
    if tree.support.devices:
        devices = {
            b"whiteout": (stat.S_IFCHR, 0, 0),
            b"null": (stat.S_IFCHR, 1, 3),
            b"large-minor": (stat.S_IFCHR, 259, 1048575),
            b"block": (stat.S_IFBLK, 7, 200),
            b"block-zero": (stat.S_IFBLK, 0, 0),
        }
        for name, (kind, major, minor) in devices.items():
            os.mknod(tree.at(b"specials/" + name), kind | 0o660, os.makedev(major, minor))
            os.chmod(tree.at(b"specials/" + name), 0o660)
    tree.folder(b"empty-folder")
    tree.folder(b"nested-empty")
    tree.folder(b"nested-empty/below")


def _bound_socket(folder: bytes) -> None:
    """A socket that was listened on; its address has to be short, so it goes through the folder's descriptor."""
    fd = os.open(folder, flags.FOLDER)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{fd}/listening")
    os.close(fd)
    os.chmod(folder + b"/listening", 0o755)


def _modes(tree: _Tree) -> None:
    tree.folder(b"modes")
    for mode in MODES:
        os.chmod(tree.at(tree.file(b"modes/file-%04o" % mode)), mode)
        inside = tree.folder(b"modes/folder-%04o" % mode)
        tree.file(inside + b"/inside")
        os.chmod(tree.at(inside), mode)


def _owners(tree: _Tree) -> None:
    for owner in OWNERS:
        for path in tree.each(b"owners-%d" % owner):
            os.chown(tree.at(path), owner, owner - 1, follow_symlinks=False)
    os.chown(tree.at(tree.file(b"owners-48/set-id")), 48, 1000)
    os.chmod(tree.at(b"owners-48/set-id"), 0o6755)


def _xattrs(tree: _Tree) -> None:
    spaces = tree.support.namespaces
    for space in sorted(spaces):
        made = tree.each(b"xattrs-" + space)
        for path in made:
            plain = path == made[0] or path.endswith(b"/file")
            if space != b"user" and not plain and not tree.support.special_xattrs:
                continue
            if space != b"user" or plain:
                for value in (b"", b"plain", bytes(range(256))):
                    _set(tree, path, space + b".value%d" % len(value), value)
                _set(tree, path, space + b".\xff odd name " + b"n" * 100, b"\x00")
    if b"user" in spaces:
        _set(tree, tree.file(b"xattrs-user/largest"), b"user.large", tree.random.randbytes(tree.support.value))
        _set(tree, tree.folder(b"xattrs-user/largest-folder"), b"user.large", bytes(tree.support.value))
        few = min(60, tree.support.value // 60)
        tree.file(b"xattrs-user/several")
        for number in range(few):
            _set(tree, b"xattrs-user/several", b"user.number%02d" % number, b"%d" % number)
    if b"trusted" in spaces:
        _set(tree, tree.folder(b"xattrs-trusted/opaque"), b"trusted.overlay.opaque", b"y")
        _set(tree, tree.folder(b"xattrs-trusted/impure"), b"trusted.overlay.impure", b"y")
    if b"security" in spaces:
        _set(tree, tree.file(b"xattrs-security/capable"), b"security.capability", CAPABILITY_2)
        _set(tree, tree.file(b"xattrs-security/capable-below"), b"security.capability", CAPABILITY_3)
        os.chmod(tree.at(b"xattrs-security/capable"), 0o755)


def _set(tree: _Tree, path: bytes, name: bytes, value: bytes) -> None:
    os.setxattr(tree.at(path), name, value, follow_symlinks=False)


def _acls(tree: _Tree) -> None:
    if not tree.support.acls:
        return
    tree.folder(b"acls")
    tree.file(b"acls/file")
    tree.file(b"acls/masked")
    tree.folder(b"acls/folder")
    tree.folder(b"acls/default-only")
    many = ",".join(f"u:{number}:r-x,g:{number}:-w-" for number in range(70000, 70030))
    for entries, path in (
        ("u:48:rwx,u:4294967294:r--,g:65534:--x", b"file"),
        (f"{many},m::r", b"masked"),
        ("u:48:rwx,u:1001:rwx,d:u:48:rwx,d:u:1001:rwx", b"folder"),
        ("d:u::rwx,d:g::---,d:o::---", b"default-only"),
    ):
        subprocess.run(["setfacl", "-m", entries, "--", tree.at(b"acls/" + path)], check=True)
    tree.file(b"acls/folder/inherited")
    tree.folder(b"acls/folder/inheriting")


def _names(tree: _Tree) -> None:
    tree.folder(b"names")
    for name in NAMES:
        tree.file(b"names/" + name, name)
    tree.folder(b"names-folders")
    for name in NAMES:
        tree.file(tree.folder(b"names-folders/" + name) + b"/" + name, name)
    tree.folder(b"names-bytes")
    for byte in EVERY_BYTE.replace(b".", b""):
        tree.file(b"names-bytes/%c" % byte, b"")
    tree.folder(b"names-links")
    for name in NAMES:
        tree.link(b"names-links/" + name, name)


def _deep(tree: _Tree) -> None:
    """Names of 200 bytes, one in the other, until the path is longer than PATH_MAX and then half as long again."""
    fd = os.open(tree.at(tree.folder(b"deep")), flags.FOLDER)
    for level in range(DEEP_LEVELS):
        os.mkdir(DEEP_NAME, 0o755, dir_fd=fd)
        below = os.open(DEEP_NAME, flags.FOLDER, dir_fd=fd)
        os.close(fd)
        fd = below
        if level % 10 == 0 or level == DEEP_LEVELS - 1:
            with os.fdopen(os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=fd), "wb") as stream:
                stream.write(b"level %d\n" % level)
    os.symlink(b"file", b"link", dir_fd=fd)
    os.mkfifo(b"fifo", dir_fd=fd)
    os.link(b"file", b"again", src_dir_fd=fd, dst_dir_fd=fd)
    if b"user" in tree.support.namespaces:
        os.setxattr(b"/proc/self/fd/%d/file" % fd, b"user.deep", b"yes", follow_symlinks=False)
    if b"trusted" in tree.support.namespaces and tree.support.special_xattrs:
        os.setxattr(b"/proc/self/fd/%d/link" % fd, b"trusted.deep", b"yes", follow_symlinks=False)
    os.close(fd)


def _many(tree: _Tree) -> None:
    tree.folder(b"many")
    for number in range(MANY):
        tree.file(b"many/entry-%04d" % number, b"%d\n" % (number % 500))


def _times(tree: _Tree) -> None:
    tree.folder(b"times")
    for number, moment in enumerate(tree.support.moments):
        for path in tree.each(b"times/%02d" % number):
            tree.moments[path] = moment * 10**9 + NANOSECONDS
    for name, nanoseconds in ((b"zero", 0), (b"one", 1), (b"last", 10**9 - 1)):
        tree.moments[tree.file(b"times/nanosecond-" + name)] = 1_700_000_000 * 10**9 + nanoseconds


def _flags(tree: _Tree) -> None:
    """Flags come last of all: an immutable file takes neither times nor attributes any more."""
    fd = os.open(tree.root, flags.FOLDER)
    own = os.fstat(fd).st_mtime_ns
    parent = tree.folder(b"flags")
    for bit in tree.support.file_flags:
        path = tree.file(parent + b"/file-%08x" % bit)
        os.utime(tree.at(path), ns=(0, _moment(path)))
        flags.add(tree.at(path), bit)
    for bit in tree.support.folder_flags:
        path = tree.folder(parent + b"/folder-%08x" % bit)
        os.utime(tree.at(tree.file(path + b"/inside")), ns=(0, _moment(path)))
        os.utime(tree.at(path), ns=(0, _moment(path)))
        flags.add(tree.at(path), bit)
    os.utime(tree.at(parent), ns=(0, _moment(parent)))
    os.utime(fd, ns=(0, own))
    os.close(fd)
