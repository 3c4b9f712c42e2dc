"""SQLite files in accounts: known by their header, copied while others write, never with root's rights.

A copy of the file alone is torn when somebody writes, and lacks what is still in the log beside it. SQLite's own backup is
whole, but it opens, and may create and recover, files whose names anybody chooses who can write in the folder: so a process
that has become the file's owner does it. A link that is planted there leads no further than its owner could go himself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HEADER = b"SQLite format 3\0"

_CHILD = Path(__file__).with_name("sqlite_child.py")
_NOBODY = 65534
_BLOCK = 1 << 20
_MOST_REASON = 500

Sink = Callable[[bytes], object]


def is_sqlite(begins: bytes) -> bool:
    """Whether a file that begins so is a SQLite database."""
    return begins.startswith(HEADER)


def copy(folder: int, name: bytes, uid: int, gid: int, sink: Sink) -> str:
    """Copy a SQLite file of an open folder as one moment of it, checked, and give its bytes to ``sink``.

    Returns why there is no whole copy, empty when there is; what ``sink`` got then counts, and not before. ``uid`` and
    ``gid`` are the file's owner; a file of root's is looked at as nobody. The copy stands in the folder of temporary files
    meanwhile.
    """
    if uid == 0 or gid == 0:
        uid, gid = (_NOBODY, _NOBODY) if uid == 0 else (uid, _NOBODY)
    with _scratch(uid, gid) as scratch:
        command = [sys.executable, "-I", "-S", str(_CHILD), str(folder), os.fsdecode(name), scratch, str(uid), str(gid)]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(folder,),
            env={"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        ) as child:
            assert child.stdout and child.stderr  # noqa: S101  (both are pipes)
            try:
                while block := child.stdout.read(_BLOCK):
                    sink(block)
                said = child.stderr.read(_MOST_REASON)
            finally:
                child.stdout.close()
                child.stderr.close()
    if child.returncode == 0:
        return ""
    if child.returncode < 0:
        return f"SQLite: the copy was ended by signal {-child.returncode}"
    return f"SQLite: {' '.join(said.decode('utf-8', 'replace').split()) or 'the copy failed'}"


@contextmanager
def _scratch(uid: int, gid: int) -> Iterator[str]:
    """A path for the copy: in a folder of the owner's, which lies in one of ours that nobody else can rename it in."""
    ours = tempfile.mkdtemp(prefix="strongroom-")
    try:
        os.chmod(ours, 0o711)  # noqa: S103  (to be gone through, not to be looked into)
        below = os.path.join(ours, "copy")
        os.mkdir(below, 0o700)
        if os.geteuid() == 0:
            os.chown(below, uid, gid, follow_symlinks=False)
        yield os.path.join(below, "copy.db")
    finally:
        shutil.rmtree(ours)
