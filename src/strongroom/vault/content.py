"""Reading one entry: its content, attributes and extended attributes, among strangers and while it may change.

A file is opened by the folder's descriptor without following links, and read only when it is the inode that was seen. The
same size, times, mode and owner before and after mean that what was read is one state of that file. Otherwise it is read
once more; a file that changed again is kept as read, and the point says so.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat as modes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from strongroom.vault import holes
from strongroom.vault.attributes import AttributeReader, Xattrs
from strongroom.vault.cutting import SMALL, Cutter, Keep, Pieces
from strongroom.vault.header import Chunker
from strongroom.vault.record import NOTHING, Defect, Extra, Row, Type
from strongroom.vault.rows import row_of, type_of, unread
from strongroom.vault.scan import identity
from strongroom.vault.substitute import Substitute, pending

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What opening a link (ELOOP) or a socket or pipe without a reader (ENXIO) says: no file stands there any more.
_NO_FILE_NOW = (errno.ELOOP, errno.ENXIO)


class _Read(NamedTuple):
    """What was read of a file: its references, what few entries have, and its size with its holes."""

    references: bytes
    extra: Extra
    size: int


class ContentReader:
    """Reads entries of one series' folders; ``copies`` are the files of this folder that the substitute has copied."""

    def __init__(
        self,
        keep: Keep,
        chunker: Chunker,
        seed: int,
        owners: frozenset[int],
        count: Callable[[int], None],
        substitute: Substitute | None = None,
    ) -> None:
        self._keep, self._owners, self._count = keep, owners, count
        self._substitute = substitute
        self.copies: set[str] = set()
        self._cutter = Cutter(keep, chunker, seed)
        self.attributes = AttributeReader(keep)
        self._device = 0
        self._trusted_links: Mapping[int, int] = {}

    def enter(self, device: int, trusted_links: Mapping[int, int]) -> None:
        """Begin with a folder on this device.

        ``trusted_links`` are inodes all of whose names turned up in this series, whoever owns them, with the ctimes
        (nanoseconds) that they had: a name that was made, moved or removed since would have changed it.
        """
        self._device = device
        self.attributes.enter(device)
        self._trusted_links = trusted_links
        self.copies = set()

    # --- any entry ------------------------------------------------------------------------------------------------

    def row(self, dir_fd: int, name: str, seen: os.stat_result) -> Row | None:
        """The row of an entry, its content handed over; None when it vanished. Never raises OSError."""
        kind = type_of(seen)
        if kind == Type.DIR:
            return None  # what was listed is gone, and the folder in its place came after the listing
        try:
            if kind == Type.FILE:
                return self._file(dir_fd, name, seen)
            if kind == Type.SOCKET:
                return row_of(name, kind, seen, extra=Extra(remark="a socket: left out"))
            return self._special(dir_fd, name, kind, seen)
        except FileNotFoundError:
            return None
        except OSError as error:
            return unread(name, seen, error)

    def _special(self, dir_fd: int, name: str, kind: Type, seen: os.stat_result) -> Row:
        """Links, pipes and devices: nothing is opened."""
        xattrs, references = self.attributes.xattrs(f"/proc/self/fd/{dir_fd}/{name}")
        target = os.readlink(os.fsencode(name), dir_fd=dir_fd) if kind == Type.SYMLINK else b""
        rdev = (os.major(seen.st_rdev), os.minor(seen.st_rdev)) if kind in (Type.CHAR, Type.BLOCK) else None
        again = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        remark = "" if identity(again) == identity(seen) else "changed while it was read"
        extra = Extra(target=target, rdev=rdev, xattrs=xattrs, remark=remark, defect=Defect.CHANGED if remark else "")
        return row_of(name, kind, seen, references, extra)

    # --- folders themselves ---------------------------------------------------------------------------------------

    def folder(self, fd: int) -> tuple[Extra, bytes]:
        """A folder's own extended attributes and flags, and the references of large values. Raise OSError."""
        xattrs, references = self.attributes.xattrs(fd)
        flags = self.attributes.flags(fd)
        return (Extra(xattrs=xattrs, flags=flags) if xattrs or flags else NOTHING), references

    # --- files ----------------------------------------------------------------------------------------------------

    def _file(self, dir_fd: int, name: str, seen: os.stat_result) -> Row | None:
        for last in (False, True):
            if not modes.S_ISREG(seen.st_mode):
                return self.row(dir_fd, name, seen)
            if left_out := self._foreign(seen):
                return row_of(name, Type.FILE, seen, extra=Extra(defect=Defect.FOREIGN, remark=left_out))
            try:
                fd = open_file(dir_fd, name)
            except OSError as error:
                if error.errno not in _NO_FILE_NOW:
                    raise
                seen = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
                continue
            try:
                opened = os.fstat(fd)
                if not self._same_file(opened, seen):
                    seen = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
                    continue
                read = self._read(fd, opened, self._substitute)
                if read is None and self._substitute is not None:
                    return self._copied(self._substitute, dir_fd, name, fd, opened)
                references, extra, size = read or _Read(b"", NOTHING, 0)
                after = os.fstat(fd)
            finally:
                os.close(fd)
            if identity(after) == identity(opened) and size == opened.st_size:
                return row_of(name, Type.FILE, opened, references, extra)
            if last and not self._foreign(after):
                extra = msgspec.structs.replace(
                    extra, defect=Defect.CHANGED, remark="changed while it was read, and again on the second try"
                )
                return row_of(name, Type.FILE, after, references, extra)._replace(size=size)
            seen = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if not modes.S_ISREG(seen.st_mode):
            return self.row(dir_fd, name, seen)
        return unread(name, seen, OSError(errno.EBUSY, "it is swapped for something else again and again"))

    def _same_file(self, opened: os.stat_result, seen: os.stat_result) -> bool:
        """Whether what was opened is the file that was seen, and still ours to read: asked before a byte is read."""
        same = (opened.st_dev, opened.st_ino) == (seen.st_dev, seen.st_ino)
        return same and modes.S_ISREG(opened.st_mode) and not self._foreign(opened)

    def _foreign(self, seen: os.stat_result) -> str:
        """Why a file's content is not ours to read, or nothing."""
        if seen.st_dev != self._device:
            return "on another file system: content left out"
        if self._trusted_links.get(seen.st_ino) == seen.st_ctime_ns:
            return ""
        return foreign(seen, self._owners)

    def _copied(self, substitute: Substitute, dir_fd: int, name: str, fd: int, opened: os.stat_result) -> Row:
        """The row of a file that the substitute wants: its copy, else its bytes, which are one state of it if nothing moved.

        Where a copy has another size than a file that stands still, that file's bytes hold what the copy does not.
        """
        copy = substitute.copy(dir_fd, os.fsencode(name), opened)
        ids, lengths = self._keep_all(Pieces(lambda: next(copy.pieces, None)).chunks(self._cutter))
        now = os.fstat(fd)
        moves = pending(substitute, dir_fd, name) or identity(now) != identity(opened)
        if not copy.failure and (moves or sum(lengths) == opened.st_size):
            self.copies.add(name)
            read = self._finished(ids, lengths, self.attributes.xattrs(fd), self.attributes.flags(fd))
            return row_of(name, Type.FILE, opened, read.references, read.extra)._replace(size=read.size)
        read = self._read(fd, now) or _Read(b"", NOTHING, 0)
        extra, after = read.extra, os.fstat(fd)
        if moves or identity(after) != identity(now) or read.size != now.st_size:
            why = f"written to while it was read, and not copied: {copy.failure or 'it is not what it was'}"
            extra = msgspec.structs.replace(extra, defect=Defect.CHANGED, remark=why)
        elif copy.failure:
            extra = msgspec.structs.replace(extra, remark=f"kept byte by byte: {copy.failure}")
        return row_of(name, Type.FILE, after, read.references, extra)._replace(size=read.size)

    def _keep_all(self, chunks: Iterable[bytes]) -> tuple[list[bytes], list[int]]:
        """Hand chunks over; returns their ids and sizes."""
        ids: list[bytes] = []
        lengths: list[int] = []
        for data in chunks:
            ids.append(self._keep.data(data))
            lengths.append(len(data))
        return ids, lengths

    def _read(self, fd: int, seen: os.stat_result, substitute: Substitute | None = None) -> _Read | None:
        """What a file holds; None where the substitute wants it, asked with its first bytes."""
        xattrs = self.attributes.xattrs(fd)
        flags = self.attributes.flags(fd)
        size = seen.st_size
        sparse = holes.extents(fd, size) if size > 4096 or seen.st_blocks == 0 or xattrs[0] else None
        ids: list[bytes] = []
        lengths: list[int] = []
        extents: list[tuple[int, int]] = []
        for offset, length in ((0, size),) if sparse is None else sparse:
            chunks = self._chunks(fd, offset, length)
            if substitute is not None and not offset:
                begins = next(chunks, b"")
                if substitute.wants(begins):
                    return None
                chunks = itertools.chain((begins,) if begins else (), chunks)
            more, sizes = self._keep_all(chunks)
            ids += more
            lengths += sizes
            extents.append((offset, sum(sizes)))
        if sparse is None:
            return self._finished(ids, lengths, xattrs, flags)
        return self._finished(ids, lengths, xattrs, flags, tuple(extents))._replace(size=size)

    def stored(
        self, fd: int, extents: Sequence[tuple[int, int]], xattrs: Iterable[tuple[bytes, bytes]], flags: int
    ) -> tuple[bytes, Extra]:
        """References, and what else a row says, of a file that is not read from a folder: its data are these of an open file."""
        ids: list[bytes] = []
        lengths: list[int] = []
        for offset, length in extents:
            more, sizes = self._keep_all(self._chunks(fd, offset, length))
            ids += more
            lengths += sizes
        return self._finished(ids, lengths, self.attributes.kept(xattrs), flags, tuple(extents))[:2]

    def _finished(
        self,
        ids: list[bytes],
        lengths: list[int],
        attributes: Xattrs,
        flags: int,
        extents: tuple[tuple[int, int], ...] | None = None,
    ) -> _Read:
        """A file's references and what else its row says, once its chunks were handed over."""
        read = sum(lengths)
        self._count(read)
        xattrs, large = attributes
        references, sizes, depth = self._cutter.listed(b"".join(ids), lengths)
        if not (xattrs or flags or sizes or depth or extents is not None):
            return _Read(references, NOTHING, read)
        extra = Extra(xattrs=xattrs, flags=flags, lengths=sizes, depth=depth, extents=extents)
        return _Read(references + large, extra, read)

    def _chunks(self, fd: int, offset: int, length: int) -> Iterator[bytes]:
        """A stretch of a file: whole when small, else in content-defined chunks."""
        if length > SMALL:
            yield from self._cutter.cut(holes.Extent(fd, offset, length))
        elif length and (data := holes.read_all(fd, offset, length)):
            yield data

def open_file(dir_fd: int, name: str | bytes) -> int:
    """Open a file of a folder for reading, never through a link and never waiting for a pipe. Raise OSError."""
    try:
        return os.open(name, _FILE_FLAGS | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, _FILE_FLAGS, dir_fd=dir_fd)


def foreign(seen: os.stat_result, owners: frozenset[int]) -> str:
    """Why a file with several names is not its account's to read (some of them may be another's), or nothing."""
    if seen.st_nlink > 1 and seen.st_uid not in owners:
        return f"a hard link to a file of user {seen.st_uid}, who is not this account's: content left out"
    return ""
