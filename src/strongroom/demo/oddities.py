"""An account with every odd thing a file system can hold, in a few hundred entries."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess

from strongroom.demo import inode_flags
from strongroom.demo.ground import Ground

MIB = 1 << 20
ODD = b"home/curator/odd"
_NAMES = (
    b"n" * 255,
    bytes(byte for byte in range(1, 256) if byte != ord("/")),
    b"line\nbreak",
    b"-rf",
    b" spaces ",
    b"not utf-8 \xff\xfe",
    "Müller 漢字".encode(),
    b"*?|[]{}\"'`$;&\\",
    b"\x1b[31mred\x1b[0m",
)
_TARGETS = (
    b"/etc/passwd",
    b"../names",
    b"nowhere",
    b"../../../../..",
    b"line\nbreak",
    b"\xff\xfe",
    b"self",
    b"t/" * 2047,
)
_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
# Seconds since 1970: 1901, 1960, the last second of 1969, 2038, 2446; then what only few file systems hold.
_MOMENTS = (-2147483600, -315619200, -1, 2147483648, 15032385000, -2840140800, 253402300800)


def build(ground: Ground) -> None:
    """Fill an account's data; what this machine refuses stands in ``ground.skipped`` afterwards."""
    for part in (_names, _links, _sparse, _specials, _modes, _owners, _attributes, _acls, _deep, _times, _flags):
        part(ground)


def _names(ground: Ground) -> None:
    for name in _NAMES:
        ground.file(ODD + b"/names/" + name, name)
        ground.file(ground.folder(ODD + b"/folders/" + name) + b"/inside", b"")
    ground.folder(ODD + b"/empty")
    for number in range(200):
        ground.file(ODD + b"/many/%03d" % number, b"%d\n" % (number % 20))


def _links(ground: Ground) -> None:
    for number, target in enumerate(_TARGETS):
        path = ODD + b"/symlinks/%d" % number
        ground.attempt("long symlink targets", ground.link, path, target)
    ground.file(ODD + b"/hard/file", b"several names\n" * 500)
    ground.link(ODD + b"/hard/symlink", b"file")
    ground.folder(ODD + b"/elsewhere")
    for name in (b"file", b"symlink"):
        for other in (b"/hard/again-", b"/elsewhere/"):
            os.link(ground.at(ODD + b"/hard/" + name), ground.at(ODD + other + name), follow_symlinks=False)


