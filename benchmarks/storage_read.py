"""What a restore really read of a client's storage: files by their access times, and of the vault every range.

A file counts whole. Access times are set to 1970 before, and move where a file is read (``relatime`` moves one that is older
than the file).
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from strongroom.clients.vault import VaultClient, passphrase_of, storage_of
from strongroom.clients.workroom import Workroom
from strongroom.config import load
from strongroom.model import FileType
from strongroom.vault.folder import FolderStorage
from strongroom.vault.vault import Vault

# duplicity's volumes, by the time of their set.
_VOLUME = re.compile(r"duplicity-(?:full|inc)\.(?:\w+\.to\.)?(\w+)\.vol")


class Read(NamedTuple):
    """Sets and bytes that were read, and the entries in them."""

    runs: int
    bytes: int
    entries: int


class Reading:
    """Begins when it is made."""

    def __init__(self, storage: str) -> None:
        self._storage = storage
        for path in self._files():
            os.utime(path, ns=(0, os.stat(path).st_mtime_ns))

    def _files(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._storage):
            yield from (os.path.join(folder, name) for name in names)

    def done(self) -> Read:
        """What was read since."""
        read = [path for path in self._files() if os.stat(path).st_atime_ns]
        size = sum(os.stat(path).st_size for path in read)
        return Read(len({_set(path) for path in read}), size, sum(map(_entries, read)))


def _set(path: str) -> str:
    name = os.path.basename(path)
    found = _VOLUME.match(name)
    return found[1] if found else name


def _entries(path: str) -> int:
    try:
        with tarfile.open(path) as archive:
            return sum(1 for _ in archive)
    except tarfile.TarError:
        return 0


class _Counting(FolderStorage):
    """A vault's storage that knows how many bytes were asked of it."""

    read = 0

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset, length)
        self.read += len(data)
        return data


def vault_bytes(config_file: str, id: str, path: str) -> tuple[int, int]:
    """The bytes that the vault reads to bring back a point, or one path of it, and how many entries that is.

    They are read once more for it, by a vault that has nothing in memory.
    """
    config = load(config_file)
    storage = _Counting(storage_of(config).root)
    state = os.fsdecode(config.server.state) + "/vault"
    client = VaultClient(Vault(storage, state, passphrase_of(config)), Workroom(os.fsencode(state)))
    (point,) = client.load([id])
    paths = [b"data" + path.encode()] if path else [b"data", b"info"]
    entries = list(client.walk(point, paths))
    files = [entry for entry in entries if entry.type is FileType.FILE and entry.content is not None]
    for _ in client.contents(point, files):
        pass
    return storage.read, len(entries)
