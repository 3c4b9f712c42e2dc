"""The process that copies one SQLite file; run by `strongroom.exports.sqlite` as a program of its own.

It starts as root, with nothing of ours in its memory and no descriptor but the folder, loads what it needs, shuts itself
into the folder, becomes the file's owner for good, and only then looks at anything. The copy goes to standard output; why
there is none, to standard error. It imports nothing of ours.
"""

from __future__ import annotations

import contextlib
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
# How often a file that root alone may read is looked at, until it stands still for as long as it takes to read it.
_LOOKS, _A_LOOK = 10, 0.2


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
    gathered = False
    if not frozen and (status := _elsewhere(lambda: _live(name, scratch, (uid, gid), (device, inode)))):
        if not _is_roots(name, (device, inode)) or _tried(lambda: take(name, scratch, (uid, gid), (device, inode))):
            return status
        gathered = True
    if os.geteuid() == 0:
        _become(uid, gid)
    if frozen:
        if status := _tried(lambda: _gather(name, scratch, (device, inode))):
            return status
        gathered = True
    return _tried(lambda: _whole(scratch, gathered=gathered))


def _is_frozen(name: bytes) -> bool:
    """Whether not even root could write to the file or beside it: a read-only mount or snapshot."""
    return os.geteuid() == 0 and not os.access(".", os.W_OK) and not os.access(name, os.W_OK)


def _is_roots(name: bytes, inode: tuple[int, int]) -> bool:
    """Whether the file that was asked for stands there and is root's, so that who copies it may not be able to read it."""
    try:
        status = os.lstat(name)
    except OSError:
        return False
    return os.geteuid() == 0 and status.st_uid == 0 and (status.st_dev, status.st_ino) == inode


def _tried(act: Callable[[], None]) -> int:
    """Do something; its exit status, with the reason on standard error."""
    signal.alarm(_MOST_SECONDS)
    try:
        act()
    except (sqlite3.Error, OSError, TimeoutError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
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


def take(name: bytes, scratch: str, owner: tuple[int, int], inode: tuple[int, int]) -> None:
    """Gather a file of root's and its log by their bytes, as root, once nothing of them moves; SQLite has no part in it.

    What stands beside it counts only when it is root's own as well, under this one name. Raise TimeoutError, PermissionError.
    """
    for _ in range(_LOOKS):
        before = _looks(name)
        _gather(name, scratch, inode, owner)
        if _looks(name) == before:
            return
        time.sleep(_A_LOOK)
    raise TimeoutError("root alone may read it, and it was written to all the time")


def _looks(name: bytes) -> list[tuple[int, ...]]:
    """What changes whenever a file, its log or its journal does."""
    found: list[tuple[int, ...]] = []
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            status = os.lstat(name + suffix)
        except FileNotFoundError:
            found.append(())
        else:
            if not stat.S_ISREG(status.st_mode):
                raise PermissionError("what stands beside it is no file")
            found.append((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return found


def _whole(scratch: str, *, gathered: bool) -> None:
    """Check the copy, and write it out; of files that were ``gathered`` it is made here."""
    target = sqlite3.connect(scratch)
    try:
        if gathered:
            _backup(_opened(os.fsencode(scratch) + _STILL, "rw"), target)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    finally:
        target.close()
    with open(scratch, "rb") as made:
        while block := made.read(_BLOCK):
            sys.stdout.buffer.write(block)


def _gather(name: bytes, scratch: str, inode: tuple[int, int], owner: tuple[int, int] | None = None) -> None:
    """Take files that are one moment already elsewhere, since nothing can be recovered where they stand.

    With an ``owner`` root gathers for that user, and only what is root's own.
    """
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            fd = os.open(name + suffix, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            if not suffix:
                raise
            continue
        target = os.fsencode(scratch) + _STILL + suffix
        if owner:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
        with open(fd, "rb") as read, open(target, "xb") as written:
            status = os.fstat(fd)
            if owner:
                if not stat.S_ISREG(status.st_mode) or status.st_uid or status.st_nlink != 1:
                    raise PermissionError("it, or what stands beside it, is not root's alone")
                os.fchown(written.fileno(), *owner)
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
