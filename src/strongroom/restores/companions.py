"""What stands beside a SQLite database that comes back: a log that is not its own would be played into it.

A point has no such files where a database was copied through SQLite (their content is in the copy), so nothing takes the
place of those that stand.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.exports.sqlite import HEADER, SUFFIXES
from strongroom.model import Entry, FileType
from strongroom.restores.beneath import Folders, lstat
from strongroom.restores.mirror import Extra
from strongroom.restores.present import open_identity
from strongroom.restores.remarks import Remarks
from strongroom.restores.target import Place, Target
from strongroom.restores.wanted import Wanted

# A database is pages, and the smallest have so many bytes.
_PAGE = 512
_ENDINGS = tuple(os.fsencode(suffix) for suffix in SUFFIXES)


def may_be_database(entry: Entry) -> bool:
    """Whether a file has a size that databases have."""
    return entry.type is FileType.FILE and entry.stored > 0 and entry.size % _PAGE == 0


def stands_database(folders: Folders, place: Place, name: bytes, entry: Entry) -> bool:
    """Whether what stands at an entry's name is a database: its bytes are not those of the copy that is in the point."""
    return may_be_database(entry) and _is_database(folders.fd(place), name)


def beside(folders: Folders, place: Place, name: bytes) -> list[bytes]:
    """The names beside a file of a folder that SQLite would take for its log or journal, and the point does not have.

    The folder is listed once: a restore that finds everything as it should be looks at no name twice.
    """
    if place.built:
        return []
    if place.logs is None:
        names = (os.fsencode(name) for name in os.listdir(folders.fd(place)))
        place.logs = frozenset(name for name in names if name.endswith(_ENDINGS))
    return [name + ending for ending in _ENDINGS if name + ending in place.logs and name + ending not in place.names]


def standing(folders: Folders, place: Place, name: bytes) -> list[bytes]:
    """What of that goes when a database comes in the place of the one that stands; nothing where none stands."""
    names = beside(folders, place, name)
    at = folders.fd(place)
    if not names or not _is_database(at, name):
        return []
    return [name for name in names if _is_thing(at, name)]


def _is_thing(folder: int, name: bytes) -> bool:
    status = lstat(folder, name)
    return status is not None and not stat.S_ISDIR(status.st_mode)


def _is_database(folder: int, name: bytes) -> bool:
    status = lstat(folder, name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    fd = open_identity(folder, name, (status.st_dev, status.st_ino))
    try:
        return os.pread(fd, len(HEADER), 0) == HEADER
    finally:
        os.close(fd)


@contextmanager
def taken_away(target: Target, remarks: Remarks, wanted: Wanted, fd: int) -> Iterator[int]:
    """While a file, open as ``fd``, is put in its place: if it is a database, what stands beside it goes before.

    Gives the number of files that go. They come back when the database is not put in its place.
    """
    parent = wanted.parent
    at = target.folders.fd(parent)
    gone: list[tuple[bytes, bytes]] = []
    if may_be_database(wanted.entry) and os.pread(fd, len(HEADER), 0) == HEADER:
        for name in (wanted.name + ending for ending in _ENDINGS):
            if name not in parent.names and _is_thing(at, name):
                extra = Extra(name=name, path=parent.path + b"/" + name, entries=1)
                gone.append((name, target.take_away(parent, extra, parent)))
    try:
        yield len(gone)
    except BaseException:
        for name, kept in gone:
            target.bring_back(parent, kept, name)
        raise
    for name, _ in gone:
        path = parent.path + b"/" + name
        remarks.warn(path, "taken away: it belonged to the database that was replaced", missing=False)
