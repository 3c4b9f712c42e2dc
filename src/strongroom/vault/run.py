"""A run: the coordinating process, which alone owns index, tree packs and commits.

Workers are forked before the passphrase is stretched and walk while it is. They ask here which chunks are known; the answer
is yes only for what was appended already. A series whose tasks are done waits until every pack that was open at that moment
is put; then it is committed. Invariants I1 to I5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from strongroom.vault import header as headers
from strongroom.vault import pack, parents
from strongroom.vault.commit import Committer
from strongroom.vault.crew import Crew, OpenPack, Worker
from strongroom.vault.errors import StorageError
from strongroom.vault.feed import Carried
from strongroom.vault.feeding import Feeding
from strongroom.vault.footing import Footing, remembered, stand
from strongroom.vault.frame import Kind
from strongroom.vault.index import FrameEntry
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.messages import (
    Ask,
    Counts,
    Donate,
    Done,
    Draw,
    Drawn,
    Failed,
    Framed,
    FromWorker,
    Known,
    Packed,
    Ready,
    Released,
    ToWorker,
    Walked,
    Work,
)
from strongroom.vault.series import Outcome, Request, SeriesFailure, SeriesRun
from strongroom.vault.session import Session
from strongroom.vault.snapshot import Summary
from strongroom.vault.source import fingerprint
from strongroom.vault.state import State
from strongroom.vault.storage import Storage
from strongroom.vault.tasks import Tasks
from strongroom.vault.tools import HUNGRY
from strongroom.vault.unlocking import Unlocking
from strongroom.vault.walk import Series

# A finished account waits for its commit no longer than this (seconds), however long others still take.
_COMMIT_EVERY = 30.0


class Progress(NamedTuple):
    """What a run has done so far; ``expected`` entries are last time's (0: unknown)."""

    series: list[str]
    counts: Counts
    expected: int


