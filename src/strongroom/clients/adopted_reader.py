"""Reads adopted points: what their tool lists of them, and what it brings back, with the attributes that it has then.

A listing knows a file's stat, but neither attributes nor (mostly) where links lead. So a restore's entries are read from what
was brought.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Iterator, Sequence

import msgspec

from strongroom.clients.adopted import Adopted, Adoption
from strongroom.clients.sidecar import Content, Row, Sidecar, entry, sort_key, write
from strongroom.clients.vault_survey import xattrs_of
from strongroom.clients.workroom import Workroom
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, text

_PIECE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AdoptedReader:
    """Reads adopted points of one client; what it brings is there until it is closed."""

    def __init__(self, adoption: Adoption, room: Workroom) -> None:
        self._adoption, self._room = adoption, room
        self._stack = contextlib.ExitStack()
        self._brought: dict[str, list[tuple[tuple[bytes, ...], bytes]]] = {}

    def close(self) -> None:
        """Remove what was brought."""
        self._brought.clear()
        self._stack.close()

    def sidecar(self, adopted: Adopted) -> Sidecar:
        """What the tool lists of a point's entries, as a sidecar in the state folder."""
        path = os.path.join(self._room.below(b"catalogs"), adopted.point.id.encode())
        if not os.path.exists(path):
            rows = sorted(self._adoption.rows(adopted), key=lambda row: sort_key(row.path))
            write(path + b".new", rows)
            os.rename(path + b".new", path)
        return Sidecar(path)

    def bring(self, adopted: Adopted, paths: Sequence[bytes]) -> bytes:
        """Bring stored paths back at once; returns the folder that they lie in, by their paths in the backup."""
        for there, folder in self._brought.get(adopted.point.id, ()):
            if all(any(path == each or path.startswith(each + b"/") for each in there) for path in paths):
                return folder
        target = self._stack.enter_context(self._room.spare())
        folder = self._adoption.bring(adopted, sorted({_place(adopted, path) for path in paths}), target)
        self._brought.setdefault(adopted.point.id, []).append((tuple(paths), folder))
        return folder

    def walk(self, adopted: Adopted, rows: Iterator[Row], paths: Sequence[bytes]) -> Iterator[Entry]:
        """Entries with all that was brought of them; what it did not bring is a defect."""
        folder = self.bring(adopted, paths)
        for row in rows:
            yield entry(self._completed(row, folder, _place(adopted, row.path)))

    def _completed(self, row: Row, folder: bytes, place: bytes) -> Row:
        """A row with its attributes and target, and its links where the listing did not tell them, from what was brought."""
        missed = f"{self._adoption.driver} did not bring it back"
        above, _, name = place.rpartition(b"/")
        fd = _opened(folder, above, _FOLDER)
        if fd < 0:
            return msgspec.structs.replace(row, defect=missed, digest=b"")
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            target = os.readlink(name, dir_fd=fd) if modes.S_ISLNK(status.st_mode) else b""
            xattrs = xattrs_of(b"/proc/self/fd/%d/%s" % (fd, name))
            device = row.kind in (FileType.CHAR, FileType.BLOCK)
            rdev = (os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0)
            row = msgspec.structs.replace(row, target=target, xattrs=xattrs, rdev=rdev)
            return row if row.inode else _linked(row, status)
        except OSError as error:
            return msgspec.structs.replace(row, defect=f"{missed}: {error.strerror}", digest=b"")
        finally:
            os.close(fd)

    def contents(self, adopted: Adopted, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port; each content is checked against the digest that is known of it."""
        folder = self.bring(adopted, [wanted.path for wanted in entries])
        for number, wanted in enumerate(entries):
            if not isinstance(wanted.content, Content):
                raise ClientError("content was asked of something that is no file of this client")
            row = wanted.content.row
            fd = _opened(folder, _place(adopted, row.path), _FILE)
            if fd < 0 or not modes.S_ISREG(os.fstat(fd).st_mode):
                raise ClientError(
                    f"{self._adoption.driver} did not bring {text(row.path)!r} back; look into its messages"
                )
            try:
                if not self._adoption.is_content(row, _pieces(fd)):
                    raise ClientError(
                        f"what {self._adoption.driver} brought of {text(row.path)!r} is not what it has a digest of"
                    )
                at = 0
                for piece in _pieces(fd):
                    yield number, at, piece
                    at += len(piece)
                if at != row.size:
                    raise ClientError(f"{self._adoption.driver} brought {at} of {row.size} bytes of {text(row.path)!r}")
            finally:
                os.close(fd)


def _place(adopted: Adopted, path: bytes) -> bytes:
    """Where an entry is in the backup."""
    tree, slash, below = path.partition(b"/")
    return os.fsencode(dict(adopted.places)[tree.decode()]) + slash + below


def _linked(row: Row, status: os.stat_result) -> Row:
    """A row with what the listing left out: the exact time, and which names are one file."""
    links = 1 if row.kind == FileType.DIR else status.st_nlink
    mtime = divmod(status.st_mtime_ns, 1_000_000_000)
    return msgspec.structs.replace(row, inode=status.st_ino, links=links, mtime=mtime)


def _opened(folder: bytes, place: bytes, flags: int) -> int:
    """Open something below a folder, through folders alone; -1 where that cannot be."""
    fd = os.open(folder, _FOLDER)
    parts = [part for part in place.split(b"/") if part]
    try:
        for number, part in enumerate(parts):
            below = os.open(part, flags if number == len(parts) - 1 else _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
    except OSError:
        os.close(fd)
        return -1
    return fd


def _pieces(fd: int) -> Iterator[bytes]:
    at = 0
    while data := os.pread(fd, _PIECE, at):
        yield data
        at += len(data)
