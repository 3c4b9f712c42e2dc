"""The folder in an owner's home where dumps land. It is a stranger's: he may swap, link and remove in it at any moment.

All is done by descriptor and by single names that are never followed. A dump is written under a name that looks like
none, given to the owner, made durable, and renamed; whatever is cut short leaves nothing behind that looks whole.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from strongroom.errors import SettingError
from strongroom.model import Account, text
from strongroom.settings.home import FOLDER, Home, Owner, open_home, open_within

FOLDERS = {"mysql": b"mysql_backups", "postgresql": b"pgsql_backups"}

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe with O_NONBLOCK returns at once; what it is, fstat says.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DRAFT = b".strongroom-"
_DRAFT_END = b".part"


class DumpFolder:
    """An open folder of dumps; its errors are SettingErrors that name it."""

    def __init__(self, fd: int, path: str, owner: Owner) -> None:
        self._fd = fd
        self.path = path
        self._owner = owner

    def __enter__(self) -> DumpFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The regular files in it; links and all else are passed over."""
        with os.scandir(self._fd) as found:
            names = [os.fsencode(each.name) for each in found]
        for name in names:
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield os.fsdecode(name), status

    def holds(self, name: str) -> bool:
        """Whether anything at all has this name, a link among them."""
        return self._stat(os.fsencode(name)) is not None

    def is_free(self, name: str) -> bool:
        """Whether a dump may have this name: nothing has it, or an empty regular file."""
        status = self._stat(os.fsencode(name))
        return status is None or (stat.S_ISREG(status.st_mode) and status.st_size == 0)

    @contextmanager
    def reading(self, name: str, users: Collection[int]) -> Iterator[IO[bytes]]:
        """Open a regular file to read. One that has more names and is not one of the account's own users' may be anybody's,
        linked to here by a tenant, and is refused.
        """
        try:
            descriptor = os.open(os.fsencode(name), _LOOK, dir_fd=self._fd)
        except OSError as error:
            raise SettingError(f"{self.path}/{name}: {error.strerror}; links are not followed") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise SettingError(f"{self.path}/{name} is no regular file")
        with open(descriptor, "rb") as file:
            if status.st_nlink > 1 and status.st_uid not in {self._owner.uid, *users}:
                raise SettingError(f"{self.path}/{name} is a hard link to somebody else's file")
            yield file

    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        """A new file, the owner's and 0600, that has its name at the end if nothing was raised, and else is gone."""
        made = _DRAFT + secrets.token_hex(8).encode() + _DRAFT_END
        with open(os.open(made, _NEW, 0o600, dir_fd=self._fd), "r+b") as file:
            try:
                yield file
                file.flush()
                os.fchown(file.fileno(), self._owner.uid, self._owner.gid)
                os.fchmod(file.fileno(), 0o600)
                os.fsync(file.fileno())
                self._name(file.fileno(), made, os.fsencode(name))
            except BaseException:
                with suppress(OSError):
                    os.unlink(made, dir_fd=self._fd)
                raise

    def remove(self, names: list[str]) -> None:
        """Remove regular files; what is a link or something else by now stays."""
        for name in names:
            status = self._stat(os.fsencode(name))
            if status and stat.S_ISREG(status.st_mode):
                with suppress(FileNotFoundError):
                    os.unlink(os.fsencode(name), dir_fd=self._fd)
        os.fsync(self._fd)

    def clear_drafts(self) -> None:
        """Remove what runs that were killed have left; only while no other run can be at work."""
        drafts = [name for name, _ in self.files() if name.startswith(".strongroom-") and name.endswith(".part")]
        if drafts:
            self.remove(drafts)

    def _name(self, fd: int, made: bytes, name: bytes) -> None:
        os.rename(made, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        os.fsync(self._fd)
        ours, there = os.fstat(fd), self._stat(name)
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise SettingError(f"{self.path}/{text(name)}: somebody exchanged it while it was written")

    def _stat(self, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None


@contextmanager
def dump_folder(account: Account, engine: str, *, make: bool) -> Iterator[DumpFolder]:
    """The folder for an engine's dumps in the owner's home; see `owners_folder`."""
    with owners_folder(account, FOLDERS[engine], make=make) as folder:
        yield folder


@contextmanager
def owners_folder(account: Account, name: bytes, *, make: bool) -> Iterator[DumpFolder]:
    """A folder in the owner's home, and nobody else's; where it is missing, made, or FileNotFoundError is raised.

    Raise SettingError when there is no home, or something else stands where the folder belongs.
    """
    with open_home(account) as home:
        path = os.path.join(text(home.owner.home), text(name))
        try:
            fd = _open(home, name, make=make)
        except FileNotFoundError:
            raise
        except OSError as error:
            problem = f"{error.strerror}; a folder belongs there, and links are not followed"
            raise SettingError(f"{account.name}: {path}: {problem}") from None
        with DumpFolder(fd, path, home.owner) as folder:
            yield folder


@contextmanager
def folder_of(account: Account, path: bytes) -> Iterator[tuple[DumpFolder, str]]:
    """The folder of a file of an account's, and the file's name there; ``path`` is absolute, as its owner sees it.

    Raise SettingError when there is no such folder.
    """
    above, _, name = path.rpartition(b"/")
    if not name:
        raise SettingError(f"{account.name}: {text(path)} is a folder; name a file in it")
    with open_within(account, above) as home, DumpFolder(os.dup(home.fd), text(above), home.owner) as folder:
        yield folder, os.fsdecode(name)


def _open(home: Home, name: bytes, *, make: bool) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=home.fd)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, 0o700, dir_fd=home.fd)
    fd = os.open(name, FOLDER, dir_fd=home.fd)
    try:
        # The owner may have put another folder there since: only one that is new in every respect is given away.
        status = os.fstat(fd)
        if (status.st_uid, stat.S_IMODE(status.st_mode) & 0o777) != (0, 0o700) or os.listdir(fd):
            raise NotADirectoryError(None, "somebody exchanged the folder that was made")
        os.fchown(fd, home.owner.uid, home.owner.gid)
        os.fsync(home.fd)
    except BaseException:
        os.close(fd)
        raise
    return fd
