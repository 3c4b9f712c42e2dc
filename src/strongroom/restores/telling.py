"""Tells a monitor how a restore or a download goes on, a few times a second."""

from __future__ import annotations

import time

from strongroom.clients.base import Monitor
from strongroom.model import FileCounts, Point

_EVERY = 0.2


class Telling:
    """Knows whom to tell, about which account, and how many entries are expected (0: nobody knows)."""

    def __init__(self, monitor: Monitor, account: str, expected: int = 0) -> None:
        self._monitor = monitor
        self._account = account
        self._expected = expected
        self._told = 0.0

    def tell(self, *, written: int, unchanged: int = 0, read: int) -> None:
        """Tell how many entries were dealt with, and how many bytes were read, unless that was told just now."""
        now = time.monotonic()
        if now - self._told < _EVERY:
            return
        self._told = now
        done = FileCounts(seen=written + unchanged, changed=written, unchanged=unchanged, bytes_read=read)
        self._monitor.progress(accounts=self._account, done=done, expected_entries=self._expected)


def expected_entries(point: Point, paths: tuple[bytes, ...]) -> int:
    """How many entries stored paths have in a point: known for all that the account has alone."""
    return point.entries if b"data" in paths else 0
