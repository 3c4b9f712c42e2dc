"""What a run has for its workers to do: folders to walk, feeds to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from strongroom.vault.series import SeriesRun


class Task(NamedTuple):
    """Folders of a source to walk, or with no source the series' feed to draw.

    ``recheck``: only these folders, trusting these inodes as long as they have these ctimes (nanoseconds).
    """

    series: int
    source: int | None
    paths: list[bytes]
    recheck: dict[int, int] | None = None


class Tasks:
    """The tasks of one run by number. A task is open until it was reported done."""

    def __init__(self, series: Sequence[SeriesRun]) -> None:
        self._series = series
        self._made: list[Task] = []
        self._open: dict[int, Task] = {}
        self._queue: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def __getitem__(self, number: int) -> Task:
        return self._made[number]

    def series_of(self, number: int) -> SeriesRun:
        """The series that a task is part of."""
        return self._series[self._made[number].series]

    @property
    def open(self) -> list[int]:
        """Those that are not done."""
        return list(self._open)

    @property
    def working(self) -> list[str]:
        """The names of the series that are not done."""
        return sorted({self._series[task.series].request.series for task in self._open.values()})

    # --- more of them ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Everything that is known at the beginning; parents are chosen.

        The largest first: what is left at the end is then small, and shared among the workers.
        """
        for run in sorted(self._series, key=lambda run: -run.parent.entries if run.parent else 0):
            if run.request.feed is not None:
                self._add(Task(run.number, None, []))
            else:
                self._add_folders(run)

    def drawn(self, run: SeriesRun) -> None:
        """A feed is at its end: its series' folders come next, before those of all others."""
        others, self._queue = self._queue, []
        self._add_folders(run)
        self._queue += others

    def split(self, number: int, paths: list[bytes]) -> None:
        """A worker gave some folders of its task away."""
        self._add(self._made[number]._replace(paths=paths))

    def recheck(self, run: SeriesRun) -> bool:
        """Look again at folders with other users' links all of whose names turned up; says whether there are any."""
        if run.rechecked or run.failure:
            return False
        run.rechecked = True
        folders = run.own_links()
        run.resolved(folders)
        sources = [source.name for source in run.request.sources]
        for path, inodes in folders.items():
            self._add(Task(run.number, sources.index(path.split(b"/", 1)[0].decode()), [path], inodes))
        return bool(folders)

    def _add_folders(self, run: SeriesRun) -> None:
        for number, source in enumerate(run.request.sources):
            self._add(Task(run.number, number, [source.name.encode()]))

    def _add(self, task: Task) -> None:
        number = len(self._made)
        self._made.append(task)
        self._open[number] = task
        self._queue.append(number)
        self._series[task.series].tasks += 1

    # --- fewer of them --------------------------------------------------------------------------------------------

    def take(self) -> int | None:
        """The next that waits for a worker, or None."""
        return self._queue.pop(0) if self._queue else None

    def withdraw(self) -> None:
        """Nobody is there to take what waits."""
        self._queue.clear()

    def done(self, number: int) -> SeriesRun:
        """One is done; returns its series."""
        run = self._series[self._open.pop(number).series]
        run.tasks -= 1
        return run
