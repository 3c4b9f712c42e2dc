"""SQLite files in accounts: known by their header, copied while others write, never with root's rights.

A copy of the file alone is torn when somebody writes, and lacks what is still in the log beside it. SQLite's own backup is
whole, but it opens, and may create and recover, files whose names anybody chooses who can write in the folder: so a process
that has become the file's owner does it. A link that is planted there leads no further than its owner could go himself, and
what was read is thrown away where any file was opened but the one that was asked for and those beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HEADER = b"SQLite format 3\0"
# What a database's log, the log's shared memory, and its journal are called after it.
SUFFIXES = ("-wal", "-shm", "-journal")

_CHILD = os.path.join(os.path.dirname(__file__), "sqlite_child.py")
# An id that distributions give to nobody, not even to daemons as they do with 65534.
_STRANGER = 65533
_BLOCK = 1 << 20
_MOST_REASON = 500


class SqliteFiles:
    """The port `strongroom.clients.base.Substitute` for SQLite's files."""

    suffixes = SUFFIXES

    def wants(self, begins: bytes) -> bool:
        """Whether a file that begins so is a SQLite database."""
        return begins.startswith(HEADER)

    def copy(self, folder: int, name: bytes, status: os.stat_result) -> Copy:
        """See the port."""
        return Copy(folder, name, status)


class Copy:
    """A copy of a SQLite file as one moment of it, checked.

    ``pieces`` is read once, to its end; then ``failure`` says why there is no whole copy, empty when there is. What came
    counts only then. The file's owner copies. A file of root's is looked at as a stranger or, where that one may not, its
    bytes are taken from where it stands, to be opened by him. The copy stands in the folder of temporary files meanwhile.
    """

    def __init__(self, folder: int, name: bytes, status: os.stat_result) -> None:
        """``status`` is that of the file ``name`` in an open folder."""
        self.failure = ""
        self.pieces = self._pieces(folder, name, status)

    def _pieces(self, folder: int, name: bytes, status: os.stat_result) -> Iterator[bytes]:
        try:
            yield from self._copied(folder, name, status)
        except OSError as error:
            self.failure = f"SQLite: {error}"

    def _copied(self, folder: int, name: bytes, status: os.stat_result) -> Iterator[bytes]:
        import subprocess  # late: most nights copy none

        uid, gid = status.st_uid, status.st_gid
        if uid == 0 or gid == 0:
            uid, gid = (_STRANGER, _STRANGER) if uid == 0 else (uid, _STRANGER)
        numbers = (uid, gid, status.st_dev, status.st_ino)
        with _scratch(uid, gid) as scratch:
            command = [sys.executable, "-I", "-S", _CHILD, str(folder), os.fsdecode(name), scratch]
            with subprocess.Popen(
                [*command, *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(folder,),
                env={"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            ) as child:
                assert child.stdout and child.stderr  # noqa: S101  (both are pipes)
                try:
                    while block := child.stdout.read(_BLOCK):
                        yield block
                    said = child.stderr.read(_MOST_REASON)
                finally:
                    child.stdout.close()
                    child.stderr.close()
        if child.returncode < 0:
            self.failure = f"SQLite: the copy was ended by signal {-child.returncode}"
        elif child.returncode:
            self.failure = f"SQLite: {'; '.join(said.decode('utf-8', 'replace').splitlines()) or 'the copy failed'}"


@contextmanager
def _scratch(uid: int, gid: int) -> Iterator[str]:
    """A path for the copy: in a folder of the owner's, which lies in one of ours that nobody else can rename it in."""
    import shutil
    import tempfile

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
