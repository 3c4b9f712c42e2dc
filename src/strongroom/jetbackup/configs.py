"""The folder that JetBackup copies as an account's configuration: what the panel and the servers know of it.

It holds ``account.json``, a copy of ``info``, what `databases.Databases.texts` gives, and the `attributes` of its files. A
new one is made for each backup, for root alone, and taken away when JetBackup says so, or by the next one that is made a
day later.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from strongroom.clients.sidecar import Sidecar
from strongroom.errors import SourceError, UsageError
from strongroom.jetbackup import attributes
from strongroom.model import Account, text
from strongroom.panel.folder import Folder

_NAME = re.compile(rb"[0-9a-f]{32}")
_ACCOUNT = b"account.json"
_INFO = b"info"
_ATTRIBUTES = b"attributes"
_DAY = 24 * 3600.0
# What the panel keeps of one account: far less than this, in any one file, and in all.
_MOST_BYTES = 64 << 20
_MOST_FILES = 100_000
_MOST_DEPTH = 64
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Configs:
    """The folders, below the state folder."""

    def __init__(self, state: bytes) -> None:
        self._above = os.path.join(state, b"jetbackup")

    def make(self, account: Account, known: Mapping[str, Any], texts: Mapping[str, bytes]) -> bytes:
        """Make a folder; returns its path. Raise SourceError where something of ``info`` cannot be read."""
        os.makedirs(self._above, mode=0o700, exist_ok=True)
        self._sweep()
        path = os.path.join(self._above, os.urandom(16).hex().encode())
        os.mkdir(path, 0o700)
        try:
            _write(os.path.join(path, _ACCOUNT), json.dumps(known, sort_keys=True).encode() + b"\n")
            for name, content in texts.items():
                _write(os.path.join(path, name.encode()), content)
            if any(each.tree == "data" for each in account.locations):
                attributes.keep(account, os.path.join(path, _ATTRIBUTES))
            info = next((each for each in account.locations if each.tree == _INFO.decode()), None)
            if info is not None:
                left = {each.pattern.strip(b"/") for each in info.exclude}
                _Copying(left).copy(info.path, os.path.join(path, _INFO))
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return path

    def drop(self, path: bytes) -> None:
        """Take a folder away, one of ours and no other; one that is gone is no error. Raise UsageError."""
        above, name = os.path.split(path)
        if above != self._above or not _NAME.fullmatch(name):
            raise UsageError(f"{text(path)} is no folder that was made for JetBackup")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    def _sweep(self) -> None:
        """Take away what JetBackup left, a day after it was made."""
        for name in os.listdir(self._above):
            path = os.path.join(self._above, name)
            with contextlib.suppress(OSError):
                if _NAME.fullmatch(name) and time.time() - os.lstat(path).st_mtime > _DAY:
                    shutil.rmtree(path)


def ids(path: bytes) -> list[int] | None:
    """The account's own users as such a folder knows them; None where it does not."""
    told = read(path, [_ACCOUNT.decode()]).get(_ACCOUNT.decode())
    try:
        found = json.loads(json.loads(told or b"")["custom_data"])["users"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, list) else None


def read(path: bytes, names: Iterable[str]) -> dict[str, bytes]:
    """The files of these names that a folder holds which came back from a backup, whoever wrote them.

    Raise SourceError where there is no such folder, or a file in it is no plain one, or too large.
    """
    try:
        folder = Folder.at(path)
    except OSError as error:
        raise SourceError(f"{text(path)}: {error.strerror}; it should hold the account's configuration") from None
    found = {}
    with folder:
        for name in names:
            if folder.stat(name.encode()) is None:
                continue
            content = folder.read(name.encode(), limit=_MOST_BYTES)
            if content is None:
                raise SourceError(f"{text(path)}/{name} cannot be read; the account's configuration is not whole")
            found[name] = content
    return found


@contextlib.contextmanager
def kept_attributes(path: bytes) -> Iterator[Sidecar | None]:
    """The attributes that such a folder holds; None where there are none. Raise ClientError where they are damaged."""
    descriptor = None
    try:
        with Folder.at(path) as folder:
            descriptor = os.open(_ATTRIBUTES, _FILE, dir_fd=folder.descriptor)
    except OSError:
        yield None
        return
    try:
        sidecar = Sidecar(b"/proc/self/fd/%d" % descriptor)
        try:
            yield sidecar
        finally:
            sidecar.close()
    finally:
        os.close(descriptor)


class _Copying:
    """Copies folders by descriptors: plain files and folders, nothing through a link, all of it for root alone."""

    def __init__(self, left_out: set[bytes]) -> None:
        self._left_out = left_out
        self._files = self._bytes = 0

    def copy(self, source: bytes, target: bytes) -> None:
        """Copy a folder. Raise SourceError where something in it cannot be read, or there is too much."""
        try:
            folder = Folder.at(source)
        except OSError as error:
            raise SourceError(f"{text(source)}: {error.strerror}") from None
        with folder:
            self._folder(folder, source, target, 0)

    def _folder(self, folder: Folder, source: bytes, target: bytes, depth: int) -> None:
        os.mkdir(target, 0o700)
        for name in folder.names(most=_MOST_FILES):
            where = source + b"/" + name
            status = folder.stat(name)
            if status is None or (not depth and name in self._left_out):
                continue
            if stat.S_ISDIR(status.st_mode):
                found = folder.folder(name) if depth < _MOST_DEPTH else None
                if found is None:
                    raise SourceError(
                        f"{text(where)} cannot be looked into, so the account's configuration is not whole"
                    )
                with found:
                    self._folder(found, where, target + b"/" + name, depth + 1)
            elif stat.S_ISREG(status.st_mode):
                self._file(folder, name, where, target + b"/" + name)

    def _file(self, folder: Folder, name: bytes, where: bytes, target: bytes) -> None:
        content = folder.read(name, limit=_MOST_BYTES - self._bytes)
        self._files += 1
        if content is None or self._files > _MOST_FILES:
            raise SourceError(f"{text(where)} cannot be read, or is too large: the configuration is not whole")
        self._bytes += len(content)
        _write(target, content)


def _write(path: bytes, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
