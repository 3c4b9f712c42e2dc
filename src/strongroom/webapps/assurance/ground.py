"""An app's folder, opened without being led out of its account, and the owner who works there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import SettingError
from strongroom.model import Account, Frozen
from strongroom.settings.home import open_home
from strongroom.webapps.assurance.acting import Owner
from strongroom.webapps.base import App
from strongroom.webapps.snapshots.place import open_place


class Ground(Frozen):
    """``folder`` is the app's folder, open, ``owner`` who acts in it."""

    app: App
    folder: int
    owner: Owner


@contextmanager
def opened(app: App, account: Account) -> Iterator[Ground]:
    """Open an app's folder; raise SettingError where it is not there or a link is on the way, SnapshotError where its owner
    would be root.
    """
    with open_place(account, app) as place:
        owner = Owner(uid=place.user.uid, gid=place.user.gid, home=_home(app, account), name=account.owner)
        yield Ground(app=app, folder=place.fd, owner=owner)


def _home(app: App, account: Account) -> bytes:
    """The server path of the owner's home, or of the app where that has none, as a copy has none."""
    data = data_folder(account)
    try:
        with open_home(account) as home:
            return os.path.join(data, home.owner.home.lstrip(b"/"))
    except SettingError:
        return data + app.path


def data_folder(account: Account) -> bytes:
    """The server path of what an account's owner sees as ``/``."""
    return next(location.path for location in account.locations if location.tree == "data")
