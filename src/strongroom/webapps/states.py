"""What is kept of each app: lock, failure, assurance, last update; one file for each account, among the settings."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from strongroom.errors import SettingError
from strongroom.model import text
from strongroom.settings import durable
from strongroom.webapps.base import App, AppState

_FOLDER = b"webapps"


class States:
    """The states of all apps of this server, in its state folder."""

    def __init__(self, state: bytes) -> None:
        self._state = state
        self._read: dict[str, dict[str, AppState]] = {}

    def get(self, account: str, path: bytes) -> AppState:
        """The state of the app at a path of an account; that of a new one where none is written down."""
        return self._of(account).get(quote(path), AppState())

    def known(self, account: str) -> dict[bytes, AppState]:
        """All that are written down of an account, by path."""
        return {unquote_to_bytes(path): state for path, state in self._of(account).items()}

    def change(self, app: App, **changes: Any) -> AppState:
        """Change some of an app's state, durably; returns the new one."""
        path = quote(app.path)
        with durable.alone(self._state, b"webapps"):
            states = self._load(app.account)
            states[path] = msgspec.structs.replace(states.get(path, AppState()), **changes)
            self._store(app.account, states)
        self._read.pop(app.account, None)
        return states[path]

    def forget(self, app: App) -> None:
        """Drop all that is kept of an app."""
        with durable.alone(self._state, b"webapps"):
            states = self._load(app.account)
            if states.pop(quote(app.path), None) is not None:
                self._store(app.account, states)
        self._read.pop(app.account, None)

    def _of(self, account: str) -> dict[str, AppState]:
        if account not in self._read:
            self._read[account] = self._load(account)
        return self._read[account]

    def _load(self, account: str) -> dict[str, AppState]:
        path = os.path.join(self._state, b"settings", _FOLDER, account.encode() + b".json")
        content = durable.read(path)
        if content is None:
            return {}
        try:
            return msgspec.json.decode(content, type=dict[str, AppState])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SettingError(f"{text(path)} cannot be read: {error}; remove it, and the states begin anew") from None

    def _store(self, account: str, states: dict[str, AppState]) -> None:
        folder = durable.settings_path(self._state, _FOLDER)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        durable.replace(os.path.join(folder, account.encode() + b".json"), msgspec.json.encode(states) + b"\n")
