"""Which sets a content is read from: its own, or the older ones of a chain that it is built on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from strongroom.clients.bringing import FEW, places_of
from strongroom.clients.holdings import Holdings
from strongroom.clients.sidecar import Row, Sidecar, joined
from strongroom.clients.tool import Held, Measuring, Tool
from strongroom.counting import counted
from strongroom.errors import AwayError
from strongroom.model import FileType, ReadPlan, ReadStep

# What a restore is expected to take beside the tool's own start: entries made, and bytes brought, in a second.
_ENTRIES_PER_SECOND = 10_000
_BYTES_PER_SECOND = 60_000_000
_SECONDS_PER_RUN = 2.0


class Chains:
    """The chains of one client; ``sidecar`` gives a point's."""

    def __init__(self, tool: Tool, holdings: Holdings, sidecar: Callable[[Held], Sidecar]) -> None:
        self._tool, self._holdings, self._sidecar = tool, holdings, sidecar

    def few(self, files: Iterable[Row]) -> bool:
        """Whether files are so few that where each was stored last is worth a look."""
        return self._tool.replays and sum(1 for _ in islice(files, FEW + 1)) <= FEW

    def holders(self, held: Held, rows: Sequence[Row], *, few: bool) -> list[tuple[Held, Row]]:
        """For each file the point whose set it is brought from, and its row there.

        Where sets hold only what changed, that is the one that it was stored in last. A tool that replays is asked once for all
        of a few files: for the oldest set that all of them are in as they are now, so that it need not read those that follow.
        """
        if self._tool.alone or self._tool.merges or not (rows and (few or not self._tool.replays)):
            return [(held, row) for row in rows]
        chain = self._holdings.chain(held)
        if not self._tool.replays:
            return [self._stored(chain, row) for row in rows]
        number = self._common(chain, rows)
        return [self._at(chain, number, row) if row.place >= 0 else (held, row) for row in rows]

    def _stored(self, chain: Sequence[Held], row: Row) -> tuple[Held, Row]:
        if row.place:
            return chain[-1], row
        return self._at(chain, next(iter(self._read_from(chain, row)))[0], row)

    def _at(self, chain: Sequence[Held], number: int, row: Row) -> tuple[Held, Row]:
        """A link of a chain, and a file's row there."""
        last = number == len(chain) - 1
        return chain[number], row if last else self._sidecar(chain[number]).lookup(row.path) or row

    def _common(self, chain: Sequence[Held], rows: Sequence[Row]) -> int:
        """The oldest link that has all of the files as they are; no sidecar is brought for that."""
        number = len(chain) - 1
        if all(row.place < 0 for row in rows):
            return number
        while number and self._holdings.has_sidecar(chain[number - 1].point.id):
            older = self._sidecar(chain[number - 1])
            for row in rows:
                before = older.lookup(row.path) if row.place >= 0 else row
                if before is None or before.digest != row.digest:
                    return number
            number -= 1
        return number

    # --- forecasts ------------------------------------------------------------------------------------------------

    def plan(self, held: Held, rows: Sequence[Row], scope: Sequence[bytes], *, whole: bool) -> ReadPlan:
        """What bringing files back reads, oldest first; ``scope`` are the stored paths that are asked for.

        ``whole``: every set of the chain is named, if only for its sidecar. Raise ClientError where a link is missing.
        """
        chain = [held] if self._tool.alone else self._holdings.chain(held)
        first = [row for row in rows if row.place >= 0]
        late = [row for row in rows if row.place < 0]
        read = self._first_parts(chain, first, scope) if first or not late else [(0, 0) for _ in chain]
        read[-1] = (read[-1][0] + len(late), read[-1][1] + sum(row.stored for row in late))
        steps = [
            ReadStep(run=link.point.run, level=link.point.level, what=_said(files, size), bytes=size)
            for link, (files, size) in zip(chain, read, strict=True)
            if files or size or whole or len(chain) == 1
        ]
        total = sum(step.bytes for step in steps)
        seconds = _SECONDS_PER_RUN * len(steps) + len(rows) / _ENTRIES_PER_SECOND + total / _BYTES_PER_SECOND
        return ReadPlan(reads=tuple(steps), bytes=total, seconds=round(seconds, 1))

    def _first_parts(
        self, chain: Sequence[Held], rows: Sequence[Row], scope: Sequence[bytes]
    ) -> list[tuple[int, int]]:
        """For each link of a chain how many of the files, and how many bytes, are read of its set."""
        if isinstance(self._tool, Measuring):
            with contextlib.suppress(AwayError):
                return self._measured(self._tool, chain, rows, scope)
        # What is known of the files themselves: storage that is away hides no point.
        by_run = enumerate(self._bytes_by_run(chain, rows))
        return [(files, self._size(chain, number, files, size)) for number, (files, size) in by_run]

    def _measured(
        self, tool: Measuring, chain: Sequence[Held], rows: Sequence[Row], scope: Sequence[bytes]
    ) -> list[tuple[int, int]]:
        """The same, of a tool that knows what it reads."""
        number = self._common(chain, rows) if self.few(rows) else len(chain) - 1
        used = chain[: number + 1]
        there = [self._at(chain, number, row)[1] for row in rows]
        files = [count for count, _ in self._bytes_by_run(used, there)]
        sizes = tool.reads(used, places_of(used[-1], there, scope))
        return [*zip(files, sizes, strict=True), *((0, 0) for _ in chain[number + 1 :])]

    def _size(self, chain: Sequence[Held], number: int, files: int, size: int) -> int:
        """What is read of a set for files with so many bytes: all of it, where the tool knows no parts."""
        if self._tool.partial or not files:
            return size
        before = self._sidecar(chain[number - 1]).rows() if number else iter(())
        total = 0
        for _, old, row in joined(before, self._sidecar(chain[number]).rows()):
            if row is not None and row.place >= 0 and (old is None or row.place or old.digest != row.digest):
                total += row.stored
        return total

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


def _said(files: int, size: int) -> str:
    if files:
        return f"{counted(files, 'file')} and the sidecar"
    return "looked through, since a later set is built on it" if size else "the sidecar"
