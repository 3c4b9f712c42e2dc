"""Files that a substitute copies in place of the tool, since their bytes alone may be torn (the vault's rules for them).

Each is asked for anew every time: what was written last may stand in a companion alone (a log, a journal), and its own stat
would not tell. The tool sees neither them nor the companions that their copies hold.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from strongroom.clients.base import Substitute
from strongroom.clients.content_hash import ContentHash
from strongroom.clients.sidecar import Row
from strongroom.clients.vault_survey import Sight, Sink, Survey, attributes
from strongroom.model import FileType, text
from strongroom.vault.content import open_file
from strongroom.vault.scan import identity
from strongroom.vault.substitute import mains, pending

_BEGINS = 4096


class _Told(NamedTuple):
    """What is said of a file at the end, and whether that makes the point incomplete."""

    message: str
    defect: bool


class FileCopies:
    """The copies of one point. Without a substitute nothing is copied."""

    def __init__(self, substitute: Substitute | None) -> None:
        self._substitute = substitute
        # By path: what is to be said of each file that was copied, or read in the place of it (empty: nothing).
        self._taken: dict[bytes, _Told] = {}
        self._held: set[bytes] = set()

    def wants(self, sight: Sight, kept: Row | None) -> bool:
        """Whether a file is to be copied; ``kept`` is what is known of one that did not change."""
        if self._substitute is None or sight.kind is not FileType.FILE:
            return False
        if kept is not None:
            return kept.wanted
        try:
            fd = open_file(sight.fd, sight.name)
        except OSError:
            return False  # whoever reads it says so
        try:
            opened = os.fstat(fd)
            same = (opened.st_dev, opened.st_ino) == (sight.status.st_dev, sight.status.st_ino)
            return same and modes.S_ISREG(opened.st_mode) and self._substitute.wants(os.pread(fd, _BEGINS, 0))
        except OSError:
            return False
        finally:
            os.close(fd)

    def companion(self, path: bytes) -> bool:
        """Whether what a file holds is in the copy of another."""
        return self._main(path) is not None

    def _main(self, path: bytes) -> bytes | None:
        if self._substitute is None or not self._held:
            return None
        found = (os.fsencode(main) for main in mains(self._substitute, [os.fsdecode(path)]))
        return next((main for main in found if main in self._held), None)

    def taken(self, path: bytes) -> bool:
        """Whether a file was copied, or read in the place of it: as it is then, it stays."""
        return path in self._taken

    def say(self, path: bytes, survey: Survey) -> None:
        """Say again what there is to be said of a file, or of a companion."""
        if (main := self._main(path)) is not None:
            name = text(main.rpartition(b"/")[2])
            survey.say(path, f"left out: what it holds is in the copy of {name}", defect=False)
        elif (told := self._taken.get(path)) is not None and told.message:
            survey.say(path, told.message, defect=told.defect)

    def reader(self, survey: Survey) -> Callable[..., Row | None]:
        """What reads such a file as `Survey.read` reads others."""

        def read(sight: Sight, sink: Sink, *, again: Callable[[], Sink]) -> Row | None:
            return self._read(survey, sight, sink, again)

        return read

    def _read(self, survey: Survey, sight: Sight, sink: Sink, again: Callable[[], Sink]) -> Row | None:
        substitute = self._substitute
        assert substitute is not None  # noqa: S101 - it wanted the file
        copied = self._copied(substitute, survey, sight, sink)
        if isinstance(copied, Row):
            self._taken[sight.path] = _Told("", False)
            self._held.add(sight.path)
            return copied
        row = survey.read(sight, again(), again=again)
        if row is None or not row.digest:
            return row
        moves, why = copied
        if moves or row.defect:
            why = f"written to while it was read, and not copied: {why or 'it is not what it was'}"
            row = msgspec.structs.replace(row, defect=why)
        elif why:
            why = f"kept byte by byte: {why}"
        self._taken[sight.path] = _Told(why, bool(row.defect))
        return msgspec.structs.replace(row, wanted=True)

    def _copied(self, substitute: Substitute, survey: Survey, sight: Sight, sink: Sink) -> Row | tuple[bool, str]:
        """The row of a copy; or whether the file moves, and why there is no copy.

        Where a copy has another size than a file that stands still, that file's bytes hold what the copy does not.
        """
        try:
            fd = open_file(sight.fd, sight.name)
        except OSError as error:
            return False, error.strerror or str(error)
        try:
            opened = sight._replace(status=os.fstat(fd))
            if opened.inode[0] != sight.inode[0] or opened.kind is not FileType.FILE or survey.foreign(opened):
                return True, ""
            copy = substitute.copy(sight.fd, sight.name, opened.status)
            digest, size = ContentHash(), 0
            for piece in copy.pieces:
                digest.add(size, piece)
                sink(piece)
                size += len(piece)
            moves = pending(substitute, sight.fd, os.fsdecode(sight.name))
            moves = moves or identity(os.fstat(fd)) != identity(opened.status)
            if copy.failure or not (moves or size == opened.status.st_size):
                return moves, copy.failure
            xattrs, flags = attributes(fd)
            survey.bytes_read += size
            return msgspec.structs.replace(
                survey.stat_row(opened), size=size, xattrs=xattrs, flags=flags, digest=digest.digest(size), wanted=True
            )
        except OSError as error:
            return True, error.strerror or str(error)
        finally:
            os.close(fd)
