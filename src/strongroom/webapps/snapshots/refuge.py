"""The repository of an app under other names, where its owner does not reach it, while a command of his works in the app.

Such a command may take the way back with it: a copy that removes what it does not know, a deployment that puts another
folder in the app's place. Objects are the same files there, so that this takes no room; what is small and changes is copied.
The names lie beside the account's data, in a folder of root's alone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from strongroom.errors import SnapshotError
from strongroom.model import Account
from strongroom.restores.beneath import FOLDER, lstat, open_folder, remove
from strongroom.restores.renameat2 import exchange, rename_new
from strongroom.settings.home import open_within
from strongroom.webapps.base import App
from strongroom.webapps.snapshots.journal import name_of
from strongroom.webapps.snapshots.place import data_of, open_place
from strongroom.webapps.snapshots.repository import NAME

_PREFIX = b".strongroom-refuge-"
_OBJECTS = b"objects"
_KEPT = b"git"
# Which inode the app's folder is.
_AT = b"at-"
_GONE = b"gone"
_MOST_DEPTH = 16
_MOST_COPIED = 64 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def take_in(account: Account, app: App) -> None:
    """Give an app's repository its other names. Raise SnapshotError where that is not to be had."""
    leave(account, app)
    with _beside(account) as above, open_place(account, app) as place:
        name = _PREFIX + name_of(app.app)
        try:
            os.mkdir(name, 0o700, dir_fd=above)
            refuge = open_folder(above, name)
            try:
                os.fchmod(refuge, 0o700)
                os.mkdir(_AT + b"%d" % os.fstat(place.fd).st_ino, 0o700, dir_fd=refuge)
                os.mkdir(_KEPT, 0o700, dir_fd=refuge)
                repository = open_folder(place.fd, NAME)
                try:
                    _link(repository, refuge, _KEPT, _MOST_DEPTH)
                finally:
                    os.close(repository)
            finally:
                os.close(refuge)
        except OSError as error:
            leave(account, app)
            raise SnapshotError(f"its repository cannot be kept beside the account: {error.strerror}") from None


def folder_back(account: Account, app: App) -> bool:
    """Where a command gave the app's folder another name beside its own, give it its own again; whether that was so.

    What stands in its place gets the other name. Raise SnapshotError, SettingError.
    """
    path, name = os.path.split(app.path.rstrip(b"/"))
    with _beside(account) as above, open_within(account, path or b"/") as parent:
        try:
            number = next((each for each in os.listdir(_noted(above, app)) if each.startswith(os.fsdecode(_AT))), "")
            there = lstat(parent.fd, name) if name else None
            moved = [] if not number or not name or _is(there, number) else os.listdir(parent.fd)
            for each in map(os.fsencode, moved):
                if _is(lstat(parent.fd, each), number):
                    act = rename_new if there is None else exchange
                    act(parent.fd, each, parent.fd, name)
                    return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SnapshotError(f"{app.app}: its folder cannot be put back: {error.strerror}") from None
    return False


def _noted(above: int, app: App) -> str:
    return f"/proc/self/fd/{above}/{os.fsdecode(_PREFIX + name_of(app.app))}"


def _is(status: os.stat_result | None, number: str) -> bool:
    return status is not None and stat.S_ISDIR(status.st_mode) and number == f"{os.fsdecode(_AT)}{status.st_ino}"


def bring_back(account: Account, app: App) -> bool:
    """Put the repository back into the app's folder, in place of whatever stands there; whether there was one to put back.

    Where a command took the folder itself away, it is made anew. Raise SnapshotError, SettingError.
    """
    with _beside(account) as above:
        try:
            refuge = open_folder(above, _PREFIX + name_of(app.app))
        except FileNotFoundError:
            return False
        try:
            if lstat(refuge, _KEPT) is None:
                return False
            folder = _folder(account, app)
            try:
                if lstat(folder, NAME) is not None:
                    rename_new(folder, NAME, refuge, _GONE)
                    remove(refuge, _GONE)
                rename_new(refuge, _KEPT, folder, NAME)
            finally:
                os.close(folder)
        except OSError as error:
            raise SnapshotError(f"{app.app}: its repository cannot be put back: {error.strerror}") from None
        finally:
            os.close(refuge)
    leave(account, app)
    return True


def leave(account: Account, app: App) -> None:
    """Remove the other names."""
    with _beside(account) as above, suppress(FileNotFoundError):
        name = _PREFIX + name_of(app.app)
        refuge = open_folder(above, name)
        try:
            for inner in os.listdir(refuge):
                remove(refuge, os.fsencode(inner))
        finally:
            os.close(refuge)
        os.rmdir(name, dir_fd=above)


@contextmanager
def _beside(account: Account) -> Iterator[int]:
    """The folder that an account's data lie in, which is root's."""
    above = os.open(os.path.dirname(data_of(account) or b"/"), FOLDER & ~os.O_NOFOLLOW)
    try:
        yield above
    finally:
        os.close(above)


def _folder(account: Account, app: App) -> int:
    """An app's folder, open, made where a command took it away or put something else in its place."""
    path, name = os.path.split(app.path.rstrip(b"/"))
    if not name:
        with open_within(account, app.path) as whole:
            return os.dup(whole.fd)
    with open_within(account, path) as parent:
        status = lstat(parent.fd, name)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent.fd)
            status = None
        if status is None:
            os.mkdir(name, 0o700, dir_fd=parent.fd)
        return open_folder(parent.fd, name)


def _link(source: int, above: int, name: bytes, depth: int, *, objects: bool = False) -> None:
    """Fill a new folder with what an open one holds: files under the same names, or copies of them. Links are left out."""
    target = open_folder(above, name)
    try:
        for entry in os.listdir(source):
            inner = os.fsencode(entry)
            status = lstat(source, inner)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                if not depth:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                os.mkdir(inner, 0o700, dir_fd=target)
                below = open_folder(source, inner)
                try:
                    _link(below, target, inner, depth - 1, objects=objects or inner == _OBJECTS)
                finally:
                    os.close(below)
            elif stat.S_ISREG(status.st_mode) and (objects or status.st_size > _MOST_COPIED):
                os.link(inner, inner, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            elif stat.S_ISREG(status.st_mode):
                _copy(source, inner, target)
        _like(source, target)
    finally:
        os.close(target)


def _copy(source: int, name: bytes, target: int) -> None:
    fd = os.open(name, _READ, dir_fd=source)
    try:
        with open(os.open(name, _NEW, 0o600, dir_fd=target), "wb") as made:
            # One more than there may be: it grows under our eyes.
            while (piece := os.read(fd, 1 << 20)) and made.tell() <= _MOST_COPIED:
                made.write(piece)
            made.flush()
            _like(fd, made.fileno())
    finally:
        os.close(fd)


def _like(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
    os.fchown(target, status.st_uid, status.st_gid)
