"""An app's folder, opened without being led out of its account, and the owner who works there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
        with open_home(account) as home:
            below = os.path.join(data_folder(account), home.owner.home.lstrip(b"/"))
        owner = Owner(uid=place.user.uid, gid=place.user.gid, home=below, name=account.owner)
        yield Ground(app=app, folder=place.fd, owner=owner)


def data_folder(account: Account) -> bytes:
    """The server path of what an account's owner sees as ``/``."""
    return next(location.path for location in account.locations if location.tree == "data")
