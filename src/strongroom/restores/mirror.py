"""What stands in a folder and is not in the point: found, and never what the point leaves out on purpose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from strongroom.model import Frozen
from strongroom.restores.beneath import Folder, Folders, lstat, mount_of
from strongroom.restores.exclusions import Exclusions


class Extra(Frozen, frozen=True):
    """Something to take away: its name in an open folder, its stored path, and how many entries it is in all."""

    name: bytes
    path: bytes
    entries: int


def extras(
    folders: Folders, folder: Folder, names: set[bytes], exclusions: Exclusions
) -> Iterator[tuple[Folder, Extra]]:
    """What an existing folder holds besides ``names``.

    Sockets, excluded paths, paths the point warns of and mounts stay, and the folders they are in; else all goes.
    """
    waiting = [(folder, names)]
    while waiting:
        current, spared = waiting.pop()
        for name in _names(folders, current):
            if name in spared:
                continue
            path = current.path + b"/" + name
            entries, kept = survey(folders, current, name, exclusions)
            if not kept:
                yield current, Extra(name=name, path=path, entries=entries)
            elif path not in kept:
                waiting.append((_child(folders, current, name), set()))


def survey(folders: Folders, parent: Folder, name: bytes, exclusions: Exclusions) -> tuple[int, set[bytes]]:
    """How many entries stand at and below a name, and which of them have to stay."""
    entries = 0
    kept: set[bytes] = set()
    waiting = [(parent, name)]
    while waiting:
        above, name = waiting.pop()
        at = folders.fd(above)
        status = lstat(at, name)
        if status is None:
            continue
        entries += 1
        path = above.path + b"/" + name
        is_folder = stat.S_ISDIR(status.st_mode)
        if stat.S_ISSOCK(status.st_mode) or exclusions.holds(path, folder=is_folder):
            kept.add(path)
        elif is_folder:
            folder = _child(folders, above, name)
            if mount_of(folders.fd(folder)) != mount_of(folders.fd(above)):
                kept.add(path)
            else:
                waiting.extend((folder, inner) for inner in _names(folders, folder))
    return entries, kept


def _child(folders: Folders, parent: Folder, name: bytes) -> Folder:
    return folders.open(Folder(parent.path + b"/" + name, name, parent))


def _names(folders: Folders, folder: Folder) -> list[bytes]:
    return sorted(os.fsencode(name) for name in os.listdir(folders.fd(folder)))
