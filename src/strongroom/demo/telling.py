"""How the demo is told: a line for each step, as it happens, and the same figures for ``--json``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_INDENT = " " * 13


class Step:
    """One step while it is told: sentences for people, figures for programs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sentences: list[str] = []
        self.figures: dict[str, Any] = {}

    def say(self, sentence: str, **figures: Any) -> None:
        """Add a line to the story, and its figures."""
        self.sentences.append(sentence)
        self.figures.update(figures)


class Telling:
    """Prints steps to a stream and remembers them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.steps: list[dict[str, Any]] = []

    def line(self, text: str = "") -> None:
        """Print one line."""
        print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Tell a step: its name at once, what it did and how long it took when it is done."""
        print(f"  {name:<11}", end="", file=self._stream, flush=True)
        step, started = Step(name), time.monotonic()
        try:
            yield step
        except BaseException:
            self.line("not done")
            raise
        seconds = time.monotonic() - started
        self.steps.append({"name": name, "seconds": round(seconds, 3), **step.figures})
        self.line(f"{step.sentences[0]} ({seconds:.1f} s)" if step.sentences else f"({seconds:.1f} s)")
        for sentence in step.sentences[1:]:
            self.line(_INDENT + sentence)


def size(count: int) -> str:
    """Bytes for people, in powers of 1000."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def rate(count: int, seconds: float) -> str:
    """Bytes a second for people."""
    return f"{size(int(count / max(seconds, 0.001)))}/s"
