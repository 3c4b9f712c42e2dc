"""Contents of a point on their way to another client: written into files of ours, at their offsets, with nothing in the holes.

Clients hand contents over in the order that is cheapest to read; whoever takes them wants one file after another.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from strongroom.clients.base import Client
from strongroom.errors import ClientError
from strongroom.model import Entry, FileCounts, FileType, Point, text

# Where a file has data, as (offset, length), ascending; what touches is one.
Extents = tuple[tuple[int, int], ...]
# Entries are carried so many at once, or fewer with so many bytes (but no fewer than a tool brings by name).
_MOST, _BYTES, _FEWEST = 5000, 64 << 20, 100


class Tally:
    """Counts entries on their way, for a point that others made and nobody has counted."""

    def __init__(self) -> None:
        self._entries = self._bytes = self._seen = self._read = 0

    def over(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries, counted as they pass."""
        for entry in entries:
            self._entries += 1
            self._seen += entry.type is not FileType.DIR
            self._bytes += entry.size if entry.type is FileType.FILE else 0
            self._read += entry.stored if readable(entry) else 0
            yield entry

    def told(self, point: Point) -> Point:
        """A point with its own counts, or with these where it has none."""
        if point.entries:
            return point
        files = FileCounts(seen=self._seen, changed=self._seen, bytes_read=self._read)
        return msgspec.structs.replace(point, entries=self._entries, bytes=self._bytes, files=files)


def readable(entry: Entry) -> bool:
    """Whether an entry is a file whose content a client has, were it nothing but a hole."""
    lost = entry.defect is not None and entry.size and not entry.stored
    return entry.type is FileType.FILE and entry.content is not None and not lost


def batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Entries, some at a time, so that what is staged of them does not fill the disk."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.stored if readable(entry) else 0
        if len(batch) >= _MOST or (size >= _BYTES and len(batch) >= _FEWEST):
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def stage(client: Client, point: Point, entries: Sequence[Entry], place: Callable[[int], bytes]) -> list[Extents]:
    """Write the content of readable files into new files; ``place`` gives each one's path by its number, in folders of ours.

    Raise ClientError where less comes than the point has, or there is no room.
    """
    pieces: dict[int, list[tuple[int, int]]] = defaultdict(list)
    file = _Files(place)
    try:
        for number, entry in enumerate(entries):
            if not entry.stored:
                file.write(number, 0, b"")
        for number, offset, data in client.contents(point, entries):
            file.write(number, offset, data)
            pieces[number].append((offset, len(data)))
    except OSError as error:
        raise ClientError(f"{text(file.path)} cannot be written ({error.strerror}); make room there") from error
    finally:
        file.close()
    found = [_merged(sorted(pieces[number])) for number in range(len(entries))]
    for entry, extents in zip(entries, found, strict=True):
        if sum(length for _, length in extents) != entry.stored:
            raise ClientError(f"client {client.name} brought only a part of {text(entry.path)!r}; check its storage")
    return found


def holes_of(entry: Entry, extents: Extents) -> Extents | None:
    """A file's data as its point is to have them: None where there are no holes in it."""
    return None if extents == ((0, entry.size),) or not entry.size else extents


class _Files:
    """The files that are written, of which the last is open."""

    def __init__(self, place: Callable[[int], bytes]) -> None:
        self._place = place
        self._made: set[int] = set()
        self._number = -1
        self._fd = -1
        self.path = b""

    def write(self, number: int, offset: int, data: bytes) -> None:
        if number != self._number:
            self.close()
            self._number, self.path = number, self._place(number)
            new = 0 if number in self._made else os.O_CREAT | os.O_EXCL
            self._fd = os.open(self.path, os.O_WRONLY | new | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._made.add(number)
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._number = -1, -1


def _merged(pieces: Sequence[tuple[int, int]]) -> Extents:
    found: list[tuple[int, int]] = []
    for offset, length in pieces:
        if found and sum(found[-1]) == offset:
            found[-1] = (found[-1][0], found[-1][1] + length)
        else:
            found.append((offset, length))
    return tuple(found)
