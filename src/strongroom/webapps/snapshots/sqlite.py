"""SQLite databases among an app's files: copied as one moment of them by their owner, since bytes alone may be torn."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from strongroom.exports.sqlite import HEADER, SUFFIXES, SqliteFiles
from strongroom.model import Account, Entry, FileType
from strongroom.restores.beneath import FOLDER, Folder, Folders
from strongroom.restores.remarks import Remarks
from strongroom.webapps.base import App
from strongroom.webapps.snapshots.place import data_of

__all__ = ["HEADER"]


class Unread(bytes):
    """The bytes of a database as they were read, which may be torn."""


def stored_path(app: App) -> bytes | None:
    """The stored path of an app's SQLite database; None where it has none in its folder."""
    login = app.login
    if login is None or login.engine != "sqlite":
        return None
    name = os.fsencode(login.name)
    data = app.place[: len(app.place) - len(app.path.rstrip(b"/"))]
    if not name.startswith(b"/"):
        name = app.path.rstrip(b"/") + b"/" + name
    elif name.startswith(data + b"/"):
        # As root sees it, where no panel shows an account a root of its own.
        name = name[len(data) :]
    path = b"data" + os.path.normpath(name)
    return path if path.startswith(app.stored + b"/") else None


def copied(account: Account, entries: list[Entry], store: Callable[[bytes], str], remarks: Remarks) -> list[Entry]:
    """The entries with each database that was only read replaced by a copy of one moment; its logs are in that copy."""
    databases = {entry.path for entry in entries if isinstance(entry.content, Unread)}
    if not databases:
        return entries
    logs = {path + suffix.encode() for path in databases for suffix in SUFFIXES}
    folders = Folders()
    try:
        root = folders.adopt(Folder(b"data", b"", None), os.open(data_of(account) or b"", FOLDER))
        return [
            _copied(folders, root, entry, store, remarks) if entry.path in databases else entry
            for entry in entries
            if entry.path not in logs or entry.type is not FileType.FILE
        ]
    finally:
        folders.close()


def _copied(folders: Folders, root: Folder, entry: Entry, store: Callable[[bytes], str], remarks: Remarks) -> Entry:
    content = bytes(entry.content) if isinstance(entry.content, Unread) else b""
    folder = root
    try:
        *above, name = entry.path.split(b"/")[1:]
        for part in above:
            folder = folders.open(Folder(folder.path + b"/" + part, part, folder))
        fd = folders.fd(folder)
        copy = SqliteFiles().copy(fd, name, os.stat(name, dir_fd=fd, follow_symlinks=False))
        whole = b"".join(copy.pieces)
        failure = copy.failure
    except OSError as error:
        whole, failure = b"", str(error.strerror)
    if failure:
        remarks.warn(entry.path, f"kept as its bytes stand, which may be torn: {failure}")
        whole = content
    return msgspec.structs.replace(entry, content=store(whole), size=len(whole), stored=len(whole))
