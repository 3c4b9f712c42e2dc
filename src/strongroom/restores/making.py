"""Makes single files where nobody else can reach them: in staging, or in a folder that is being built there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import RestoreError
from strongroom.model import FileType
from strongroom.restores import flags
from strongroom.restores.attributes import Keeper
from strongroom.restores.staging import Staging
from strongroom.restores.target import Target
from strongroom.restores.wanted import Wanted

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {FileType.FIFO: stat.S_IFIFO, FileType.CHAR: stat.S_IFCHR, FileType.BLOCK: stat.S_IFBLK}


class Maker:
    """Begins files and finishes them, what is in them comes from elsewhere; makes links, pipes and devices."""

    def __init__(self, target: Target, keeper: Keeper) -> None:
        self._target, self._keeper = target, keeper

    def begin(self, wanted: Wanted) -> tuple[int, bytes, Staging | None]:
        """Create an empty file for an entry; say its descriptor, its name, and the staging folder if it is there."""
        at, staging = self._target.spot(wanted.parent)
        made = wanted.name if staging is None else staging.fresh()
        fd = os.open(made, _NEW, 0o600, dir_fd=at)
        if wanted.entry.flags & flags.LAYOUT:
            self._keeper.set_flags(fd, wanted.entry, flags.LAYOUT)
        return fd, made, staging

    @contextmanager
    def finished(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> Iterator[os.stat_result]:
        """Give a file that has its content its size and attributes, and close it. Flags that forbid changes come last, elsewhere.

        What is done with it meanwhile may fail as this may (RestoreError, OSError): the file is gone then.
        """
        entry = wanted.entry
        try:
            if entry.stored != entry.size:
                os.ftruncate(fd, entry.size)
            yield self._keeper.finish_file(fd, entry)
        except (RestoreError, OSError):
            self.discard(wanted, made, staging)
            raise
        finally:
            os.close(fd)

    def node(self, wanted: Wanted) -> tuple[bytes, Staging | None, os.stat_result] | None:
        """Make a link, a pipe or a device, complete; say its name, the staging folder if it is there, and what it is now.

        None for a device that this user may not make.
        """
        entry = wanted.entry
        at, staging = self._target.spot(wanted.parent)
        made = wanted.name if staging is None else staging.fresh()
        if entry.type is FileType.SYMLINK:
            os.symlink(entry.target, made, dir_fd=at)
        else:
            try:
                os.mknod(made, _NODES[entry.type] | 0o600, os.makedev(*entry.rdev), dir_fd=at)
            except PermissionError:
                return None
        return made, staging, self._keeper.finish_node(at, made, entry)

    def put(self, wanted: Wanted, made: bytes, staging: Staging) -> None:
        """Put what was made in staging in its place; where that cannot be, it is gone again."""
        try:
            self._target.put(staging, made, wanted.parent, wanted.name)
        except (OSError, RestoreError):
            staging.discard(made)
            raise

    def discard(self, wanted: Wanted, made: bytes, staging: Staging | None) -> None:
        """Remove a file that was begun."""
        if staging is not None:
            staging.discard(made)
        else:
            os.unlink(made, dir_fd=self._target.folders.fd(wanted.parent))
