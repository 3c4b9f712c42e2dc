"""How work goes on, told on standard error: one line that is written over on a terminal, nothing elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

from strongroom.cli.output import duration, escaped, harmless, size
from strongroom.counting import counted

if TYPE_CHECKING:
    from strongroom.model import FileCounts

_PAUSE = 0.2
# Before so much is done, what it took says nothing of the rest: folders in the cache, the first large file.
_JUDGED_SECONDS = 2.0
_JUDGED_SHARE = 0.01
# Where the terminal does not say how wide it is.
_COLUMNS = 80
_CLEAR = "\r\x1b[K"


class Teller:
    """The monitor of the command line. ``live`` draws the line; ``quiet`` leaves out the notes as well."""

    def __init__(self, *, live: bool, quiet: bool, to: TextIO | None = None, name: str = "strongroom") -> None:
        self._name = name
        self._live = live
        self._quiet = quiet
        self._to = to or sys.stderr
        self._started = time.monotonic()
        self._reading: float | None = None
        self._drawn = 0.0
        self._on_screen = False

    def begin(self) -> None:
        """Count the time from now: what a question took was no work."""
        self._started = time.monotonic()

    def progress(self, *, accounts: str, done: FileCounts, expected_entries: int) -> None:
        """Draw the line again, if the last time is long enough ago."""
        if self._due():
            self._draw(progress_line(accounts, done, expected_entries, self._drawn - self._started))

    def read_back(self, done: int, expected: int) -> None:
        """Likewise for a check."""
        if self._reading is None:
            self._reading = time.monotonic()
        if self._due():
            self._draw(reading_line(done, expected, self._drawn - self._reading))

    def _due(self) -> bool:
        """Whether the line is to be drawn again; then it counts as drawn now."""
        now = time.monotonic()
        if not self._live or now - self._drawn < _PAUSE:
            return False
        self._drawn = now
        return True

    def _draw(self, line: str) -> None:
        self._to.write(_CLEAR + line[: self._columns() - 1])
        self._to.flush()
        self._on_screen = True

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._to.fileno()).columns or _COLUMNS
        except OSError:
            return _COLUMNS

    def note(self, message: str) -> None:
        """Say one thing now, on a line of its own."""
        self.clear()
        if not self._quiet:
            self._to.write(f"{self._name}: {harmless(message)}\n")
            self._to.flush()

    def error(self, message: str) -> None:
        """Say what went wrong, whatever was asked to be left out."""
        self.clear()
        self._to.write(f"{self._name}: {harmless(message)}\n")

    def clear(self) -> None:
        """Take the line off the screen."""
        if self._on_screen:
            self._to.write(_CLEAR)
            self._to.flush()
            self._on_screen = False


def progress_line(accounts: str, done: FileCounts, expected: int, seconds: float) -> str:
    """What has been done, how fast, and how long the rest takes where last time's number of entries is known."""
    rate = done.seen / seconds if seconds > 0 else 0.0
    if done.seen > expected:
        expected = 0  # there is more than last time: how much more, nobody knows
    parts = []
    if expected:
        parts.append(f"{min(99, 100 * done.seen // expected)} %")
    seen = counted(done.seen, "entry", "entries")
    parts.append(f"{done.seen:,} of {counted(expected, 'entry', 'entries')}" if expected else seen)
    parts.append(f"{rate:,.0f}/s")
    parts.append(f"{size(done.bytes_read)} ({size(done.bytes_read / seconds if seconds > 0 else 0)}/s)")
    return "  ".join([*parts, *_left(done.seen, expected, seconds), escaped(accounts)])


def reading_line(done: int, expected: int, seconds: float) -> str:
    """How much of how much was read back, how fast, and how long the rest takes."""
    rate = done / seconds if seconds > 0 else 0.0
    parts = [f"{min(99, 100 * done // expected)} %", f"{size(done)} of {size(expected)}", f"{size(rate)}/s"]
    return "  ".join([*parts, *_left(done, expected, seconds), "read back"])


def _left(done: int, expected: int, seconds: float) -> list[str]:
    """How long the rest takes, where there is a rest, and something to judge by."""
    if done >= expected or seconds < _JUDGED_SECONDS or done < expected * _JUDGED_SHARE:
        return []
    return [f"{duration((expected - done) * seconds / done)} left"]
