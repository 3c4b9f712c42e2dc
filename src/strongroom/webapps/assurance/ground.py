"""An app's folder, opened without being led out of its account, and the owner who works there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.model import Account, Frozen
from strongroom.settings.home import open_within
from strongroom.webapps.assurance.acting import Owner
from strongroom.webapps.base import App


class Ground(Frozen):
    """``folder`` is the app's folder, open; ``data`` the server path of the account's files."""

    app: App
    folder: int
    owner: Owner


@contextmanager
def opened(app: App, account: Account) -> Iterator[Ground]:
    """Open an app's folder; raise SettingError where it is not there, or a link is on the way."""
    with open_within(account, app.path) as home:
        data = data_folder(account)
        place = os.path.join(data, home.owner.home.lstrip(b"/"))
        owner = Owner(uid=home.owner.uid, gid=home.owner.gid, home=place, name=account.owner)
        yield Ground(app=app, folder=home.fd, owner=owner)


def data_folder(account: Account) -> bytes:
    """The server path of what an account's owner sees as ``/``."""
    return next(location.path for location in account.locations if location.tree == "data")
