"""The packs of an app's repository, and all that its owner refers to, looked at without git.

What the owner refers to by a branch, a tag or a note of his own stays, whatever becomes of our snapshots: any id in any file
that could be such a reference counts as one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress

from strongroom.errors import SnapshotError
from strongroom.panel.folder import Folder

# How a new pack is called, from the repository folder; git adds its hash and what kind of file it is.
BEGINS = "objects/pack/pack"
_FOLDER = (b"objects", b"pack")
# What git has beside packs, for all of them at once: it is only faster with it.
_OVER_ALL = b"multi-pack-index"
_KEEP = b".keep"
_REFERENCES = (b"refs", b"logs", b"worktrees", b"modules")
_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
_MOST_FILE = 16 << 20
_MOST_FILES = 20_000
_MOST_DEPTH = 16


def listed(repository: int) -> set[bytes]:
    """The packs of an open repository, ``pack-HASH`` each, but those that somebody wants kept."""
    with Folder(os.dup(repository)) as folder:
        found = folder.folder(*_FOLDER)
        if found is None:
            return set()
        with found:
            names = found.names()
    kept = {name.removesuffix(_KEEP) for name in names if name.endswith(_KEEP)}
    return {name.removesuffix(b".pack") for name in names if name.endswith(b".pack")} - kept


def remove(repository: int, packs: Collection[bytes]) -> None:
    """Remove packs, once all that is there instead is durable. Raise SnapshotError."""
    with Folder(os.dup(repository)) as folder:
        found = folder.folder(*_FOLDER)
        if found is None:
            return
        with found:
            try:
                os.fsync(found.descriptor)
                names = [name for name in found.names() if _pack_of(name) in packs or name.startswith(_OVER_ALL)]
                # What names packs goes before them: a pack that nothing names is only room.
                for name in sorted(names, key=lambda name: name.endswith(b".pack")):
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=found.descriptor)
            except OSError as error:
                raise SnapshotError(f"packs of the repository cannot be removed: {error.strerror}") from None


def _pack_of(name: bytes) -> bytes:
    return name.partition(b".")[0]


def references(repository: int) -> set[str]:
    """All ids that anything in an open repository refers to, its objects aside."""
    found: set[str] = set()
    with Folder(os.dup(repository)) as folder:
        for name, is_folder in folder.listed(most=_MOST_FILES).items():
            if not is_folder:
                found |= _ids(folder, name)
        for name in _REFERENCES:
            below = folder.folder(name)
            if below is not None:
                for ids in _below(below, _MOST_DEPTH):
                    found |= ids
    return found


def _below(folder: Folder, depth: int) -> Iterator[set[str]]:
    """The ids in the files of a folder, which is closed."""
    with folder:
        for name, is_folder in folder.listed(most=_MOST_FILES).items():
            if not is_folder:
                yield _ids(folder, name)
            elif depth and (below := folder.folder(name)) is not None:
                yield from _below(below, depth - 1)


def _ids(folder: Folder, name: bytes) -> set[str]:
    return {found.decode() for found in _ID.findall(folder.read(name, limit=_MOST_FILE) or b"")}
