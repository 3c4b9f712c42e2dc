"""The process that copies one SQLite file; run by `strongroom.exports.sqlite` as a program of its own.

It starts as root, with nothing of ours in its memory and no descriptor but the folder, loads what it needs, shuts itself
into the folder, becomes the file's owner for good, and only then looks at anything. The copy goes to standard output; why
there is none, to standard error. It imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import time
import urllib.parse
from collections.abc import Callable, Set

# How long all of it may take, and how long others may keep the file locked.
_MOST_SECONDS = 600
_LOCKED_SECONDS = 20.0
_BLOCK = 1 << 20
_MOST_DESCRIPTORS = 256
_STILL = b".still"


def main() -> int:
    """Copy ``NAME`` of the folder that is descriptor ``FOLDER`` through ``SCRATCH``, as ``UID`` and ``GID``.

    ``DEVICE`` and ``INODE`` are the file that was asked for. Another process yet does what opens files by names that
    somebody else chooses: the folder is all that there is for it.
    """
    folder, name, scratch = int(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3]
    uid, gid, device, inode = map(int, sys.argv[4:8])
    # Loaded now: its files may lie where the owner cannot look.
    sqlite3.connect(":memory:").close()
    os.umask(0o077)
    os.fchdir(folder)
    frozen = _is_frozen(name)
    if not frozen and (status := _elsewhere(lambda: _live(name, scratch, (uid, gid), (device, inode)))):
        return status
    if os.geteuid() == 0:
        _become(uid, gid)
    return _tried(lambda: _whole(name, scratch, (device, inode) if frozen else None))


def _is_frozen(name: bytes) -> bool:
    """Whether not even root could write to the file or beside it: a read-only mount or snapshot."""
    return os.geteuid() == 0 and not os.access(".", os.W_OK) and not os.access(name, os.W_OK)


def _tried(act: Callable[[], None]) -> int:
    """Do something; its exit status, with the reason on standard error."""
    signal.alarm(_MOST_SECONDS)
    try:
        act()
    except (sqlite3.Error, OSError, TimeoutError) as error:
        sys.stderr.write(" ".join(str(error).split()))
        sys.stderr.flush()
        return 1
    return 0


def _elsewhere(act: Callable[[], None]) -> int:
    """Do something in a process of its own; its exit status."""
    pid = os.fork()
    if pid == 0:
        os._exit(_tried(act))
    return abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _live(name: bytes, scratch: str, owner: tuple[int, int], inode: tuple[int, int]) -> None:
    """Copy what others may be writing to, shut into its folder: a link leads nowhere else, and the way to it is no matter."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setegid(owner[1])
        os.seteuid(owner[0])
    target = sqlite3.connect(scratch)
    # From here on no file beside it can be made.
    target.execute("PRAGMA journal_mode = OFF")
    target.execute("PRAGMA temp_store = MEMORY")
    ours = _open_files()
    if os.getuid() == 0:
        os.seteuid(0)
        os.chroot(".")
        _become(*owner)
    copy(name, target, inode, ours)
    target.close()


def copy(name: bytes, target: sqlite3.Connection, inode: tuple[int, int], ours: Set[tuple[int, int]]) -> None:
    """Copy one moment of the file. ``ours`` are files that are open already.

    Raise sqlite3.Error, PermissionError where other files were opened, or TimeoutError where it stays locked.
    """
    # To look is enough where nothing has to be recovered first.
    source = _opened(name, "ro")
    try:
        _backup(source, target)
    except sqlite3.OperationalError:
        source = _opened(name, "rw")
        _backup(source, target)
    _refuse_others(name, _open_files() - ours, inode)


def _whole(name: bytes, scratch: str, frozen: tuple[int, int] | None) -> None:
    """Check the copy, and write it out; of a ``frozen`` file (device and inode) it is made here."""
    target = sqlite3.connect(scratch)
    try:
        if frozen:
            _still(name, scratch, frozen)
            _backup(_opened(os.fsencode(scratch) + _STILL, "rw"), target)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    finally:
        target.close()
    with open(scratch, "rb") as made:
        while block := made.read(_BLOCK):
            sys.stdout.buffer.write(block)


def _still(name: bytes, scratch: str, inode: tuple[int, int]) -> None:
    """Of a frozen folder the files are one moment already, but nothing can be recovered there: take them elsewhere."""
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            fd = os.open(name + suffix, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            if not suffix:
                raise
            continue
        with open(fd, "rb") as read, open(os.fsencode(scratch) + _STILL + suffix, "xb") as written:
            status = os.fstat(fd)
            if not suffix and (status.st_dev, status.st_ino) != inode:
                raise PermissionError("another file stands in its place")
            while block := read.read(_BLOCK):
                written.write(block)


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
