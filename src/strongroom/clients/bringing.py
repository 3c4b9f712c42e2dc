"""Brings contents back through a tool: into a folder of ours first, from where they are read, checked and handed on.

A few files are brought by name where the tool can; else all that was asked for at once. Nothing of what the tool makes is
trusted: it is opened by descriptors without following links, and every content must have the hash that the sidecar has of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from strongroom.clients.content_hash import ContentHash
from strongroom.clients.holdings import read_held
from strongroom.clients.sidecar import Row, digest
from strongroom.clients.tool import Held, Tool
from strongroom.clients.workroom import Workroom
from strongroom.errors import AwayError, ClientError
from strongroom.model import text

OWN = b"strongroom"
# Up to so many files are brought by name.
FEW = 32
_PIECE = 1 << 20
# So many calls of a tool fail, and none does anything, before it is believed that none ever will.
_PATIENCE = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def place_of(held: Held, row: Row) -> bytes:
    """Where a file's content is in the view that its set was made of."""
    series = held.series.encode()
    if row.place > 0:
        return b"%s/%s/apart/%d" % (series, OWN, row.place)
    if row.place < 0:
        return b"%s/%s/late/%d" % (series, OWN, -row.place)
    return series + b"/" + row.path


def places_of(held: Held, rows: Sequence[Row], scope: Sequence[bytes]) -> list[bytes]:
    """Which places of a set a tool that can bring single ones is asked for: files by name or, of more than a few, where they are.

    ``scope`` are the stored paths that were asked for. What is in the second part is not among them.
    """
    named = [place_of(held, row) for row in rows if row.place >= 0]
    if len(named) <= FEW:
        return named
    series = held.series.encode()
    return [series + b"/" + path for path in scope] + [series + b"/" + OWN]


class Brought:
    """One set, or parts of it, brought back into a folder; use as a context."""

    def __init__(self, tool: Tool, room: Workroom) -> None:
        self._tool, self._room = tool, room
        self._stack = contextlib.ExitStack()
        # For each handle, and whether it is a second part's (a tool may call one as a first part is called): the places that
        # are there (empty bytes: all), and the folders that stand for the view.
        self._there: dict[tuple[str, bool], list[tuple[frozenset[bytes], bytes]]] = {}
        # What could not be brought, and why: nobody waits for the same failure again.
        self._failed: dict[tuple[str, bool, frozenset[bytes]], ClientError] = {}

    def close(self) -> None:
        """Remove all that was brought."""
        self._there.clear()
        self._failed.clear()
        self._stack.close()

    def _folder(self, handle: str, place: bytes, *, tail: bool = False) -> bytes | None:
        for places, folder in self._there.get((handle, tail), ()):
            if b"" in places or any(place == each or place.startswith(each + b"/") for each in places):
                return folder
        return None

    def want(self, held: Held, rows: Sequence[Row], scope: Sequence[bytes]) -> None:
        """See to it that files of one point's set are there; ``scope`` are the stored paths that more will be wanted of."""
        first = [place_of(held, row) for row in rows if row.place >= 0]
        if any(self._folder(held.data, place) is None for place in first):
            self._room.need(sum(row.stored for row in rows if row.place >= 0))
            self.bring(held.data, held.series, places_of(held, rows, scope) if self._tool.partial else [])
        if any(row.place < 0 for row in rows) and self._folder(held.tail, held.series.encode(), tail=True) is None:
            self.bring(held.tail, held.series, [], tail=True)

    def own(self, held: Held) -> tuple[bytes, bytes | None]:
        """The sidecar in a point's set, and the folder of ours in its second part where it has one.

        Raise ClientError where they are another point's: for a set that is gone, some tools bring the one that is next to it.
        """
        place = b"%s/%s" % (held.series.encode(), OWN)
        wanted = [place + b"/sidecar"] if self._tool.partial else []
        sidecar = self.bring(held.data, held.series, wanted) + b"/" + place + b"/sidecar"
        second = self.bring(held.tail, held.series, [], tail=True) + b"/" + place if held.tail else None
        same = not held.sidecar or digest(sidecar) == held.sidecar
        if not same or (second is not None and read_held(second).point.id != held.point.id):
            raise ClientError(
                f"point {held.point.id}: its set is not there any more; {self._tool.driver} brought another point's for it"
            )
        return sidecar, second

    def bring(self, handle: str, series: str, places: Sequence[bytes], *, tail: bool = False) -> bytes:
        """Bring places (none: all) of a set; returns the folder that stands for its view."""
        wanted = (handle, tail, frozenset(places))
        if wanted in self._failed:
            raise self._failed[wanted]
        target = self._stack.enter_context(self._room.spare())
        try:
            folder = self._tool.bring(handle, series, places, target, tail=tail)
        except ClientError as error:
            self._failed[wanted] = error
            if not self._there and len(self._failed) >= _PATIENCE:
                raise AwayError(f"nothing can be brought back: {error}") from error
            raise
        self._there.setdefault((handle, tail), []).append((frozenset(places or [b""]), folder))
        return folder

    def content(self, held: Held, row: Row, wanted: Row) -> Iterator[tuple[int, bytes]]:
        """A file's data as (offset, bytes) of the pieces that are wanted, all of it checked. Raise ClientError.

        ``row`` says how the set holds it, ``wanted`` how the point that is restored has it: only the holes may differ.
        """
        place, late = place_of(held, row), row.place < 0
        folder = self._folder(held.tail if late else held.data, place, tail=late)
        fd = _opened(folder, place) if folder is not None else -1
        if fd < 0:
            raise ClientError(f"{self._tool.driver} did not bring {text(row.path)!r} back; check the client's storage")
        try:
            file = _File(fd, row)
            digest = ContentHash()
            for offset, data in file.read(row.pieces):
                digest.add(offset, data)
            if digest.digest(row.size) != row.digest:
                raise ClientError(f"what {self._tool.driver} brought of {text(row.path)!r} is not what was backed up")
            yield from file.read(wanted.pieces)
        finally:
            os.close(fd)


class _File:
    """A file that a tool brought. Numbered ones hold the data without the holes; others holes, or zeros in their places."""

    def __init__(self, fd: int, row: Row) -> None:
        self._fd = fd
        self._spans = [(offset, offset, length) for offset, length in row.pieces]
        if row.place:
            at = 0
            for number, (offset, length) in enumerate(row.pieces):
                self._spans[number] = (offset, at, length)
                at += length

    def read(self, pieces: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """Pieces of the file, as (offset, bytes), in order; a file that is too short gives less."""
        for offset, length in pieces:
            done = 0
            while done < length and (data := self._at(offset + done, min(_PIECE, length - done))):
                yield offset + done, data
                done += len(data)

    def _at(self, offset: int, length: int) -> bytes:
        number = bisect_right(self._spans, offset, key=itemgetter(0)) - 1
        if number >= 0:
            start, at, size = self._spans[number]
            if offset < start + size:
                return os.pread(self._fd, min(length, start + size - offset), at + offset - start)
        after = self._spans[number + 1][0] if number + 1 < len(self._spans) else offset + length
        return bytes(min(length, after - offset))


def _opened(folder: bytes, place: bytes) -> int:
    """Open a regular file below a folder, through folders alone; -1 where there is none."""
    *above, name = place.split(b"/")
    fd = os.open(folder, _FOLDER)
    try:
        for part in above:
            below = os.open(part, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        found = os.open(name, _FILE, dir_fd=fd)
    except OSError:
        return -1
    finally:
        os.close(fd)
    if stat.S_ISREG(os.fstat(found).st_mode):
        return found
    os.close(found)
    return -1
