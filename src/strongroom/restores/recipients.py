"""Who takes the content of one file: to write it, or to compare it with what stands there."""

from __future__ import annotations

import os
from typing import Protocol

from strongroom.restores.present import same_everywhere_else
from strongroom.restores.staging import Staging
from strongroom.restores.wanted import Wanted


class Comparer(Protocol):
    """What is needed of whoever wants to know whether a file that stands there has an entry's content."""

    def open_standing(self, wanted: Wanted, identity: tuple[int, int]) -> int:
        """Open the file that stands in an entry's place, if it still is the same."""

    def compared(self, wanted: Wanted, identity: tuple[int, int] | None) -> None:
        """Be told which inode has an entry's content already, or None when it has to be written."""

    def give_up(self, wanted: Wanted, why: str | OSError) -> None:
        """Say that an entry does not come back, and why; raise when this stops the whole restore."""


class Workshop(Protocol):
    """What is needed of whoever makes the files."""

    def begin(self, wanted: Wanted) -> tuple[int, bytes, Staging | None]:
        """Create an empty file for an entry; say its descriptor, its name, and the staging folder if it is there."""

    def complete(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        """Finish a file whose content is there, close it and put it in its place."""

    def drop(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        """Close and remove a file that was begun."""

    def give_up(self, wanted: Wanted, why: str | OSError) -> None:
        """Say that an entry does not come back, and why; raise when this stops the whole restore."""


class Writing:
    """Writes a file as its pieces come; one that comes in one piece is opened, written and finished at once."""

    __slots__ = ("_fd", "_left", "_made", "_shop", "_staging", "_wanted", "entry")

    def __init__(self, shop: Workshop, wanted: Wanted) -> None:
        self._shop = shop
        self._wanted = wanted
        self.entry = wanted.entry
        self._left = wanted.entry.stored
        self._fd = -1
        self._made = b""
        self._staging: Staging | None = None

    def take(self, offset: int, data: bytes) -> None:
        """Write one piece; holes are where none comes."""
        if self.done:
            return
        try:
            if self._fd < 0:
                self._fd, self._made, self._staging = self._shop.begin(self._wanted)
            written = os.pwrite(self._fd, data, offset)
            if written < len(data):
                _write_rest(self._fd, memoryview(data)[written:], offset + written)
            self._left -= len(data)
            if self._left <= 0:
                fd, self._fd = self._fd, -1
                self._shop.complete(self._wanted, fd, self._made, self._staging)
        except OSError as error:
            self._stop(error)

    def finish_empty(self) -> None:
        """Make a file that has no content, or holes alone."""
        fd, made, staging = self._shop.begin(self._wanted)
        self._shop.complete(self._wanted, fd, made, staging)

    @property
    def done(self) -> bool:
        """Whether all of it came, or no more is wanted."""
        return self._left <= 0

    def restart(self) -> None:
        """Begin anew."""
        self._drop()
        self._left = self.entry.stored

    def fail(self, why: str) -> None:
        """Leave what stands there as it is, and say so."""
        self._stop(why)

    def _stop(self, why: str | OSError) -> None:
        self._left = 0
        self._drop()
        self._shop.give_up(self._wanted, why)

    def _drop(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._shop.drop(self._wanted, fd, self._made, self._staging)


class Comparing:
    """Compares a file that stands there, and has every attribute of the entry, with the pieces as they come."""

    __slots__ = ("_fd", "_identity", "_left", "_pieces", "_shop", "_wanted", "entry")

    def __init__(self, shop: Comparer, wanted: Wanted, identity: tuple[int, int]) -> None:
        self._shop = shop
        self._wanted = wanted
        self.entry = wanted.entry
        self._identity = identity
        self._left = wanted.entry.stored
        self._fd = -1
        self._pieces: list[tuple[int, int]] = []

    def take(self, offset: int, data: bytes) -> None:
        """Compare one piece; the first that differs ends it, and the file is fetched again to be written."""
        if self.done:
            return
        try:
            if self._fd < 0:
                self._fd = self._shop.open_standing(self._wanted, self._identity)
            same = os.pread(self._fd, len(data), offset) == data
            self._pieces.append((offset, offset + len(data)))
            self._left -= len(data)
            if same and self._left <= 0:
                same = self.entry.stored == self.entry.size or same_everywhere_else(
                    self._fd, self.entry.size, self._pieces
                )
        except OSError:
            same = False
        if not same or self._left <= 0:
            self._end(self._identity if same else None)

    @property
    def done(self) -> bool:
        """Whether all of it was compared, or a difference was found."""
        return self._left <= 0

    def restart(self) -> None:
        """Begin anew."""
        self._close()
        self._left = self.entry.stored
        self._pieces.clear()

    def fail(self, why: str) -> None:
        """Leave what stands there as it is, and say so."""
        self._left = 0
        self._close()
        self._shop.give_up(self._wanted, why)

    def _end(self, identity: tuple[int, int] | None) -> None:
        self._left = 0
        self._close()
        self._shop.compared(self._wanted, identity)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_rest(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
