"""The process that copies one SQLite file; run by `strongroom.exports.sqlite` as a program of its own.

It starts as root, with nothing of ours in its memory and no descriptor but the folder, loads what it needs, becomes the
file's owner for good, and only then looks at anything. The copy goes to standard output; why there is none, to standard error.
It imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import time
import urllib.parse

# How long all of it may take, and how long others may keep the file locked.
_MOST_SECONDS = 600
_LOCKED_SECONDS = 20.0
_BLOCK = 1 << 20
_MOST_DESCRIPTORS = 256


def main() -> int:
    """Copy ``NAME`` of the folder that is descriptor ``FOLDER`` through ``SCRATCH``, as ``UID`` and ``GID``.

    ``DEVICE`` and ``INODE`` are the file that was asked for.
    """
    folder, name, scratch = int(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3]
    uid, gid, *inode = map(int, sys.argv[4:8])
    signal.alarm(_MOST_SECONDS)
    # Loaded now: its files may lie where the owner cannot look.
    sqlite3.connect(":memory:").close()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    os.fchdir(folder)
    try:
        copy(name, scratch, (inode[0], inode[1]))
    except (sqlite3.Error, OSError, TimeoutError) as error:
        sys.stderr.write(" ".join(str(error).split()))
        return 1
    with open(scratch, "rb") as made:
        while block := made.read(_BLOCK):
            sys.stdout.buffer.write(block)
    return 0


def copy(name: bytes, scratch: str, inode: tuple[int, int]) -> None:
    """Copy one moment of the file, and check the copy.

    Raise sqlite3.Error, PermissionError where other files were opened, or TimeoutError where it stays locked.
    """
    target = sqlite3.connect(scratch)
    try:
        if os.statvfs(".").f_flag & os.ST_RDONLY:
            _copy_still(name, scratch, target, inode)
        else:
            _copy_live(name, scratch, target, inode)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    finally:
        target.close()


def _copy_live(name: bytes, scratch: str, target: sqlite3.Connection, inode: tuple[int, int]) -> None:
    # To look is enough where nothing has to be recovered first.
    source = _opened(name, "ro")
    try:
        _backup(source, target)
    except sqlite3.OperationalError:
        source = _opened(name, "rw")
        _backup(source, target)
    _refuse_others(name, _open_files() - _below(os.path.dirname(scratch)), inode)


def _copy_still(name: bytes, scratch: str, target: sqlite3.Connection, inode: tuple[int, int]) -> None:
    """Of a frozen folder the files are one moment already, but nothing could be recovered there: do so elsewhere."""
    still = os.fsencode(scratch) + b".still"
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            fd = os.open(name + suffix, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            if not suffix:
                raise
            continue
        with open(fd, "rb") as read, open(still + suffix, "xb") as written:
            status = os.fstat(fd)
            if not suffix and (status.st_dev, status.st_ino) != inode:
                raise PermissionError("another file stands in its place")
            while block := read.read(_BLOCK):
                written.write(block)
    _backup(_opened(still, "rw"), target)


def _backup(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """All of it in one step, since a writer would make several begin anew."""
    until = time.monotonic() + _LOCKED_SECONDS

    def wait(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise TimeoutError(f"locked by others for {_LOCKED_SECONDS:.0f} seconds")

    source.backup(target, pages=-1, progress=wait, sleep=0.05)


def _opened(name: bytes, mode: str) -> sqlite3.Connection:
    place = "file:" + urllib.parse.quote_from_bytes(name) + f"?mode={mode}"
    source = sqlite3.connect(place, uri=True, timeout=_LOCKED_SECONDS)
    source.execute("PRAGMA trusted_schema = OFF")
    return source


def _open_files() -> set[tuple[int, int]]:
    """The regular files that this process has open."""
    found = set()
    for fd in range(3, _MOST_DESCRIPTORS):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.add((status.st_dev, status.st_ino))
    return found


def _below(folder: str) -> set[tuple[int, int]]:
    """The files of our own folder."""
    with os.scandir(folder) as entries:
        return {(status.st_dev, status.st_ino) for status in (entry.stat(follow_symlinks=False) for entry in entries)}


def _refuse_others(name: bytes, opened: set[tuple[int, int]], inode: tuple[int, int]) -> None:
    """Raise PermissionError unless SQLite opened that file, and beside it nothing that a link led to."""
    allowed = {inode}
    for suffix in (b"-wal", b"-shm", b"-journal"):
        try:
            status = os.lstat(name + suffix)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            allowed.add((status.st_dev, status.st_ino))
    if inode not in opened or opened - allowed:
        raise PermissionError("another file stands in its place, or in that of its log")


if __name__ == "__main__":
    sys.exit(main())
