"""Where an app is: its account's data, its folder, open, and the user whom it belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import SnapshotError
from strongroom.model import Account, Frozen
from strongroom.settings.home import open_within
from strongroom.webapps.base import App


class User(Frozen):
    """Who a program is run as in an app's folder: never root."""

    uid: int
    gid: int


class Place(Frozen):
    """An open folder of an app; closing it is `open_place`'s."""

    fd: int
    user: User


@contextmanager
def open_place(account: Account, app: App) -> Iterator[Place]:
    """Open an app's folder without being led out of the account.

    Its user is the folder's owner where that is one of the account's own users, else the account's owner. Raise SettingError
    where the folder cannot be opened, SnapshotError where it would be root's.
    """
    with open_within(account, app.path) as found:
        status = os.fstat(found.fd)
        own = account.users or {found.owner.uid}
        user = User(uid=found.owner.uid, gid=found.owner.gid)
        if status.st_uid in own and status.st_uid != user.uid:
            user = User(uid=status.st_uid, gid=status.st_gid or found.owner.gid)
        if not user.uid or not user.gid:
            raise SnapshotError(
                f"{app.app}: the account belongs to root; git is not run as root among strangers' files"
            )
        yield Place(fd=found.fd, user=user)


def data_of(account: Account) -> bytes | None:
    """The server path of an account's data; None where it has none."""
    return next((location.path for location in account.locations if location.tree == "data"), None)
