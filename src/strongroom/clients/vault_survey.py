"""What an account's folders hold, looked at by the vault's rules of reading, for clients whose bytes other software copies.

The vault reads while it looks; here another program reads, by path, at its own time. So the folders are surveyed before,
with a hash of every content that changed, and looked at again afterwards: what is the same inode with the same ctime both
times is what the program read.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from strongroom.clients.content_hash import ContentHash
from strongroom.clients.sidecar import Row
from strongroom.errors import SourceError
from strongroom.model import FileType, Location, Remark, text
from strongroom.vault.attributes import inode_flags
from strongroom.vault.content import foreign, open_file
from strongroom.vault.holes import extents
from strongroom.vault.scan import identity, open_folder
from strongroom.vault.source import Filter, Source, Take
from strongroom.vault.walk import MOST_ENTRIES, raise_descriptor_limit

_BILLION = 1_000_000_000
_PIECE = 1 << 20
_NO_XATTRS = (errno.ENOTSUP, errno.EPERM, errno.EACCES)
CHANGED = "changed while it was read, and again on the second try"
_MOUNTED = "another file system is mounted here: left out"
_VANISHED = "vanished before it could be read"

# Takes the pieces of one file's data, in order; None: nobody wants them.
Sink = Callable[[bytes], object]


class Sight(NamedTuple):
    """One look at one entry: its stored path, its stat, and how it is reached while its folder is open.

    ``name`` is empty for a folder, which ``fd`` is then itself.
    """

    path: bytes
    status: os.stat_result
    fd: int
    name: bytes
    device: int

    @property
    def kind(self) -> FileType:
        """The kind of thing it is."""
        return FileType.of(self.status.st_mode)

    @property
    def inode(self) -> tuple[int, int]:
        """What it is known by among the inodes of its survey: number and ctime in nanoseconds."""
        return self.status.st_ino, self.status.st_ctime_ns


class Survey:
    """Looks at the folders of one account, as often as it is asked to; ``users`` are the account's own numeric ids.

    ``remarks`` is what is to be said of the last look (defects apart, by path), ``masked`` the stored paths that are not to
    be copied, with whether each is a folder.
    """

    def __init__(self, locations: Sequence[Location], users: frozenset[int], excludes: tuple[str, ...]) -> None:
        self._locations = sorted(locations, key=lambda location: location.tree)
        self._filters = {
            location.tree: Filter(
                Source(
                    name=location.tree,
                    path=location.path,
                    exclude=tuple(os.fsdecode(each.pattern) for each in location.exclude) + excludes,
                    select=location.select,
                )
            )
            for location in self._locations
        }
        # What belongs to root is nobody else's in the server's own pseudo-account, which no tenant can write to.
        self._owners = users or frozenset({0})
        self._names: dict[tuple[int, int], int] = defaultdict(int)
        self._trusted: frozenset[tuple[int, int]] = frozenset()
        self._depth = raise_descriptor_limit()
        self._begin()

    def _begin(self) -> None:
        self.remarks: list[Remark] = []
        self.defects: dict[bytes, str] = {}
        self.masked: dict[bytes, bool] = {}
        self.bytes_read = 0

    # --- looking --------------------------------------------------------------------------------------------------

    def look(self) -> Iterator[Sight]:
        """Every entry: folders before what they hold, siblings by name. Raise SourceError for a location that is gone."""
        self._trusted = frozenset(inode for inode, left in self._names.items() if left == 0)
        self._names.clear()
        self._begin()
        for location in self._locations:
            try:
                fd = open_folder(location.path)
            except OSError as error:
                message = f"cannot open {text(location.path)}: {error.strerror}; nothing of it was backed up"
                raise SourceError(message) from error
            own = os.fstat(fd)
            yield from self._folder(Sight(location.tree.encode(), own, fd, b"", own.st_dev), 1)

    def _folder(self, top: Sight, depth: int) -> Iterator[Sight]:
        """A folder and all below it; closes its descriptor. A stack of its own, since folders may be very deep."""
        levels = [(top, self._entered(top, depth))]
        yield top
        try:
            while levels:
                folder, names = levels[-1]
                if not names:
                    os.close(levels.pop()[0].fd)
                    continue
                name, status = names.pop()
                sight = Sight(folder.path + b"/" + name, status, folder.fd, name, folder.device)
                if not modes.S_ISDIR(status.st_mode):
                    if status.st_nlink > 1:
                        self._count_name(sight)
                    yield sight
                    continue
                below = self._opened(sight)
                if below is not None:
                    levels.append((below, self._entered(below, len(levels) + depth)))
                    yield below
        finally:
            for folder, _ in levels:
                os.close(folder.fd)

    def _count_name(self, sight: Sight) -> None:
        """Count down from the number of names that an inode has: at zero, all of them are the account's own."""
        left = self._names.get(sight.inode, sight.status.st_nlink)
        self._names[sight.inode] = left - 1

    def _opened(self, sight: Sight) -> Sight | None:
        try:
            fd = open_folder(sight.name, sight.fd)
        except OSError as error:
            gone = error.errno == errno.ENOENT
            why = _VANISHED if gone else "swapped for something else while it was backed up"
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                why = f"could not be read: {error.strerror}"
            self.say(sight.path, why, defect=not gone)
            return None
        tree, _, below = sight.path.partition(b"/")
        own = os.fstat(fd)
        device = own.st_dev if self._filters[tree.decode()].leads(below) else sight.device
        return Sight(sight.path, own, fd, b"", device)

    def _entered(self, folder: Sight, depth: int) -> list[tuple[bytes, os.stat_result]]:
        """What is to be looked at in a folder, last name first; nothing where it is another's, too deep or too full."""
        if folder.status.st_dev != folder.device:
            self.say(folder.path, _MOUNTED, defect=False)
            self.masked[folder.path] = True
            return []
        if depth > self._depth:
            self.say(folder.path, f"over the limit of {self._depth} levels: left out", defect=True)
            return []
        try:
            names = sorted((os.fsencode(name) for name in os.listdir(folder.fd)), reverse=True)
        except OSError as error:
            self.say(folder.path, f"could not be read: {error.strerror}", defect=True)
            return []
        if len(names) > MOST_ENTRIES:
            self.say(folder.path, f"over the limit of {MOST_ENTRIES:,} entries: left out", defect=True)
            return []
        found = []
        for name in names:
            try:
                status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if self._takes(folder.path, name, folder=modes.S_ISDIR(status.st_mode)):
                found.append((name, status))
        return found

    def _takes(self, above: bytes, name: bytes, *, folder: bool) -> bool:
        tree, _, below = above.partition(b"/")
        chosen = self._filters[tree.decode()]
        if chosen.trivial:
            return True
        take = chosen.take(below + b"/" + name if below else name, folder=folder)
        if take is Take.ALL or (take is Take.ON_THE_WAY and folder):
            return True
        self.masked[above + b"/" + name] = folder
        return False

    def say(self, path: bytes, message: str, *, defect: bool) -> None:
        """Add a remark to those of this look; a ``defect`` makes the point incomplete."""
        self.remarks.append(Remark(path=path, message=message))
        if defect:
            self.defects[path] = message

    # --- reading --------------------------------------------------------------------------------------------------

    def stat_row(self, sight: Sight) -> Row:
        """What a stat alone says of an entry."""
        status = sight.status
        device = sight.kind in (FileType.CHAR, FileType.BLOCK)
        return Row(
            path=sight.path,
            kind=sight.kind.value,
            mode=modes.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime=divmod(status.st_mtime_ns, _BILLION),
            ctime=divmod(status.st_ctime_ns, _BILLION),
            size=status.st_size if sight.kind in (FileType.FILE, FileType.SYMLINK) else 0,
            inode=status.st_ino,
            links=1 if sight.kind is FileType.DIR else status.st_nlink,
            rdev=(os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0),
        )

    def read(self, sight: Sight, sink: Sink | None = None, *, again: Callable[[], Sink] | None = None) -> Row | None:
        """An entry with everything, its content hashed and handed to a sink; None where it vanished.

        With ``again`` (a new sink) a file that changed meanwhile is read once more, and one that changed then too is a defect;
        without, its hash is that of what was read, and the second look will find that it changed.
        """
        row = self.stat_row(sight)
        try:
            if sight.kind is FileType.FILE:
                return self._file(sight, row, sink, again)
            if sight.kind is FileType.SOCKET:
                self.say(sight.path, "a socket: left out", defect=False)
                return row
            return self._other(sight, row)
        except FileNotFoundError:
            self.say(sight.path, _VANISHED, defect=False)
            return None
        except OSError as error:
            return self._defect(row, f"could not be read: {error.strerror or error}")

    def _defect(self, row: Row, message: str, *, defect: bool = True) -> Row:
        self.say(row.path, message, defect=defect)
        return msgspec.structs.replace(row, defect=message)

    def _other(self, sight: Sight, row: Row) -> Row:
        """A folder, link, pipe or device: nothing is opened that is not open."""
        if not sight.name:
            xattrs, flags = attributes(sight.fd)
            return msgspec.structs.replace(row, xattrs=xattrs, flags=flags)
        target = os.readlink(sight.name, dir_fd=sight.fd) if sight.kind is FileType.SYMLINK else b""
        xattrs = xattrs_of(b"/proc/self/fd/%d/%s" % (sight.fd, sight.name))
        return msgspec.structs.replace(row, target=target, xattrs=xattrs)

    def foreign(self, sight: Sight) -> str:
        """Why a file's content is not the account's to read, or nothing."""
        if sight.status.st_dev != sight.device:
            return "on another file system: content left out"
        return "" if sight.inode in self._trusted else foreign(sight.status, self._owners)

    def _file(self, sight: Sight, row: Row, sink: Sink | None, again: Callable[[], Sink] | None) -> Row:
        if left_out := self.foreign(sight):
            self.masked[sight.path] = False
            return self._defect(row, left_out, defect=False)
        try:
            fd = open_file(sight.fd, sight.name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                return self._defect(row, "swapped for something else while it was backed up")
            raise
        try:
            opened = sight._replace(status=os.fstat(fd))
            same = (opened.status.st_dev, opened.status.st_ino) == (sight.status.st_dev, sight.status.st_ino)
            if not same or opened.kind is not FileType.FILE or self.foreign(opened):
                return self._defect(row, "swapped for something else while it was backed up")
            row = self._content(fd, self.stat_row(opened), sink)
            if again is None or _settled(fd, opened, row):
                return row
            opened = sight._replace(status=os.fstat(fd))
            if left_out := self.foreign(opened):
                return self._defect(self.stat_row(opened), left_out, defect=False)
            row = self._content(fd, self.stat_row(opened), again())
            if _settled(fd, opened, row):
                return row
            return self._defect(row, CHANGED)
        finally:
            os.close(fd)

    def _content(self, fd: int, row: Row, sink: Sink | None) -> Row:
        xattrs, flags = attributes(fd)
        found = extents(fd, row.size)
        digest = ContentHash()
        pieces: list[tuple[int, int]] = []
        for offset, length in ((0, row.size),) if found is None else found:
            done = 0
            while done < length and (data := os.pread(fd, min(_PIECE, length - done), offset + done)):
                digest.add(offset + done, data)
                if sink is not None:
                    sink(data)
                done += len(data)
            self.bytes_read += done
            pieces.append((offset, done))
        size = pieces[0][1] if found is None else row.size
        holes = None if found is None else tuple(pieces)
        return msgspec.structs.replace(
            row, size=size, xattrs=xattrs, flags=flags, digest=digest.digest(size), extents=holes
        )


def _settled(fd: int, before: Sight, row: Row) -> bool:
    """Whether a file is after reading what it was before, and all of it was read."""
    return identity(os.fstat(fd)) == identity(before.status) and row.size == before.status.st_size


def attributes(fd: int) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
    """Extended attributes and inode flags of an open file or folder. Raise OSError."""
    return xattrs_of(fd), inode_flags(fd) or 0


def xattrs_of(at: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes of an open file, or of what a path leads to without its last link; none where there can be none."""
    follow = isinstance(at, int)
    try:
        names = sorted(os.fsencode(name) for name in os.listxattr(at, follow_symlinks=follow))
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    return tuple((name, os.getxattr(at, name, follow_symlinks=follow)) for name in names)


def remembered(row: Row, before: Row | None, horizon: int) -> Row | None:
    """Last time's row of an entry that is the same inode, unchanged for longer than any write can hide, or None."""
    if before is None or before.defect or before.identity != row.identity or row.kind == FileType.DIR:
        return None
    changed = row.ctime[0] * _BILLION + row.ctime[1]
    return msgspec.structs.replace(before, place=0) if changed < horizon else None
