"""The folder the demo works in: its own, root's alone, remade every time."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from strongroom.demo import inode_flags
from strongroom.errors import SourceError, UsageError
from strongroom.model import Frozen

DEFAULT = Path("/var/tmp/strongroom-demo")  # noqa: S108 - looked at before it is used: a real folder, root's alone
_MARK = ".strongroom-demo"
_NEEDED = 1_000_000_000


class Place(Frozen):
    """Where everything of the demo lies; ``packages`` outlives it, so that a second demo needs no network."""

    folder: Path

    @property
    def server(self) -> Path:
        """The server's tree."""
        return self.folder / "server"

    @property
    def vault(self) -> Path:
        """The vault."""
        return self.folder / "vault"

    @property
    def state(self) -> Path:
        """The program's catalog and caches."""
        return self.folder / "state"

    @property
    def mysql(self) -> Path:
        """The shop's database server: data, socket, logs."""
        return self.folder / "mysql"

    @property
    def restored(self) -> Path:
        """What is restored beside, not in place."""
        return self.folder / "restored"

    @property
    def packages(self) -> Path:
        """Debian packages, fetched once."""
        return self.folder / "packages"

    @property
    def config(self) -> Path:
        """The program's configuration."""
        return self.folder / "config.toml"

    @property
    def passphrase(self) -> Path:
        """The vault's passphrase, made by ``init``."""
        return self.folder / "passphrase"


def prepare(folder: Path) -> Place:
    """Make the folder, or empty the one an earlier demo left.

    Raise UsageError when we are not root, or the folder is not the demo's; SourceError when there is too little room.
    """
    if os.geteuid() != 0:
        raise UsageError("the demo makes files of many owners and has to run as root; try sudo strongroom demo")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise UsageError(
            f"{folder} is not a folder that root alone can write; name another with --folder, or remove it"
        )
    if not (folder / _MARK).exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds something else than a demo; name an empty folder with --folder")
    (folder / _MARK).touch()
    place = Place(folder=folder)
    _clear(place)
    if shutil.disk_usage(folder).free < _NEEDED:
        raise SourceError(f"{folder} has less than 1 GB of room; name a folder with more with --folder")
    place.restored.mkdir()
    return place


def unlock(place: Place) -> None:
    """Take +i and +a off what the demo made, so that a plain ``rm -rf`` removes it."""
    inode_flags.release(os.fsencode(place.folder))


def _clear(place: Place) -> None:
    unlock(place)
    for part in (place.server, place.vault, place.state, place.mysql, place.restored):
        if part.exists():
            shutil.rmtree(os.fsencode(part))
    for file in (place.config, place.passphrase):
        file.unlink(missing_ok=True)
