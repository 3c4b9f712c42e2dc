"""What is kept of an update that is under way, so that the next command can end it when this one is killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from strongroom.errors import AssuranceError
from strongroom.model import Frozen, text
from strongroom.settings import durable
from strongroom.webapps.base import App

_FOLDER = b"updates"


class Stage(StrEnum):
    """How far an update is: until it is confirmed, the app has to become what it was before."""

    UPDATING = "updating"
    CONFIRMED = "confirmed"


class Entry(Frozen):
    """An update under way: the app, the snapshot to go back to, what is done, since when (ISO 8601).

    The app as it was found: half-updated it may not be known for what it is.
    """

    app: App
    snapshot: str
    what: str
    started: str
    stage: Stage = Stage.UPDATING


class Journal:
    """The updates under way on this server, one file each in its state folder."""

    def __init__(self, state: bytes) -> None:
        self._state = state

    @contextmanager
    def alone(self, app: App) -> Iterator[None]:
        """Let no other update of this app begin; raise BusyError when one is under way."""
        busy = f"{app.app} is being updated by another command; wait until it is done"
        with durable.alone(self._state, b"update." + _name(app), busy):
            yield

    def write(self, app: App, entry: Entry) -> None:
        """Note how far an update is, durably."""
        os.makedirs(os.path.dirname(self._path(app)), mode=0o700, exist_ok=True)
        login = app.login and replace(app.login, password="")
        kept = replace(entry, app=replace(app, login=login))
        durable.replace(self._path(app), msgspec.json.encode(kept) + b"\n")

    def read(self, app: App) -> Entry | None:
        """The update of an app that is under way, or was when it was killed."""
        return _read(self._path(app))

    def under_way(self) -> list[App]:
        """The apps with an update that is under way or was killed."""
        folder = os.path.dirname(durable.settings_path(self._state, os.path.join(_FOLDER, b"-")))
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        found = [_read(os.path.join(folder, name)) for name in names if name.endswith(b".json")]
        return [entry.app for entry in found if entry is not None]

    def remove(self, app: App) -> None:
        """The update is ended."""
        path = self._path(app)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        durable.sync_folder(os.path.dirname(path))

    def _path(self, app: App) -> bytes:
        return durable.settings_path(self._state, os.path.join(_FOLDER, _name(app) + b".json"))


def _read(path: bytes) -> Entry | None:
    content = durable.read(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Entry)
    except msgspec.MsgspecError as error:
        cure = "roll the app back yourself (strongroom apps rollback), then remove it"
        raise AssuranceError(f"{text(path)} cannot be read: {error}; {cure}") from None


def _name(app: App) -> bytes:
    """A file's name for an app; a long one is cut and told apart by a hash."""
    name = quote(app.app, safe="").encode()
    return name if len(name) <= 150 else name[:100] + b"." + hashlib.sha256(name).hexdigest()[:32].encode()
