"""Stretches of a file: where its data are between its holes, and reading them."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator

# A file with more pieces than this between its holes is over the limit: its list alone would fill the memory.
_MOST_EXTENTS = 100_000


class Extent:
    """A part of a file as the stream that the chunker reads."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self._fd, self._offset, self._left = fd, offset, length

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; 0 at the end."""
        want = min(len(buffer), self._left)
        got = os.preadv(self._fd, [buffer[:want]], self._offset) if want else 0
        self._offset += got
        self._left -= got
        return got


def read_all(fd: int, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes from an offset; fewer when the file ends."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def extents(fd: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """The data of a sparse file as (offset, size), or None for a file without holes."""
    try:
        if os.lseek(fd, 0, os.SEEK_HOLE) >= size:
            return None
        found = tuple(itertools.islice(_data_extents(fd, size), _MOST_EXTENTS + 1))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENXIO):
            return None  # the file system does not say, or the file shrank: then the sizes will not fit
        raise
    if len(found) > _MOST_EXTENTS:
        raise OSError(errno.EFBIG, f"more than {_MOST_EXTENTS:,} pieces between its holes")
    return found


def _data_extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        if start >= size:
            return
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, at - start