def _sparse(ground: Ground) -> None:
    for name, size, offsets in (
        (b"hole-first", 8 * MIB, (7 * MIB,)),
        (b"hole-last", 8 * MIB, (0,)),
        (b"only-hole", 64 * MIB, ()),
        (b"alternating", 16 * MIB, range(0, 16 * MIB, 4 * MIB)),
    ):
        path = ground.file(ODD + b"/sparse/" + name, b"")
        with open(ground.at(path), "r+b") as stream:
            stream.truncate(size)
            for offset in offsets:
                os.pwrite(stream.fileno(), ground.random.randbytes(MIB // 2), offset)
    ground.file(ODD + b"/sparse/zeros", bytes(2 * MIB))


def _specials(ground: Ground) -> None:
    folder = ground.folder(ODD + b"/specials")
    os.mkfifo(ground.at(folder + b"/fifo"), 0o640)
    fd = os.open(ground.at(folder), os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{fd}/socket")
    os.close(fd)
    for name, kind, major, minor in (
        (b"null", stat.S_IFCHR, 1, 3),
        (b"loop", stat.S_IFBLK, 7, 200),
        (b"whiteout", stat.S_IFCHR, 0, 0),
    ):
        path = ground.at(folder + b"/" + name)
        ground.attempt("device nodes", os.mknod, path, kind | 0o600, os.makedev(major, minor))


def whiteout(ground: Ground, path: bytes) -> None:
    """What an overlay mount leaves where the account deleted a file of the template below it."""
    ground.folder(os.path.dirname(path))
    ground.attempt("overlay whiteouts", os.mknod, ground.at(path), stat.S_IFCHR, os.makedev(0, 0))


def opaque(ground: Ground, path: bytes) -> None:
    """What an overlay mount leaves where the account replaced a whole folder of the template."""
    ground.folder(path)
    ground.attempt("trusted attributes", os.setxattr, ground.at(path), b"trusted.overlay.opaque", b"y")


def _modes(ground: Ground) -> None:
    for mode in (0o000, 0o400, 0o777, 0o1777, 0o2755, 0o4711, 0o7777):
        ground.file(ODD + b"/modes/file-%04o" % mode, b"mode\n", mode=mode)
        inside = ground.file(ODD + b"/modes/folder-%04o/inside" % mode, b"mode\n")
        os.chmod(os.path.dirname(ground.at(inside)), mode)


def _owners(ground: Ground) -> None:
    for owner in (48, 65534, 4294967294):
        path = ground.file(ODD + b"/owners/%d" % owner, b"owner\n")
        ground.attempt("foreign owners", os.chown, ground.at(path), owner, owner)


def _attributes(ground: Ground) -> None:
    file, folder = ground.file(ODD + b"/attributes/file", b"x\n"), ground.folder(ODD + b"/attributes/folder")
    link = ground.link(ODD + b"/attributes/link", b"file")
    for path, name, value in (
        (file, b"user.empty", b""),
        (file, b"user.large", ground.random.randbytes(3000)),
        (folder, b"user.colour", b"blue"),
        (file, b"trusted.mark", b"t"),
        (link, b"trusted.mark", b"on a symlink"),
        (ground.file(ODD + b"/attributes/capable", b"x\n", mode=0o755), b"security.capability", _CAPABILITY),
    ):
        what = name.split(b".")[0].decode() + " attributes"
        ground.attempt(what, os.setxattr, ground.at(path), name, value, follow_symlinks=False)
    opaque(ground, ODD + b"/attributes/opaque")
    whiteout(ground, b"etc/motd")


def _acls(ground: Ground) -> None:
    for path, entries in (
        (ground.file(ODD + b"/acls/file", b"x\n"), "u:48:rw-,g:65534:r--,m::r--"),
        (ground.folder(ODD + b"/acls/folder"), "u:48:rwx,d:u:48:rwx,d:o::---"),
    ):
        done = subprocess.run(["setfacl", "-m", entries, "--", ground.at(path)], capture_output=True)
        if done.returncode:
            ground.skipped.add("ACLs")
    ground.file(ODD + b"/acls/folder/inherited", b"x\n")


def _deep(ground: Ground) -> None:
    """Folders in folders until the path is longer than the kernel takes in one call (PATH_MAX, 4096 bytes)."""
    fd = os.open(ground.at(ground.folder(ODD + b"/deep")), os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(31):
        os.mkdir(b"d" * 200, dir_fd=fd)
        below = os.open(b"d" * 200, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    with os.fdopen(os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd), "wb") as stream:
        stream.write(b"no path reaches this\n")
    os.close(fd)


def _times(ground: Ground) -> None:
    for number, moment in enumerate(_MOMENTS):
        for path in (
            ground.file(ODD + b"/times/%d/file" % number, b"x\n"),
            ground.link(ODD + b"/times/%d/link" % number, b"file"),
            ODD + b"/times/%d" % number,
        ):
            os.utime(ground.at(path), ns=(0, moment * 10**9 + 123456789), follow_symlinks=False)


def _flags(ground: Ground) -> None:
    for name, flag in (
        (b"immutable", inode_flags.IMMUTABLE),
        (b"append-only", inode_flags.APPEND_ONLY),
        (b"no-dump", inode_flags.NO_DUMP),
        (b"no-atime", inode_flags.NO_ATIME),
    ):
        path = ground.file(ODD + b"/flags/" + name, b"flagged\n")
        ground.attempt("inode flags", inode_flags.mark, ground.at(path), flag)
