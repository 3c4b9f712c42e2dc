"""The home of an account's owner, opened without being led out of the account."""

from __future__ import annotations

import errno
import os
import stat

from strongroom.errors import SettingError
from strongroom.model import Account, Frozen, text
from strongroom.panel.folder import Folder

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_MOST_PASSWD_BYTES = 1 << 20
_MOST_ID = 2**32 - 2
_MOST_LINKS = 40


class Owner(Frozen):
    """An account's owner: ids, and where the home is, as the owner sees it (``/home/admin``; ``/`` without a panel)."""

    uid: int
    gid: int
    home: bytes


class Home:
    """An open home, or another folder of an account. Closing it is the caller's: ``with open_home(account) as home``."""

    def __init__(self, fd: int, owner: Owner) -> None:
        self.fd = fd
        self.owner = owner

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)


def open_home(account: Account) -> Home:
    """Open the home of an account's owner; raise SettingError when there is none to trust.

    Where the panel has owners, home and ids are those in the account's ``etc/passwd``, which is root's. An account that
    is just a folder is its own home.
    """
    root, owner = _root(account)
    try:
        names = _names(owner.home)
        if b".." in names or (account.owner and not names):
            raise SettingError(f"{account.name}: {text(owner.home)!r} cannot be a home")
        return Home(_descend(root, names, f"{account.name}: its owner's home {text(owner.home)}"), owner)
    finally:
        os.close(root)


def open_within(account: Account, folder: bytes) -> Home:
    """Open a folder of an account by the path that its owner knows it by, which has no ``..``; raise SettingError.

    No link is followed, and the folder belongs to whomever it belongs to.
    """
    root, owner = _root(account)
    try:
        return Home(_descend(root, _names(folder), f"{account.name}: {text(folder)}"), owner)
    finally:
        os.close(root)


def _root(account: Account) -> tuple[int, Owner]:
    """The folder that an account's owner sees as ``/``, open, and the owner."""
    data = next((location.path for location in account.locations if location.tree == "data"), None)
    if data is None:
        raise SettingError(f"{account.name} has no files on this server, so nowhere to put a dump")
    try:
        root = open_folder(data)
    except OSError as error:
        raise SettingError(f"{account.name}: {text(data)}: {error.strerror}") from None
    try:
        return root, _owner(root, account)
    except BaseException:
        os.close(root)
        raise


def open_folder(path: bytes) -> int:
    """Open a folder by an absolute path, following links only where root alone can have made them; raise OSError."""
    fd = os.open("/", FOLDER)
    ahead = path.split(b"/")[::-1]
    links = 0
    try:
        while ahead:
            name = ahead.pop()
            if name in (b"", b"."):
                continue
            try:
                below = os.open(name, FOLDER, dir_fd=fd)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR) or links == _MOST_LINKS:
                    raise
                links += 1
                target = _link_of_root(fd, name)
                ahead += target.split(b"/")[::-1]
                below = os.open("/", FOLDER) if target.startswith(b"/") else os.dup(fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def _link_of_root(folder: int, name: bytes) -> bytes:
    """Where a link leads that root made in a folder of root's; raise OSError for any other."""
    above, link = os.fstat(folder), os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(link.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", name)
    if link.st_uid or above.st_uid or above.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(errno.ELOOP, "a link that others than root could have made", name)
    return os.readlink(name, dir_fd=folder)


def _owner(root: int, account: Account) -> Owner:
    if not account.owner:
        status = os.fstat(root)
        return Owner(uid=status.st_uid, gid=status.st_gid, home=b"/")
    with Folder(os.dup(root)) as folder:
        listed = folder.stat(b"etc", b"passwd")
        content = folder.read(b"etc", b"passwd", limit=_MOST_PASSWD_BYTES) or b""
    if listed and listed.st_uid != 0:
        raise SettingError(f"{account.name}: its etc/passwd is not root's: whose home is whose cannot be known")
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 6 and fields[0] == account.owner.encode() and (ids := _ids(fields)):
            return Owner(uid=ids[0], gid=ids[1], home=fields[5])
    raise SettingError(f"{account.name}: no user {account.owner!r} with a home in its etc/passwd")


def _ids(fields: list[bytes]) -> tuple[int, int] | None:
    """User and group of a line of passwd; never root's."""
    if not all(field.isdigit() and len(field) <= 10 for field in fields[2:4]):
        return None
    uid, gid = int(fields[2]), int(fields[3])
    return (uid, gid) if 0 < uid <= _MOST_ID and 0 < gid <= _MOST_ID else None


def _names(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def _descend(root: int, names: list[bytes], what: str) -> int:
    fd = os.dup(root)
    for name in names:
        try:
            below = os.open(name, FOLDER, dir_fd=fd)
        except OSError as error:
            raise SettingError(f"{what}: {error.strerror}; links are not followed") from None
        finally:
            os.close(fd)
        fd = below
    return fd
