"""Which sets a content is read from: its own, or the older ones of a chain that it is built on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from strongroom.clients.holdings import Holdings
from strongroom.clients.sidecar import Row, Sidecar
from strongroom.clients.tool import Held, Tool
from strongroom.model import FileType, ReadPlan, ReadStep

# What a restore is expected to take beside the tool's own start: entries made, and bytes brought, in a second.
_ENTRIES_PER_SECOND = 10_000
_BYTES_PER_SECOND = 60_000_000
_SECONDS_PER_RUN = 2.0


class Chains:
    """The chains of one client; ``sidecar`` gives a point's."""

    def __init__(self, tool: Tool, holdings: Holdings, sidecar: Callable[[Held], Sidecar]) -> None:
        self._tool, self._holdings, self._sidecar = tool, holdings, sidecar

    def holder(self, held: Held, row: Row) -> tuple[Held, Row]:
        """The point whose set has a file's content, and its row there: where sets hold only what changed, an older one."""
        if self._tool.alone or self._tool.replays or self._tool.merges or row.place:
            return held, row
        holder, found = held, row
        for older in reversed(self._holdings.chain(held)[:-1]):
            before = self._sidecar(older).lookup(row.path)
            if before is None or before.digest != row.digest:
                break
            holder, found = older, before
        return holder, found

    def plan(self, held: Held, rows: Sequence[Row], *, whole: bool) -> ReadPlan:
        """What bringing files back reads, oldest first; ``whole``: every set of the chain is named, if only for its sidecar.

        Raise ClientError where a link is missing.
        """
        chain = [held] if self._tool.alone else self._holdings.chain(held)
        sizes = self._bytes_by_run(chain, rows)
        steps = [
            ReadStep(run=link.point.run, level=link.point.level, what=_said(files), bytes=size)
            for link, (files, size) in zip(chain, sizes, strict=True)
            if files or whole or len(chain) == 1
        ]
        total = sum(step.bytes for step in steps)
        seconds = _SECONDS_PER_RUN * len(steps) + len(rows) / _ENTRIES_PER_SECOND + total / _BYTES_PER_SECOND
        return ReadPlan(reads=tuple(steps), bytes=total, seconds=round(seconds, 1))

    def _bytes_by_run(self, chain: Sequence[Held], rows: Sequence[Row]) -> list[tuple[int, int]]:
        """For each link of a chain how many of the files, and how many of their bytes, are read from it."""
        counts = [[0, 0] for _ in chain]
        for row in rows:
            for number, size in self._read_from(chain, row):
                counts[number][0] += 1
                counts[number][1] += size
        return [(files, size) for files, size in counts]

    def _read_from(self, chain: Sequence[Held], row: Row) -> Iterator[tuple[int, int]]:
        """The links that a file's content is read from: where it was last stored or, where a tool replays, since it appeared."""
        newest = len(chain) - 1
        if newest == 0 or row.place:
            yield newest, row.stored
            return
        current = row
        for number in range(newest, -1, -1):
            before = self._sidecar(chain[number - 1]).lookup(row.path) if number else None
            if before is not None and before.digest == current.digest:
                continue
            yield number, current.stored
            if before is None or before.kind != FileType.FILE or not self._tool.replays:
                return
            current = before


def _said(files: int) -> str:
    return f"{files:,} files and the sidecar" if files else "the sidecar"
