"""The process that copies one SQLite file; run by `strongroom.exports.sqlite` as a program of its own.

It starts as root, with nothing of ours in its memory and no descriptor but the folder, loads what it needs, becomes the
file's owner for good, and only then looks at anything. The copy goes to standard output; why there is none, to standard error.
It imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
import urllib.parse

# How long all of it may take, and how long others may keep the file locked.
_MOST_SECONDS = 600
_LOCKED_SECONDS = 20.0
_BLOCK = 1 << 20


def main() -> int:
    """Copy ``NAME`` of the folder that is descriptor ``FOLDER`` through ``SCRATCH``, as ``UID`` and ``GID``."""
    folder, name, scratch, uid, gid = int(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:6])
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
        copy(name, scratch)
    except (sqlite3.Error, OSError, TimeoutError) as error:
        sys.stderr.write(" ".join(str(error).split()))
        return 1
    with open(scratch, "rb") as made:
        while block := made.read(_BLOCK):
            sys.stdout.buffer.write(block)
    return 0


def copy(name: bytes, scratch: str) -> None:
    """Copy one moment of the file, and check the copy. Raise sqlite3.Error, or TimeoutError where it stays locked."""
    until = time.monotonic() + _LOCKED_SECONDS

    def wait(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise TimeoutError(f"locked by others for {_LOCKED_SECONDS:.0f} seconds")

    target = sqlite3.connect(scratch)
    try:
        # To look is enough where nothing has to be recovered first; in one step, since a writer would make several begin anew.
        try:
            _opened(name, "ro").backup(target, pages=-1, progress=wait, sleep=0.05)
        except sqlite3.OperationalError:
            _opened(name, "rw").backup(target, pages=-1, progress=wait, sleep=0.05)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    finally:
        target.close()


def _opened(name: bytes, mode: str) -> sqlite3.Connection:
    place = "file:" + urllib.parse.quote_from_bytes(name) + f"?mode={mode}"
    source = sqlite3.connect(place, uri=True, timeout=_LOCKED_SECONDS)
    source.execute("PRAGMA trusted_schema = OFF")
    return source


if __name__ == "__main__":
    sys.exit(main())
