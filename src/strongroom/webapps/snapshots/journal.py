"""What is written down before a rollback begins, so that whoever comes next can end it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from strongroom.errors import SettingError
from strongroom.model import Frozen, text
from strongroom.settings import durable

_FOLDER = b"rollbacks"


class Begun(Frozen):
    """A rollback that was begun: of which app, to which snapshot, what was kept before, and how the restore is called."""

    app: str
    snapshot: str
    before: str
    restore: str
    only: str | None = None


class Journal:
    """The journals of all apps of this server, in its state folder."""

    def __init__(self, state: bytes) -> None:
        self._state = state
        self._folder = os.path.join(state, _FOLDER)

    @contextmanager
    def alone(self, app: str) -> Iterator[None]:
        """Work on an app's snapshots alone; raise BusyError while another does."""
        with durable.alone(
            self._state, b"app." + name_of(app), f"{app}: its snapshots are worked on; wait for that to end"
        ):
            yield

    def begin(self, begun: Begun) -> None:
        """Write down what is about to be done."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        durable.replace(self._path(begun.app), msgspec.json.encode(begun))

    def end(self, app: str) -> None:
        """It was done, or undone."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(app))
            durable.sync_folder(self._folder)

    def unfinished(self, app: str) -> Begun | None:
        """What was begun of an app and not ended."""
        path = self._path(app)
        content = durable.read(path)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=Begun)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SettingError(f"{text(path)} cannot be read: {error}; look at the app, then remove it") from None

    def _path(self, app: str) -> bytes:
        return os.path.join(self._folder, name_of(app) + b".json")


def name_of(app: str) -> bytes:
    """A file's name for the app with this id."""
    return hashlib.sha256(app.encode("utf-8", "surrogateescape")).hexdigest()[:32].encode()
