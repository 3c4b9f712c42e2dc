"""Folders strictly beneath an open one: by descriptor, one component at a time, never through a link, never by path.

Whoever owns a folder may swap what stands in it at any moment. So a folder is opened once by name with O_NOFOLLOW, is
known by device and inode from then on, and everything below is reached from its descriptor. No path is ever handed
to the kernel, so PATH_MAX limits nothing.
"""

from __future__ import annotations

import errno
import itertools
import os
import resource
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial

from strongroom.errors import RestoreError
from strongroom.model import text
from strongroom.paths import owners
from strongroom.restores import flags

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening with O_NONBLOCK returns at once even where a pipe stands; what it is, fstat says.
LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NAME_MAX = 255
_DESCRIPTORS = 65536
_RESERVE = 256


class HostileNameError(RestoreError):
    """A name that no folder can hold: empty, a dot, two dots, too long, or with a slash or a NUL in it."""


class MovedError(RestoreError):
    """A folder is not the one any more that it was when the restore met it."""


def split(path: bytes) -> tuple[bytes, bytes]:
    """The folder and the name of a stored path; raise HostileNameError when the name is not one component."""
    folder, _, name = path.rpartition(b"/")
    check_name(name)
    return folder, name


def check_name(name: bytes) -> None:
    """Raise HostileNameError unless a folder can hold this name."""
    if not name or name in (b".", b"..") or len(name) > NAME_MAX or b"\0" in name or b"/" in name:
        raise HostileNameError(f"'{text(name[:80])}' cannot be the name of a file")


class Folder:
    """A folder of the target: its stored path, where it hangs, what it is, and its descriptor while that is open.

    ``identity`` is device and inode. A folder that is ``built`` lies in staging, or below one that does.
    """

    __slots__ = ("built", "fd", "identity", "name", "parent", "path")

    def __init__(self, path: bytes, name: bytes, parent: Folder | None, *, built: bool = False) -> None:
        self.path = path
        self.name = name
        self.parent = parent
        self.built = built
        self.fd = -1
        self.identity = (0, 0)

    @property
    def above(self) -> Folder:
        """The folder this one hangs in; raise MovedError for a topmost one that is not open any more."""
        if self.parent is None:
            raise MovedError(f"'{owners(self.path)}' was closed during the restore; run it again")
        return self.parent


class Folders:
    """Open descriptors of folders, the least recently used closed when there are too many."""

    def __init__(self, limit: int | None = None) -> None:
        """``limit`` is how many stay open; None takes what the system allows this process, less a reserve."""
        self._limit = limit or max(16, min(raise_descriptors(), _DESCRIPTORS) // 2 - _RESERVE)
        self._open: OrderedDict[Folder, None] = OrderedDict()
        self._last: Folder | None = None

    def adopt(self, folder: Folder, fd: int) -> Folder:
        """Take over an open descriptor of a folder, and remember by it which folder this is."""
        status = os.fstat(fd)
        folder.identity = (status.st_dev, status.st_ino)
        self._keep(folder, fd)
        return folder

    def fd(self, folder: Folder) -> int:
        """The folder's descriptor, opened again where needed; raise MovedError when another folder stands there now."""
        if folder is self._last:
            return folder.fd
        missing = []
        above = folder
        while above.fd < 0:
            missing.append(above)
            above = above.above
        self._open.move_to_end(above)
        for each in reversed(missing):
            self._reopen(each)
        self._last = folder
        return folder.fd

    def open(self, folder: Folder) -> Folder:
        """Open the folder ``folder.name`` below its parent for the first time.

        Raises FileNotFoundError when nothing stands there, NotADirectoryError when something else does.
        """
        return self.adopt(folder, open_folder(self.fd(folder.above), folder.name))

    def close(self) -> None:
        """Close all of them."""
        for folder in self._open:
            os.close(folder.fd)
            folder.fd = -1
        self._open.clear()
        self._last = None

    def _reopen(self, folder: Folder) -> None:
        try:
            fd = open_folder(folder.above.fd, folder.name)
        except OSError as error:
            raise MovedError(f"the folder '{owners(folder.path)}' went away during the restore: {error.strerror}") from error
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != folder.identity:
            os.close(fd)
            raise MovedError(f"the folder '{owners(folder.path)}' was exchanged during the restore")
        self._keep(folder, fd)

    def _keep(self, folder: Folder, fd: int) -> None:
        folder.fd = fd
        self._open[folder] = None
        if len(self._open) > self._limit:
            # What has no parent cannot be opened again.
            for oldest in self._open:
                if oldest.parent is not None and oldest is not folder:
                    break
            del self._open[oldest]
            os.close(oldest.fd)
            oldest.fd = -1
            self._last = None


def open_folder(parent: int, name: bytes) -> int:
    """Open a folder in an open folder; raise NotADirectoryError for anything else, links included."""
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, "a link stands there", name) from error
        raise


def mount_of(fd: int) -> tuple[int, int]:
    """Which mount an open file is on: device and mount id (nothing is renamed between bind mounts of one device)."""
    mount = -1
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        for line in info:
            if line.startswith(b"mnt_id:"):
                mount = int(line[7:])
    return os.fstat(fd).st_dev, mount


def raise_descriptors() -> int:
    """Raise this process's soft limit of open descriptors as far as is sensible, and say what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def lstat(folder: int, name: bytes) -> os.stat_result | None:
    """What stands at a name of an open folder, or None."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def thaw(folder: int, name: bytes) -> int:
    """Take the immutable and append-only flags off a file or folder; say which it had."""
    try:
        fd = os.open(name, LOOK, dir_fd=folder)
    except OSError:
        return 0
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return 0
        frozen = flags.get_flags(fd) & flags.FORBIDDING
        if frozen:
            flags.set_flags(fd, 0, frozen)
        return frozen
    finally:
        os.close(fd)


def remove(folder: int, name: bytes) -> None:
    """Remove a file or a whole folder from an open folder that nobody else can reach.

    However deep it is, two descriptors are enough: a folder within is moved up first, then emptied in its turn. What
    another file system is mounted on cannot be moved, so nothing beyond a mount is ever touched: OSError says so.
    """
    status = lstat(folder, name)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        _thawed(folder, name, partial(os.unlink, name, dir_fd=folder))
        return
    waiting = [name]
    fresh = (b"%s.%d" % (os.urandom(8).hex().encode(), number) for number in itertools.count())
    while waiting:
        current = waiting.pop()
        waiting.extend(_emptied(folder, current, fresh))
        os.rmdir(current, dir_fd=folder)


def _emptied(folder: int, name: bytes, fresh: Iterator[bytes]) -> list[bytes]:
    """Unlink what a folder holds, and move the folders in it up; say what they are called there."""
    up = []
    thaw(folder, name)
    fd = open_folder(folder, name)
    try:
        os.fchmod(fd, 0o700)
        for inner, is_folder in _listed(fd):
            if is_folder:
                up.append(next(fresh))
                _thawed(fd, inner, partial(os.rename, inner, up[-1], src_dir_fd=fd, dst_dir_fd=folder))
            else:
                _thawed(fd, inner, partial(os.unlink, inner, dir_fd=fd))
    finally:
        os.close(fd)
    return up


def _thawed(folder: int, name: bytes, act: Callable[[], None]) -> None:
    try:
        act()
    except PermissionError:
        if not thaw(folder, name):
            raise
        act()


def _listed(fd: int) -> list[tuple[bytes, bool]]:
    with os.scandir(fd) as found:
        return [(os.fsencode(each.name), each.is_dir(follow_symlinks=False)) for each in found]
