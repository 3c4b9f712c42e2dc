"""Reads what stands in an account's folders now, by descriptor, for a download of live data.

The account's owner may change everything meanwhile, so the rules of a backup hold: nothing is opened but folders and
regular files, never through a link, and what was opened is what was looked at, or it is left out with a warning.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from strongroom.errors import UnknownError
from strongroom.model import Account, Entry, FileType, Time, text
from strongroom.paths import owners
from strongroom.restores import flags
from strongroom.restores.attributes import read_xattrs, xattr_path
from strongroom.restores.beneath import FOLDER, LOOK, Folder, Folders, HostileNameError, check_name, mount_of
from strongroom.restores.exclusions import Exclusions
from strongroom.restores.present import file_type
from strongroom.restores.remarks import Remarks

_BILLION = 1_000_000_000
_PIECE = 1 << 20
Pieces = Iterator[tuple[int, bytes]]


class LiveData:
    """The live folders of one account."""

    def __init__(self, account: Account, excludes: tuple[str, ...], remarks: Remarks) -> None:
        self._account = account
        # What belongs to root is nobody else's in the server's own pseudo-account, which no tenant can write to.
        self._owners = account.users or frozenset({0})
        self._remarks = remarks
        self._exclusions = Exclusions(account, excludes)
        self._folders = Folders()
        self._roots: dict[bytes, Folder] = {}
        for location in account.locations:
            tree = location.tree.encode()
            self._roots[tree] = root = Folder(tree, b"", None)
            try:
                self._folders.adopt(root, os.open(location.path, FOLDER))
            except OSError:
                del self._roots[tree]

    def has(self, path: bytes) -> bool:
        """Whether something stands at a stored path."""
        try:
            self._status(path)
        except (OSError, UnknownError, HostileNameError):
            return False
        return True

    def leaves_out(self, path: bytes) -> bool:
        """Whether a stored path, which stands there, is left out of backups, and so of archives."""
        parts = path.split(b"/")
        above = (b"/".join(parts[:depth]) for depth in range(2, len(parts)))
        folder = stat.S_ISDIR(self._status(path)[2].st_mode)
        return any(self._exclusions.holds(each, folder=True) for each in above) or self._exclusions.holds(
            path, folder=folder
        )

    def walk(self, paths: tuple[bytes, ...]) -> Iterator[tuple[Entry, Pieces]]:
        """What stands at and below stored paths, folders first, with content; UnknownError for a missing path."""
        for path in paths:
            try:
                folder, name, status = self._status(path)
            except OSError as error:
                raise UnknownError(f"'{owners(path)}' is not there: {error.strerror}") from error
            yield from self._below(folder, name, status)

    def close(self) -> None:
        """Close every descriptor."""
        self._folders.close()

    def _status(self, path: bytes) -> tuple[Folder, bytes, os.stat_result]:
        tree, _, below = path.partition(b"/")
        folder = self._roots.get(tree)
        if folder is None:
            raise UnknownError(f"{text(tree)!r} of {self._account.name} is not there")
        if not below:
            return folder, b"", os.fstat(self._folders.fd(folder))
        *above, name = below.split(b"/")
        for part in above:
            check_name(part)
            folder = self._folders.open(Folder(folder.path + b"/" + part, part, folder))
        check_name(name)
        return folder, name, os.stat(name, dir_fd=self._folders.fd(folder), follow_symlinks=False)

    def _below(self, folder: Folder, name: bytes, status: os.stat_result) -> Iterator[tuple[Entry, Pieces]]:
        waiting = [(folder, name, status)]
        while waiting:
            folder, name, status = waiting.pop()
            path = folder.path + b"/" + name if name else folder.path
            if self._exclusions.holds(path, folder=stat.S_ISDIR(status.st_mode)):
                continue
            try:
                if stat.S_ISDIR(status.st_mode):
                    inner = self._enter(folder, name, path)
                    if inner is None:
                        self._remarks.warn(path, "another file system is mounted here, left out", missing=False)
                        continue
                    yield self._folder_entry(inner), iter(())
                    waiting.extend(self._listed(inner))
                elif stat.S_ISREG(status.st_mode):
                    yield from self._file(folder, name, path, status)
                elif stat.S_ISSOCK(status.st_mode):
                    self._remarks.warn(path, "a socket, left out", missing=False)
                else:
                    yield self._node_entry(folder, name, path, status), iter(())
            except FileNotFoundError:
                self._remarks.warn(path, "vanished while it was read", missing=False)
            except OSError as error:
                self._remarks.warn(path, f"cannot be read: {error.strerror}")

    def _enter(self, folder: Folder, name: bytes, path: bytes) -> Folder | None:
        """Open a folder; None where another file system is mounted that nobody asked for by name."""
        if not name:
            return folder
        inner = self._folders.open(Folder(path, name, folder))
        mounted = mount_of(self._folders.fd(inner)) != mount_of(self._folders.fd(folder))
        if mounted and not self._exclusions.leads(path):
            return None
        return inner

    def _listed(self, folder: Folder) -> list[tuple[Folder, bytes, os.stat_result]]:
        fd = self._folders.fd(folder)
        found = []
        for name in sorted((os.fsencode(each) for each in os.listdir(fd)), reverse=True):
            try:
                found.append((folder, name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
            except FileNotFoundError:
                continue
        return found

    def _folder_entry(self, folder: Folder) -> Entry:
        fd = self._folders.fd(folder)
        return _entry(folder.path, os.fstat(fd), read_xattrs(fd), flags_of=fd)

    def _node_entry(self, folder: Folder, name: bytes, path: bytes, status: os.stat_result) -> Entry:
        fd = self._folders.fd(folder)
        target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else b""
        return _entry(path, status, read_xattrs(xattr_path(fd, name)), target=target)

    def _file(self, folder: Folder, name: bytes, path: bytes, status: os.stat_result) -> Iterator[tuple[Entry, Pieces]]:
        if self._foreign(status):
            self._remarks.warn(path, "a hard link to another user's file, content left out", missing=False)
            return
        fd = os.open(name, LOOK, dir_fd=self._folders.fd(folder))
        try:
            opened = os.fstat(fd)
            same = os.path.samestat(opened, status) and stat.S_IFMT(opened.st_mode) == stat.S_IFMT(status.st_mode)
            if not same or self._foreign(opened):
                raise FileNotFoundError(errno.ENOENT, "exchanged while it was read", name)
            extents = tuple(_extents(fd, opened.st_size))
            entry = _entry(path, opened, read_xattrs(fd), flags_of=fd, extents=extents)
            yield entry, self._pieces(fd, entry, extents)
            if os.fstat(fd).st_mtime_ns != opened.st_mtime_ns:
                self._remarks.warn(path, "changed while it was read")
        finally:
            os.close(fd)

    def _foreign(self, status: os.stat_result) -> bool:
        """Whether a file is another user's who has a name of it elsewhere, as far as anybody can tell."""
        if status.st_nlink == 1 or status.st_uid in self._owners:
            return False
        return self._whole.get((status.st_dev, status.st_ino)) != status.st_ctime_ns

    @cached_property
    def _whole(self) -> dict[tuple[int, int], int]:
        """The files all of whose names are the account's own, whoever owns them: their ctime, which one more name moves."""
        left: dict[tuple[int, int], int] = {}
        ctimes: dict[tuple[int, int], int] = {}
        for status in self._names():
            inode = status.st_dev, status.st_ino
            left[inode] = left.get(inode, status.st_nlink) - 1
            ctimes[inode] = status.st_ctime_ns
        return {inode: ctime for inode, ctime in ctimes.items() if left[inode] == 0}

    def _names(self) -> Iterator[os.stat_result]:
        """A look at each name of the account's files that have several; what cannot be looked at is no name."""
        waiting = list(self._roots.values())
        while waiting:
            folder = waiting.pop()
            with suppress(OSError):
                for _, name, status in self._listed(folder):
                    path = folder.path + b"/" + name
                    if self._exclusions.holds(path, folder=stat.S_ISDIR(status.st_mode)):
                        continue
                    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                        yield status
                    elif stat.S_ISDIR(status.st_mode):
                        with suppress(OSError):
                            waiting += filter(None, [self._enter(folder, name, path)])

    def _pieces(self, fd: int, entry: Entry, extents: tuple[tuple[int, int], ...]) -> Pieces:
        """The bytes that the entry promises: what is gone meanwhile comes as zeros, and the file is named."""
        for start, end in extents:
            while start < end:
                data = os.pread(fd, min(_PIECE, end - start), start)
                if not data:
                    self._remarks.warn(entry.path, "became shorter while it was read")
                    data = bytes(min(_PIECE, end - start))
                yield start, data
                start += len(data)


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes, as (offset, end)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < end:
            yield start, end


def _entry(
    path: bytes,
    status: os.stat_result,
    xattrs: dict[bytes, bytes],
    *,
    flags_of: int = -1,
    target: bytes = b"",
    extents: tuple[tuple[int, int], ...] = (),
) -> Entry:
    kind = file_type(status.st_mode)
    shared = kind is not FileType.DIR and status.st_nlink > 1
    return Entry(
        path=path,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=Time(*divmod(status.st_mtime_ns, _BILLION)),
        ctime=Time(*divmod(status.st_ctime_ns, _BILLION)),
        size=status.st_size if kind is FileType.FILE else 0,
        stored=sum(end - start for start, end in extents),
        inode=status.st_ino,
        links=status.st_nlink,
        link_group=b"%d.%d" % (status.st_dev, status.st_ino) if shared else b"",
        target=target,
        rdev=(os.major(status.st_rdev), os.minor(status.st_rdev)),
        flags=flags.get_flags(flags_of) if flags_of >= 0 else 0,
        xattrs=tuple(sorted(xattrs.items())),
    )
