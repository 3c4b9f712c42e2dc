"""Feeds: sources that are no folders, but files that a producer makes while they are stored (exports of databases).

A feed reaches the workers by being there when they are forked; it is never sent anywhere. Of each series one worker draws
the feed, to its end and before any folder of that series is walked, so that what lies between the two is this series' own
time and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol


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


def told(error: Exception) -> str:
    """A producer's exception in one line."""
    return " ".join(str(error).split()) or type(error).__name__
