"""A point of another client, or a chain of one's own, becomes a full set of foreign software.

The point's trees are built anew in the state folder, as the source tells of them, with the times and modes that tools look at,
so that the next increment finds them unchanged; all else is in the sidecar. The server is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from strongroom.clients.base import Client
from strongroom.clients.box import Bind
from strongroom.clients.content_hash import ContentHash
from strongroom.clients.new_set import HOLES, NewSet
from strongroom.clients.sidecar import Row, write
from strongroom.clients.staging import Extents, Tally, batches, holes_of, readable, stage
from strongroom.clients.tool import Saved
from strongroom.clients.vault_carry import trees
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Point, Time, text

_PIECE = 1 << 20
_BILLION = 1_000_000_000


class Carrying:
    """Builds a point of ``source`` below an empty folder of ours, and has it saved as a set."""

    def __init__(self, new: NewSet, point: Point, source: Client, spool: bytes) -> None:
        self._set, self._point, self._source = new, point, source
        self.sidecar = os.path.join(spool, b"first/sidecar")
        self._apart = os.path.join(spool, b"first/apart")
        self._tree = os.path.join(spool, b"tree")
        self._numbers = 0
        self.tally = Tally()
        # Folders that are built, and links; both get what they need at the end, so that no link is there while files are written.
        self._folders: dict[bytes, Entry] = {}
        self._links: list[Entry] = []

    def save(self) -> Saved:
        """Build it and make the set. Raise ClientError."""
        names = trees(self._source, self._point)
        try:
            for folder in (os.path.dirname(self._apart), self._apart, self._tree):
                os.mkdir(folder, 0o700)
            write(self.sidecar, self._rows(names))
            self._finish()
        except OSError as error:
            message = f"{text(self._tree)} cannot be written ({error.strerror}); make room in the state folder"
            raise ClientError(message) from error
        folders = [
            Bind(source=self._path(name.encode()), place=name.encode())
            for name in names
            if name.encode() in self._folders
        ]
        saved = self._set.save(folders, os.path.dirname(self.sidecar))
        if saved.troubles:
            told = saved.troubles[0]
            raise ClientError(f"{self._set.tool.driver} could not copy {text(told.path)!r}: {told.message}")
        return saved

    def _path(self, path: bytes) -> bytes:
        return os.path.join(self._tree, path)

    def _rows(self, names: Sequence[str]) -> Iterator[Row]:
        walked = self._source.walk(self._point, [name.encode() for name in names])
        for batch in batches(self.tally.over(walked)):
            yield from self._batch(batch)

    def _batch(self, batch: list[Entry]) -> Iterator[Row]:
        for entry in batch:
            self._begin(entry)
        files = [entry for entry in batch if readable(entry)]
        places = [self._place_of(entry) for entry in files]
        paths = [self._file(entry, place) for entry, place in zip(files, places, strict=True)]
        staged = stage(self._source, self._point, files, lambda number: paths[number])
        numbers = {entry.path: number for number, entry in enumerate(files)}
        for entry in batch:
            number = numbers.get(entry.path)
            if number is None:
                yield _row(entry)
                continue
            extents = staged[number]
            digest = _digest(paths[number], extents, entry.size)
            if places[number]:
                _compact(paths[number], extents)
            else:
                os.truncate(paths[number], entry.size)
                _settle(paths[number], entry)
            yield _row(entry, digest, holes_of(entry, extents), places[number])

    # --- building -------------------------------------------------------------------------------------------------

    def _begin(self, entry: Entry) -> None:
        """Make a folder, and keep links for later. Pipes and devices are the sidecar's alone."""
        above, _, name = entry.path.rpartition(b"/")
        if name in (b"", b".", b"..") or b"\0" in entry.path:
            raise ClientError(f"the point holds {text(entry.path)!r}, which is no path; check its client")
        if not self._holds(entry.path, above):
            return
        if entry.type is FileType.DIR:
            os.mkdir(self._path(entry.path), 0o700)
            self._folders[entry.path] = entry
        elif entry.type is FileType.SYMLINK:
            self._links.append(entry)

    def _holds(self, path: bytes, above: bytes) -> bool:
        return (not above or above in self._folders) and self._set.holds(path)

    def _place_of(self, entry: Entry) -> int:
        """0 where the tool keeps a file under its name, else the number that it gets."""
        holes = "holes" not in self._set.tool.keeps and entry.size - entry.stored > HOLES
        if self._holds(entry.path, entry.path.rpartition(b"/")[0]) and not holes:
            return 0
        self._numbers += 1
        return self._numbers

    def _file(self, entry: Entry, place: int) -> bytes:
        return os.path.join(self._apart, b"%d" % place) if place else self._path(entry.path)

    def _finish(self) -> None:
        for entry in self._links:
            os.symlink(entry.target, self._path(entry.path))
            _settle(self._path(entry.path), entry)
        for path, entry in reversed(self._folders.items()):
            _settle(self._path(path), entry)


def _settle(path: bytes, entry: Entry) -> None:
    """What tools compare: owner, mode (but nobody's rights are taken from here), time."""
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.type is not FileType.SYMLINK:
        os.chmod(path, entry.mode & 0o1777)
    try:
        moment = _nanoseconds(entry.mtime)
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
    except OverflowError:
        return  # no system call takes such a time; the sidecar has it


def _nanoseconds(time: Time) -> int:
    return time.seconds * _BILLION + time.nanoseconds


def _row(entry: Entry, digest: bytes = b"", extents: Extents | None = None, place: int = 0) -> Row:
    return Row(
        path=entry.path,
        kind=entry.type.value,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=(entry.mtime.seconds, entry.mtime.nanoseconds),
        ctime=(entry.ctime.seconds, entry.ctime.nanoseconds),
        size=entry.size,
        inode=entry.inode,
        links=1 if entry.type is FileType.DIR else entry.links,
        extents=extents,
        target=entry.target,
        rdev=entry.rdev,
        flags=entry.flags,
        xattrs=entry.xattrs,
        defect=entry.defect or "",
        digest=digest,
        place=place,
    )


def _digest(path: bytes, extents: Extents, size: int) -> bytes:
    digest = ContentHash()
    with open(path, "rb", buffering=0) as file:
        for offset, length in extents:
            file.seek(offset)
            done = 0
            while done < length and (data := file.read(min(_PIECE, length - done))):
                digest.add(offset + done, data)
                done += len(data)
    return digest.digest(size)


def _compact(path: bytes, extents: Extents) -> None:
    """Numbered files hold data without the holes between them."""
    if not extents or (len(extents) == 1 and extents[0][0] == 0):
        return
    with open(path, "rb", buffering=0) as sparse, open(path + b".new", "xb", buffering=0) as dense:
        for offset, length in extents:
            sparse.seek(offset)
            while length and (data := sparse.read(min(_PIECE, length))):
                dense.write(data)
                length -= len(data)
    os.rename(path + b".new", path)
