"""The feeds of a run, as the coordinating process sees them: who holds which, and that each is released."""

from __future__ import annotations

from strongroom.vault.crew import Worker
from strongroom.vault.feed import told
from strongroom.vault.messages import Release
from strongroom.vault.series import SeriesRun


class Feeding:
    """Feeds that were given to be drawn and are not released yet: by whom, or by us where that worker is gone."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[SeriesRun, Worker | None]] = {}
        # Series that are done but for their release.
        self._asked: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._held)

    def given(self, run: SeriesRun, worker: Worker) -> None:
        """A worker is about to draw a series' feed."""
        self._held[run.number] = run, worker

    def release(self, run: SeriesRun) -> bool:
        """A series is done: have its feed released; says whether there is nothing to wait for."""
        if run.number not in self._held:
            return True
        _, worker = self._held[run.number]
        if worker is not None and worker.tell(Release(run.number)):
            self._asked.add(run.number)
            return False
        self._release(run)
        return True

    def released(self, run: SeriesRun, message: str) -> None:
        """The worker has released it, or says what went wrong."""
        self._asked.discard(run.number)
        self._held.pop(run.number, None)
        run.release_failed(message)

    def lose(self, worker: Worker) -> list[SeriesRun]:
        """A worker is gone: its feeds are ours now; returns the series that waited for it."""
        waiting = []
        for number, (run, holder) in list(self._held.items()):
            if holder is worker:
                self._held[number] = run, None
                if number in self._asked:
                    self._asked.discard(number)
                    self._release(run)
                    waiting.append(run)
        return waiting

    def _release(self, run: SeriesRun) -> None:
        del self._held[run.number]
        assert run.request.feed is not None  # noqa: S101 - only feeds are held
        try:
            run.request.feed.release()
        except Exception as error:
            run.release_failed(told(error))

    def close(self) -> None:
        """Release all that is left, when the run has ended early and its workers are gone."""
        for run, _ in list(self._held.values()):
            self._release(run)
