"""Reads adopted points: what the catalog says of them, and what Bacula brings back, with the attributes that it has then.

The catalog knows a file's stat and its digest, but neither attributes nor where links lead. So a listing is the catalog's, and
a restore's entries are read from what was brought.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Callable, Iterator, Sequence

import msgspec

from strongroom.clients.bacula import catalog_rows
from strongroom.clients.bacula.adoption import Adopted
from strongroom.clients.bacula.tool import BaculaTool
from strongroom.clients.sidecar import Content, Row, Sidecar, entry, sort_key, write
from strongroom.clients.vault_survey import xattrs_of
from strongroom.clients.workroom import Workroom
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, ReadPlan, ReadStep, text

_PIECE = 1 << 20
_SECONDS_PER_JOB, _BYTES_PER_SECOND = 3.0, 60_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AdoptedReader:
    """Reads adopted points of one client; what it brings is there until it is closed."""

    def __init__(self, tool: BaculaTool, room: Workroom) -> None:
        self._tool, self._room = tool, room
        self._stack = contextlib.ExitStack()
        self._brought: dict[str, list[tuple[tuple[bytes, ...], bytes]]] = {}

    def close(self) -> None:
        """Remove what was brought."""
        self._brought.clear()
        self._stack.close()

    # --- the catalog ----------------------------------------------------------------------------------------------

    def sidecar(self, adopted: Adopted) -> Sidecar:
        """What the catalog says of a point's entries, as a sidecar in the state folder."""
        path = os.path.join(self._room.below(b"catalogs"), adopted.point.id.encode())
        if not os.path.exists(path):
            rows = sorted(self._rows(adopted), key=lambda row: sort_key(row.path))
            write(path + b".new", rows)
            os.rename(path + b".new", path)
        return Sidecar(path)

    def _rows(self, adopted: Adopted) -> Iterator[Row]:
        """The newest row of each path that is not gone."""
        newest: dict[bytes, Row | None] = {}
        columns = ("File.FileId", "File.FileIndex", "Path.Path", "Filename.Name", "File.LStat", "File.MD5")
        for link in adopted.chain:
            for tree, place in adopted.places:
                rest = (
                    "FROM File JOIN Path ON Path.PathId=File.PathId JOIN Filename ON Filename.FilenameId=File.FilenameId "
                    f"WHERE File.JobId={link.id} AND Path.Path>='{_doubled(place)}/' AND Path.Path<'{_doubled(place)}0'"
                )
                for file, index, path, name, lstat, digest in self._tool.console.rows(columns, rest):
                    below = os.fsencode(path + name)[len(os.fsencode(place)) + 1 :].rstrip(b"/")
                    stored = tree.encode() + (b"/" + below if below else b"")
                    found = catalog_rows.row(stored, lstat, digest, int(file), link.id) if int(index) > 0 else None
                    newest[stored] = found
        return (row for row in newest.values() if row is not None)

    def plan(self, adopted: Adopted, rows: Sequence[Row]) -> ReadPlan:
        """What bringing rows back reads: the job that has each, and the volumes that it lies on."""
        steps = []
        volumes = self._tool.jobs.volumes([link.id for link in adopted.chain])
        there = self._tool.jobs.named([link.name for link in adopted.chain])
        for link in adopted.chain:
            if link.name not in there:
                raise ClientError(
                    f"point {adopted.point.id} needs job {link.name}, which is purged from Bacula's catalog"
                )
            mine = [row for row in rows if row.place == link.id]
            if not mine:
                continue
            on = ", ".join(volumes.get(link.id, ())) or "none"
            size = sum(row.size for row in mine if row.kind == FileType.FILE)
            what = f"{len(mine):,} entries; job {link.id} on {on}"
            steps.append(ReadStep(run=link.name, level=link.level, what=what, bytes=size))
        total = sum(step.bytes for step in steps)
        return ReadPlan(reads=tuple(steps), bytes=total, seconds=round(_SECONDS_PER_JOB + total / _BYTES_PER_SECOND, 1))

    # --- what is brought ------------------------------------------------------------------------------------------

    def bring(self, adopted: Adopted, paths: Sequence[bytes]) -> bytes:
        """Bring stored paths back in one job; returns the folder that they lie in, by their paths in the backup."""
        for there, folder in self._brought.get(adopted.point.id, ()):
            if all(any(path == each or path.startswith(each + b"/") for each in there) for path in paths):
                return folder
        target = self._stack.enter_context(self._room.spare())
        self._tool.director.need()
        wanted = sorted({_nameable(_place(adopted, path), self._tool.holds) for path in paths})
        self._tool.restore([link.id for link in adopted.chain], wanted, target)
        self._brought.setdefault(adopted.point.id, []).append((tuple(paths), target))
        return target

    def walk(self, adopted: Adopted, rows: Iterator[Row], paths: Sequence[bytes]) -> Iterator[Entry]:
        """Entries with all that Bacula brought of them; what it did not bring is a defect."""
        folder = self.bring(adopted, paths)
        for row in rows:
            yield entry(_completed(row, folder, _place(adopted, row.path)))

    def contents(self, adopted: Adopted, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port; each content is checked against the digest that the catalog has of it."""
        folder = self.bring(adopted, [wanted.path for wanted in entries])
        for number, wanted in enumerate(entries):
            if not isinstance(wanted.content, Content):
                raise ClientError("content was asked of something that is no file of this client")
            row = wanted.content.row
            fd = _opened(folder, _place(adopted, row.path), _FILE)
            if fd < 0 or not modes.S_ISREG(os.fstat(fd).st_mode):
                raise ClientError(f"bacula did not bring {text(row.path)!r} back; look into its job's messages")
            try:
                if not catalog_rows.is_content(row.digest, _pieces(fd)):
                    raise ClientError(
                        f"what bacula brought of {text(row.path)!r} is not what its catalog has a digest of"
                    )
                at = 0
                for piece in _pieces(fd):
                    yield number, at, piece
                    at += len(piece)
                if at != row.size:
                    raise ClientError(f"bacula brought {at} of {row.size} bytes of {text(row.path)!r}")
            finally:
                os.close(fd)


def _place(adopted: Adopted, path: bytes) -> bytes:
    """Where an entry is in the backup."""
    tree, slash, below = path.partition(b"/")
    return os.fsencode(dict(adopted.places)[tree.decode()]) + slash + below


def _nameable(path: bytes, holds: Callable[[bytes], bool]) -> bytes:
    """A path, or the nearest folder above it, that the console can be told."""
    while not holds(path):
        path = path.rpartition(b"/")[0]
    return path


def _completed(row: Row, folder: bytes, place: bytes) -> Row:
    """A row with its attributes and target, from what was brought."""
    above, _, name = place.rpartition(b"/")
    fd = _opened(folder, above, _FOLDER)
    if fd < 0:
        return msgspec.structs.replace(row, defect="bacula did not bring it back", digest=b"")
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        target = os.readlink(name, dir_fd=fd) if modes.S_ISLNK(status.st_mode) else b""
        xattrs = xattrs_of(b"/proc/self/fd/%d/%s" % (fd, name))
        device = row.kind in (FileType.CHAR, FileType.BLOCK)
        rdev = (os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0)
        return msgspec.structs.replace(row, target=target, xattrs=xattrs, rdev=rdev)
    except OSError as error:
        return msgspec.structs.replace(row, defect=f"bacula did not bring it back: {error.strerror}", digest=b"")
    finally:
        os.close(fd)


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


def _doubled(path: str) -> str:
    """A path as it stands between SQL's quotes, inside the console's."""
    if any(char in path for char in '"\\\n\r\0'):
        raise ClientError(
            f"{path!r} cannot be asked of Bacula's catalog: it has a quote, a backslash or a line's end in it"
        )
    return path.replace("'", "''")