class Run:
    """One run over several series. Iterate `outcomes` to its end, or `close`."""

    def __init__(
        self,
        storage: Storage,
        state: State,
        unlock: Callable[[], Keys],
        requests: Sequence[Request],
        *,
        describe: Callable[[Outcome], bytes],
        progress: Callable[[Progress], None],
        workers: int,
    ) -> None:
        self._storage, self._state, self._unlock = storage, state, unlock
        self._describe, self._progress = describe, progress
        header = headers.load(storage)
        headers.refuse(storage, "write", "write to")
        self._series = [
            SeriesRun(number, request, "" if header.dedup == "vault" else request.series)
            for number, request in enumerate(requests)
        ]
        self._tasks = Tasks(self._series)
        self._feeds = Feeding()
        self._ready: list[SeriesRun] = []
        self._waiting: list[tuple[SeriesRun, set[bytes]]] = []
        self._totals = Counts()
        self._fatal = ""
        self._last_commit = time.monotonic()
        self._footing: Footing | None = None
        self._committer: Committer | None = None
        self._crew = Crew(storage, state, header.chunker)
        self._session = Session(storage)
        try:
            self._session.sweep_leftovers()
            specs = [
                Series(run.request.sources, run.request.owners, run.alone, run.request.feed, run.request.substitute)
                for run in self._series
            ]
            self._crew.start(workers, specs, self._session.abandon)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End workers that still run, remove what was not committed, and end the session."""
        self._crew.kill()
        self._feeds.close()
        if self._committer is not None:
            self._committer.discard()
            self._committer = None
        self._session.close()

    # --- the loop -------------------------------------------------------------------------------------------------

    def outcomes(self) -> Iterator[Outcome | SeriesFailure]:
        """Do the run; each series is told once its snapshot is durable. Raise VaultError when the run cannot go on."""
        try:
            unlocking = Unlocking(self._unlock)
            try:
                yield from self._loop(unlocking)
            finally:
                unlocking.close()
        finally:
            self.close()

    def _loop(self, unlocking: Unlocking) -> Iterator[Outcome | SeriesFailure]:
        summaries = remembered(self._storage, self._state)
        if summaries is not None:
            self._plan(summaries)
        while self._footing is None or self._busy() or self._crew:
            speaking, others = self._crew.wait([unlocking.fileno()] if self._footing is None else [])
            for worker in speaking:
                self._hear(worker)
            if others:
                self._stand(unlocking.keys(), planned=summaries is not None)
            if self._fatal:
                raise StorageError(self._fatal)
            self._feed()
            if self._footing is not None:
                yield from self._commit_what_is_ready()
            if not self._crew and self._busy():
                self._fail_rest("the workers are gone (killed, or out of memory?)")
        yield from self._commit()

    def _busy(self) -> bool:
        return bool(self._tasks or self._feeds or self._waiting or self._ready)

    def _feed(self) -> None:
        """Give waiting tasks to idle workers; where there are none, ask busy ones to share, or end."""
        for worker in self._crew.idle():
            if (number := self._tasks.take()) is not None:
                self._give(worker, number)
        if self._crew.idle():
            if self._tasks:
                self._crew.share()
            elif self._footing is not None:
                self._crew.dismiss()

    def _give(self, worker: Worker, number: int) -> None:
        task, run = self._tasks[number], self._tasks.series_of(number)
        run.started = run.started or time.time_ns()
        worker.tasks.add(number)
        worker.idle = False
        worker.shared[HUNGRY] = 0
        if task.source is None:
            self._feeds.given(run, worker)
            self._tell(worker, Draw(number, task.series, run.last_drawn))
            return
        run.walked = run.walked or time.time_ns()
        work = Work(number, task.series, task.source, task.paths, run.base, task.recheck)
        self._tell(worker, run.after_feed(work))

    def _tell(self, worker: Worker, message: ToWorker) -> None:
        if not worker.tell(message):
            self._lose(worker)

    # --- planning -------------------------------------------------------------------------------------------------

    def _plan(self, summaries: dict[str, Summary]) -> None:
        known = parents.by_series(summaries.values())
        for run in self._series:
            own = known.get(run.request.series, [])
            told = fingerprint(run.request.sources)
            run.parent = parents.choose(self._state, own, run.request.series, run.request.level, told)
            if isinstance(run.request.feed, Carried):
                run.parent = parents.alone(run.parent)
            elif run.request.feed is not None:
                run.last_drawn = parents.newest_with(own, run.request.feed.name)
        self._tasks.begin()

    def _stand(self, keys: Keys, *, planned: bool) -> None:
        """The keys are there: find out what may be relied on, and let the workers go on."""
        footing = stand(self._storage, self._state, keys, self._session)
        self._committer = Committer(self._storage, self._state, self._session, footing, self._describe)
        self._footing = footing
        for run in self._series:
            run.scope = keys.scope(run.alone)
        if not planned:
            summaries = parents.learn(self._storage, self._state, keys)
            self._plan({id: item for id, item in summaries.items() if id not in footing.forgotten})
        for worker in list(self._crew.workers):
            self._tell(worker, footing.told)

    def _firm(self) -> tuple[Footing, Committer]:
        """What a worker's message relies on: it had the keys, so they are here."""
        assert self._footing is not None and self._committer is not None  # noqa: S101 - see above
        return self._footing, self._committer

    # --- messages -------------------------------------------------------------------------------------------------

    def _hear(self, worker: Worker) -> None:
        message = worker.hear()
        if message is None:
            self._lose(worker)
        else:
            self._handle(worker, message)

    def _handle(self, worker: Worker, message: FromWorker) -> None:
        match message:
            case Ask():
                known = self._firm()[0].known
                ids = message.ids
                bits = bytes([known(ids[at : at + ID_SIZE]) for at in range(0, len(ids), ID_SIZE)])
                self._tell(worker, Known(bits))
            case Framed():
                entry = FrameEntry(message.offset, message.size, message.ids)
                self._firm()[0].index.add_frame(message.pack, Kind(message.kind), entry)
                self._series[message.series].stored += message.size
                worker.open[message.pack] = OpenPack(message.pack, message.path, message.offset + message.size)
            case Walked():
                self._walked(message)
            case Ready():
                worker.idle = True
            case Donate():
                self._tasks.split(message.task, message.paths)
            case Done():
                worker.tasks.discard(message.task)
                self._done(message.task)
            case Drawn():
                self._drawn(message)
            case Released():
                run = self._series[message.series]
                self._feeds.released(run, message.message)
                self._finish(run)
            case Packed():
                self._packed(message.pack, message.path, message.size)
                del worker.open[message.pack]
            case Failed(task=None):
                self._fatal = message.message
            case Failed():
                assert message.task is not None  # noqa: S101 - the case above took the others
                worker.tasks.discard(message.task)
                self._tasks.series_of(message.task).failure = message.message
                self._done(message.task)

    def _walked(self, message: Walked) -> None:
        run = self._tasks.series_of(message.task)
        run.take(message, recheck=self._tasks[message.task].recheck is not None)
        if message.folders or message.nodes:
            self._firm()[1].keep(run, message)
        self._totals.add(message.counts)
        expected = sum(item.parent.entries for item in self._series if item.parent)
        self._progress(Progress(self._tasks.working, self._totals, expected))

    def _done(self, number: int) -> None:
        run = self._tasks.done(number)
        if run.tasks or self._tasks.recheck(run):
            return
        run.finished = time.time_ns()
        if self._feeds.release(run):
            self._finish(run)

    def _drawn(self, message: Drawn) -> None:
        run = self._tasks.series_of(message.task)
        run.drawn = message
        self._tasks.drawn(run)

    def _finish(self, run: SeriesRun) -> None:
        """All of a series was read, and its feed is released: it waits for the packs that are open now."""
        self._waiting.append((run, self._footing.index.growing_packs() if self._footing else set()))

    def _packed(self, pack_id: bytes, path: str, size: int) -> None:
        self._firm()[1].put_pack(pack_id, path, size)
        for _, packs in self._waiting:
            packs.discard(pack_id)

    def _lose(self, worker: Worker) -> None:
        """A worker is gone: finish its pack with what it had appended, and fail what it had not reported done."""
        if worker not in self._crew.workers:
            return
        self._crew.bury(worker)
        for run in self._feeds.lose(worker):
            self._finish(run)
        for left in worker.open.values():
            footing, _ = self._firm()
            spool = self._storage.spool(left.path)
            whole = pack.finish(footing.keys, spool, left.id, footing.index.growing(left.id), left.size)
            spool.close()
            self._packed(left.id, left.path, whole)
        for number in sorted(worker.tasks):
            run = self._tasks.series_of(number)
            run.failure = "the worker that walked it was killed; run the backup of this account again"
            self._done(number)

    def _fail_rest(self, message: str) -> None:
        for number in self._tasks.open:
            self._tasks.series_of(number).failure = message
            self._done(number)
        self._tasks.withdraw()
        for run, packs in self._waiting:
            if packs:
                run.failure = run.failure or message
                packs.clear()

    # --- committing -----------------------------------------------------------------------------------------------

    def _commit_what_is_ready(self) -> Iterator[Outcome | SeriesFailure]:
        """Commit series that wait for no pack any more, once all are there or some have waited long enough."""
        self._ready += [run for run, packs in self._waiting if not packs]
        self._waiting = [(run, packs) for run, packs in self._waiting if packs]
        late = time.monotonic() - self._last_commit > _COMMIT_EVERY
        if self._waiting and late:
            self._crew.rotate()
        if self._ready and (late or not (self._tasks or self._waiting)):
            yield from self._commit()

    def _commit(self) -> Iterator[Outcome | SeriesFailure]:
        self._last_commit = time.monotonic()
        ready, self._ready = self._ready, []
        yield from self._firm()[1].commit([run for run in ready if not run.failure])
        for run in ready:
            if run.failure:
                yield SeriesFailure(request=run.request, message=run.failure)
