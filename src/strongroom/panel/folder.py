"""Looking into folders that strangers own, without being led out of them.

Only the first folder is opened by its path. From there on each component is opened by itself, relative to the one
before and never through a link; a file is read when it is a regular one, still the one that was looked at, and small.
"""

from __future__ import annotations

import os
import stat
from itertools import islice

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Folder:
    """An open folder. What is absent, of another kind, a link, or may not be read is None or nothing, no error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def at(cls, path: bytes) -> Folder:
        """Open a folder by a path that the administrator chose, so links on the way are his own; raise OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    @property
    def descriptor(self) -> int:
        """The folder's descriptor, as long as it is open."""
        return self._descriptor

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)

    def folder(self, *names: bytes) -> Folder | None:
        """Open the folder below this one that the names lead to."""
        descriptor = os.dup(self._descriptor)
        for name in names:
            try:
                below = os.open(name, _FOLDER, dir_fd=descriptor)
            except OSError:
                return None
            finally:
                os.close(descriptor)
            descriptor = below
        return Folder(descriptor)

    def holds_folder(self, *names: bytes) -> bool:
        """Whether the names lead to a folder below this one."""
        found = self.folder(*names)
        if found is None:
            return False
        with found:
            return True

    def read(self, *names: bytes, limit: int) -> bytes | None:
        """The content of a regular file below this folder, if it is at most ``limit`` bytes long."""
        parent = self.folder(*names[:-1])
        if parent is None:
            return None
        with parent:
            return parent._read(names[-1], limit)

    def _read(self, name: bytes, limit: int) -> bytes | None:
        seen = self.stat(name)
        if seen is None or not stat.S_ISREG(seen.st_mode) or seen.st_size > limit:
            return None
        try:
            with open(os.open(name, _FILE, dir_fd=self._descriptor), "rb", buffering=0) as file:
                opened = os.fstat(file.fileno())
                if (opened.st_dev, opened.st_ino) != (seen.st_dev, seen.st_ino):
                    return None
                content = file.read(seen.st_size + 1)
        except OSError:
            return None
        # One byte more than there was to read: the file is growing, or says less than it holds, as those in /proc do.
        return content if content is not None and len(content) <= seen.st_size else None

    def stat(self, *names: bytes) -> os.stat_result | None:
        """What stands below this folder, or is this folder itself; a link is told as such."""
        if not names:
            return os.fstat(self._descriptor)
        parent = self.folder(*names[:-1])
        if parent is None:
            return None
        with parent:
            try:
                return os.stat(names[-1], dir_fd=parent._descriptor, follow_symlinks=False)
            except OSError:
                return None

    def link(self, *names: bytes) -> bytes | None:
        """What a link below this folder says, which is text of a stranger's; None for all else."""
        parent = self.folder(*names[:-1])
        if parent is None:
            return None
        with parent:
            try:
                return os.readlink(names[-1], dir_fd=parent._descriptor)
            except OSError:
                return None

    def listed(self, *, most: int) -> dict[bytes, bool]:
        """The names in this folder, no more than so many, and whether each is a folder's."""
        try:
            with os.scandir(self._descriptor) as found:
                return {os.fsencode(item.name): item.is_dir(follow_symlinks=False) for item in islice(found, most)}
        except OSError:
            return {}

    def names(self, *, most: int | None = None) -> list[bytes]:
        """The names in this folder, sorted; with ``most``, no more than so many, whichever come first."""
        try:
            with os.scandir(self._descriptor) as found:
                return sorted(os.fsencode(item.name) for item in islice(found, most))
        except OSError:
            return []
