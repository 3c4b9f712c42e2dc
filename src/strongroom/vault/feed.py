"""Feeds: sources that are no folders, but files that a producer makes while they are stored (exports of databases).

A feed reaches the workers by being there when they are forked; it is never sent anywhere. Of each series one worker draws
the feed, to its end and before any folder of that series is walked, so that what lies between the two is this series' own
time and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from strongroom.vault.record import Row


class FeedFile(Protocol):
    """One file of a feed.

    ``path`` is relative to the feed. ``pieces`` is read once, to its end; then ``failure`` says why the file must not be
    relied on (empty: it is whole). One that failed is kept by name alone, and makes the point incomplete.
    """

    path: bytes
    pieces: Iterator[bytes]
    failure: str


class Feed(Protocol):
    """Files in the making. Whatever it raises fails its series alone, with the exception's message as one line.

    ``name`` is its tree's in snapshots, beside the sources' names. Read after `files` ended: ``opened_ns`` is the moment that
    the files stand for (nanoseconds since 1970; folders' files changed later are younger), or None; ``roots`` are folders
    to walk in place of sources' paths (a frozen file system), by the sources' names.
    """

    @property
    def name(self) -> str:
        """The tree's name in snapshots."""

    @property
    def opened_ns(self) -> int | None:
        """The moment that the files stand for."""

    @property
    def roots(self) -> Mapping[str, bytes]:
        """Where to walk in place of sources' paths."""

    def files(self) -> Iterator[FeedFile]:
        """The files; each is read to its end before the next is asked for."""

    def result(self) -> bytes:
        """After the last file: what the snapshot's maker wants to know, as `Outcome.told`."""

    def release(self) -> None:
        """Let go of what the series no longer needs: its folders were walked, or it failed.

        Called in the process that drew the feed. Where that was killed it is called in the coordinating process, and it may be
        called in both; it has to be harmless where there is nothing to let go of.
        """


class CarriedEntry(NamedTuple):
    """One entry of a carried tree: its stored path, and its row as the record of its folder is to have it (a folder's own too).

    The row has no references, and of ``extra`` what its content and attributes make of it is filled in. ``content`` is an open
    file that has the bytes of a file at their offsets, None where there are none; ``extents`` are those that are data (None:
    all). Open until the next entry is asked for.
    """

    path: bytes
    row: Row
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    content: int | None = None
    extents: tuple[tuple[int, int], ...] | None = None


@runtime_checkable
class Carried(Protocol):
    """Whole trees that come from elsewhere, with every attribute, in place of a feed. It raises as a `Feed` does.

    No run compares with what was carried before it has read the folders itself.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The trees' names in snapshots."""

    def entries(self) -> Iterator[CarriedEntry]:
        """The entries: each folder before what it holds, siblings by name."""

    def release(self) -> None:
        """Let go of what was needed; see `Feed.release`."""


def told(error: Exception) -> str:
    """A producer's exception in one line."""
    return " ".join(str(error).split()) or type(error).__name__
