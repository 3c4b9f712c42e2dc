"""A run: the coordinating process, which alone owns index, tree packs and commits.

Workers are forked before the passphrase is stretched and walk while it is. They ask here which chunks are known; the answer
is yes only for what was appended already. A series whose tasks are done waits until every pack that was open at that moment
is put; then, for all that are ready: trees, index, barrier, snapshots, barrier. Invariants I1 to I5.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from strongroom.vault import header as headers
from strongroom.vault import pack, parents, session, snapshot
from strongroom.vault.errors import AbsentError, DamagedError, StorageError, VaultError
from strongroom.vault.frame import Chunk, Kind
from strongroom.vault.header import Header
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.index import FrameEntry, Index
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.messages import (
    Ask,
    Counts,
    Donate,
    Done,
    Failed,
    Finish,
    Framed,
    FromWorker,
    Known,
    Packed,
    Ready,
    ToWorker,
    Unlocked,
    Walked,
    Work,
    receive_result,
    send,
)
from strongroom.vault.pipe import Pipe, pair, waiting
from strongroom.vault.reader import Reader
from strongroom.vault.rebuild import rebuild, unindexed
from strongroom.vault.series import Outcome, Request, SeriesFailure, SeriesRun
from strongroom.vault.session import Session
from strongroom.vault.snapshot import SegmentHead, Snapshot
from strongroom.vault.source import fingerprint
from strongroom.vault.state import State, unpack
from strongroom.vault.storage import Storage
from strongroom.vault.tools import HUNGRY, ROTATE, Tools
from strongroom.vault.trees import TreeKeeper
from strongroom.vault.walk import Series, last_known
from strongroom.vault.worker import start

# A finished account waits for its commit no longer than this (seconds), however long others still take.
_COMMIT_EVERY = 30.0


class _Task(NamedTuple):
    series: int
    source: int
    paths: list[bytes]
    recheck: list[int] | None = None


class _Worker:
    """A worker process as its coordinator sees it."""

    def __init__(self, pid: int, pipe: Pipe, shared: memoryview) -> None:
        self.pid, self.pipe, self.shared = pid, pipe, shared
        self.task: int | None = None
        self.idle = False
        # The open pack: id, spool's path, bytes appended.
        self.open: tuple[bytes, str, int] | None = None


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
        unlock: Callable[[], tuple[Header, Keys]],
        requests: Sequence[Request],
        *,
        describe: Callable[[Outcome], bytes],
        progress: Callable[[Progress], None],
        workers: int,
    ) -> None:
        self._storage, self._state, self._unlock = storage, state, unlock
        self._describe, self._progress = describe, progress
        self._header = headers.load(storage)
        headers.refuse(storage, "write", "write to")
        self._session = Session(storage)
        self._series = [
            SeriesRun(number, request, "" if self._header.dedup == "vault" else request.series)
            for number, request in enumerate(requests)
        ]
        self._tasks_made: list[_Task] = []
        self._tasks: dict[int, _Task] = {}
        self._queue: list[int] = []
        self._workers: list[_Worker] = []
        self._ready: list[SeriesRun] = []
        self._waiting: list[tuple[SeriesRun, set[bytes]]] = []
        self._totals = Counts()
        self._put: list[bytes] = []
        self._fatal = ""
        self._last_commit = time.monotonic()
        self._keys: Keys | None = None
        self._opened = False
        try:
            self._session.sweep_leftovers()
            self._start_workers(min(workers, 64))
        except BaseException:
            self.close()
            raise

    def _start_workers(self, number: int) -> None:
        specs = [Series(run.request.sources, run.request.owners, run.alone) for run in self._series]
        for _ in range(number):
            ours, theirs = pair()
            shared = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
            tools = Tools(theirs, self._storage, self._state, self._header.chunker, shared)
            close = [fd for pipe in (ours, *(worker.pipe for worker in self._workers)) for fd in pipe.descriptors]
            pid = start(tools, specs, close, self._session.abandon)
            theirs.close()
            self._workers.append(_Worker(pid, ours, shared))

    # --- the loop -------------------------------------------------------------------------------------------------

    def outcomes(self) -> Iterator[Outcome | SeriesFailure]:
        """Do the run; each series is told once its snapshot is durable. Raise VaultError when the run cannot go on."""
        try:
            opened, opener = os.pipe()
            failure: list[BaseException] = []
            thread = threading.Thread(target=self._unlock_beside, args=(opener, failure), daemon=True)
            thread.start()
            try:
                yield from self._loop(opened, thread, failure)
            finally:
                thread.join()
                os.close(opened)
        finally:
            self.close()

    def _unlock_beside(self, opener: int, failure: list[BaseException]) -> None:
        """Stretch the passphrase in a thread (the calls release the interpreter's lock)."""
        try:
            self._header, self._keys = self._unlock()
        except BaseException as error:
            failure.append(error)
        os.close(opener)

    def _loop(
        self, opened: int, thread: threading.Thread, failure: list[BaseException]
    ) -> Iterator[Outcome | SeriesFailure]:
        planned = self._plan_early()
        locked = True
        while locked or self._busy() or self._workers:
            watched = {worker.pipe.fileno(): worker for worker in self._workers}
            for ready in waiting([*watched, opened] if locked else watched, 1.0):
                if ready in watched:
                    self._receive(watched[ready])
                    continue
                thread.join()
                if failure:
                    raise failure[0]
                locked = False
                self._unlocked(planned)
            if self._fatal:
                raise StorageError(self._fatal)
            yield from self._fail_and_commit(locked)
            self._feed(locked)
            if not self._workers and self._busy():
                self._fail_rest("the workers are gone (killed, or out of memory?)")
        yield from self._commit()
        yield from self._failures()

    def _busy(self) -> bool:
        return bool(self._tasks or self._waiting or self._ready)

    def _feed(self, locked: bool) -> None:
        """Give waiting tasks to idle workers; where there are none, ask busy ones to share, or end."""
        for worker in self._workers:
            if worker.idle and self._queue:
                self._give(worker, self._queue.pop(0))
        idle = [worker for worker in self._workers if worker.idle]
        if not idle:
            return
        if self._tasks:
            for worker in self._workers:
                worker.shared[HUNGRY] = 1
        elif not locked:
            for worker in idle:
                self._tell(worker, Finish())
                worker.idle = False

    def _give(self, worker: _Worker, number: int) -> None:
        task = self._tasks[number]
        run = self._series[task.series]
        run.started = run.started or time.time_ns()
        worker.task, worker.idle = number, False
        worker.shared[HUNGRY] = 0
        self._tell(worker, Work(number, task.series, task.source, task.paths, run.base, task.recheck))

    def _tell(self, worker: _Worker, message: ToWorker) -> None:
        try:
            send(worker.pipe, message)
        except OSError:
            self._lose(worker)

    # --- planning -------------------------------------------------------------------------------------------------

    def _plan_early(self) -> bool:
        """Plan before the keys are there, where nothing needs them: all is remembered, nothing is lost or buried."""
        if self._storage.list(session.TOMBSTONES) or self._storage.list(session.RECORDS):
            return False
        summaries = parents.remembered(self._storage, self._state)
        if summaries is None or not self._packs_are_there():
            return False
        self._plan(summaries)
        return True

    def _packs_are_there(self) -> bool:
        """Whether the index on this machine names just the runs and packs that are in the storage, with their sizes."""
        known = Index.remembered(self._state.index_folder)
        if known is None or set(known[0]) != {item.name for item in self._storage.list(INDEX)}:
            return False
        listed = {item.name: item.size for item in self._storage.list(pack.PREFIX)}
        return listed == {pack.name_of(entry.id): entry.size for entry in known[1]}

    def _plan(self, summaries: dict[str, snapshot.Summary]) -> None:
        for run in self._series:
            told = fingerprint(run.request.sources)
            run.parent = parents.choose(self._state, summaries.values(), run.request.series, run.request.level, told)
        # The largest first: what is left at the end is then small, and shared among the workers.
        for run in sorted(self._series, key=lambda run: -run.parent.entries if run.parent else 0):
            for number, source in enumerate(run.request.sources):
                self._add_task(_Task(run.number, number, [source.name.encode()]))

    def _add_task(self, task: _Task) -> None:
        number = len(self._tasks_made)
        self._tasks_made.append(task)
        self._tasks[number] = task
        self._queue.append(number)
        self._series[task.series].tasks += 1

    def _unlocked(self, planned: bool) -> None:
        """The keys are there: open the index, find out what must not be relied on, and let the workers go on."""
        assert self._keys is not None  # noqa: S101 - the thread has set it
        keys = self._keys
        stones = session.writable_tombstones(self._storage, keys)
        self._index = Index(self._storage, keys, self._state.index_folder)
        self._trees = TreeKeeper(self._storage, keys, self._index)
        self._opened = True
        for run in self._series:
            run.scope = keys.scope(run.alone)
        self._reader = Reader(self._storage, keys, self._index)
        buried_packs, buried_snapshots = session.buried(stones)
        doubtful = self._doubtful(buried_packs)
        lost = session.lost(self._storage, keys, self._index)
        listed = {item.name: item.size for item in self._storage.list(pack.PREFIX)}
        missing = {entry.id for entry in self._index.packs if listed.get(pack.name_of(entry.id)) != entry.size}
        self._index.treat_as_absent(buried_packs | missing, frozenset(lost.chunks))
        records = list(lost.records)
        if missing:
            records += self._records_needing(missing)
        if not planned:
            summaries = parents.learn(self._storage, self._state, keys)
            self._plan({id: item for id, item in summaries.items() if id not in buried_snapshots})
        chunks = lost.chunks + self._index.chunks_in(missing)
        told = Unlocked(
            keys.vault_id, keys.public, keys.id, keys.index, keys.meta, keys.private, chunks, records, doubtful
        )
        for worker in list(self._workers):
            self._tell(worker, told)

    def _doubtful(self, buried: frozenset[bytes]) -> bool:
        """Whether the index may lack what last time's snapshots need: then nothing is used again before it was found there.

        Packs that no run names are read for it first, where nobody else is at work: they are of a run that was lost, or of a
        backup that was killed.
        """
        storage, index = self._storage, self._index
        packs = unindexed(storage, index, buried)
        if packs and session.writers(storage) == [self._session.name]:
            rebuild(self._reader, unindexed(storage, index, buried))
            packs = unindexed(storage, index, buried)
        return bool(packs) or index.vanished

    def _records_needing(self, missing: set[bytes]) -> list[bytes]:
        """The directory records whose content lay in packs that are gone."""
        from strongroom.vault.mark import records_needing  # late: almost never needed

        return records_needing(self._reader, self._storage, set(self._index.chunks_in(missing)))

    # --- messages -------------------------------------------------------------------------------------------------

    def _receive(self, worker: _Worker) -> None:
        try:
            message = receive_result(worker.pipe)
        except (EOFError, OSError):
            self._lose(worker)
            return
        self._handle(worker, message)

    def _handle(self, worker: _Worker, message: FromWorker) -> None:
        match message:
            case Ask():
                ids, known = message.ids, self._index.known
                bits = bytes([known(ids[at : at + ID_SIZE]) for at in range(0, len(ids), ID_SIZE)])
                self._tell(worker, Known(bits))
            case Framed():
                self._index.add_frame(message.pack, Kind.DATA, FrameEntry(message.offset, message.size, message.ids))
                self._series[message.series].stored += message.size
                worker.open = (message.pack, message.path, message.offset + message.size)
            case Walked():
                self._walked(message)
            case Ready():
                worker.task, worker.idle = None, True
            case Donate():
                self._add_task(self._tasks_made[message.task]._replace(paths=message.paths))
            case Done():
                self._done(message.task)
            case Packed():
                self._packed(message.pack, message.path, message.size)
                worker.open = None
            case Failed(task=None):
                self._fatal = message.message
            case Failed():
                assert message.task is not None  # noqa: S101 - the case above took the others
                self._series[self._tasks_made[message.task].series].failure = message.message
                self._done(message.task)

    def _walked(self, message: Walked) -> None:
        task = self._tasks_made[message.task]
        run = self._series[task.series]
        run.take(message, recheck=task.recheck is not None)
        for folder in message.folders:
            node = Chunk(unpack(folder.known).record, folder.body, folder.references)
            run.stored += self._trees.add(run.scope, node)
        for other in message.nodes:
            run.stored += self._trees.add(run.scope, Chunk(other.id, other.body, other.references))
        self._totals.add(message.counts)
        working = sorted({self._series[item.series].request.series for item in self._tasks.values()})
        expected = sum(item.parent.entries for item in self._series if item.parent)
        self._progress(Progress(working, self._totals, expected))

    def _done(self, number: int) -> None:
        task = self._tasks.pop(number)
        run = self._series[task.series]
        run.tasks -= 1
        if run.tasks:
            return
        if not run.rechecked and not run.failure:
            run.rechecked = True
            if folders := run.own_links():
                run.resolved(folders)
                for path, inodes in folders.items():
                    tree = path.split(b"/", 1)[0].decode()
                    source = [item.name for item in run.request.sources].index(tree)
                    self._add_task(_Task(run.number, source, [path], inodes))
                return
        run.finished = time.time_ns()
        self._waiting.append((run, self._index.growing_packs() if self._opened else set()))

    def _packed(self, pack_id: bytes, path: str, size: int) -> None:
        self._storage.put(pack.name_of(pack_id), self._storage.spool(path))
        self._put.append(pack_id)
        self._index.finish_pack(pack_id, size)
        for _, packs in self._waiting:
            packs.discard(pack_id)

    def _lose(self, worker: _Worker) -> None:
        """A worker is gone: finish its pack with what it had appended, and fail what it was at."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        worker.pipe.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)
        if worker.open is not None and self._keys is not None:
            pack_id, path, size = worker.open
            spool = self._storage.spool(path)
            whole = pack.finish(self._keys, spool, pack_id, self._index.growing(pack_id), size)
            spool.close()
            self._packed(pack_id, path, whole)
        if worker.task in self._tasks:
            run = self._series[self._tasks[worker.task].series]
            run.failure = "the worker that walked it was killed; run the backup of this account again"
            self._done(worker.task)

    def _fail_rest(self, message: str) -> None:
        for number in list(self._tasks):
            self._series[self._tasks[number].series].failure = message
            self._done(number)
        self._queue.clear()
        for run, packs in self._waiting:
            if packs:
                run.failure = run.failure or message
                packs.clear()

    # --- committing -----------------------------------------------------------------------------------------------

    def _fail_and_commit(self, locked: bool) -> Iterator[Outcome | SeriesFailure]:
        """Move what is ready to be committed, and commit it when it has waited long enough."""
        if locked:
            return
        still = []
        for run, packs in self._waiting:
            if packs:
                still.append((run, packs))
            else:
                self._ready.append(run)
        self._waiting = still
        late = time.monotonic() - self._last_commit > _COMMIT_EVERY
        if still and late:
            for worker in self._workers:
                worker.shared[ROTATE] = 1
        if self._ready and (late or not (self._tasks or self._waiting)):
            yield from self._commit()

    def _commit(self) -> Iterator[Outcome | SeriesFailure]:
        """Trees, barrier, index, barrier, snapshots, barrier; then, and only then, it is told.

        The index has a barrier of its own, so that no run of it outlives a power loss that one of its packs did not: whoever
        sees a chunk in the index may rely on its pack.
        """
        self._last_commit = time.monotonic()
        ready = [run for run in self._ready if not run.failure]
        failed = [run for run in self._ready if run.failure]
        self._ready = []
        made = [(run, self._snapshot_of(run)) for run in ready]
        if made:
            if trees := self._trees.flush():
                made[0][0].stored += trees
            self._storage.barrier()
            self._index.publish()
            self._put.clear()
            self._trees.put.clear()
            # Runs that a killed process put may be seen, relied on, and not durable yet.
            self._storage.distrust(INDEX)
            self._storage.barrier()
            self._session.insist()
            outcomes = [self._put_snapshot(run, *parts) for run, parts in made]
            self._storage.barrier()
            self._remember(outcomes)
            for _, outcome, _ in outcomes:
                yield outcome
        for run in failed:
            yield SeriesFailure(request=run.request, message=run.failure)

    def _snapshot_of(self, run: SeriesRun) -> tuple[list[SegmentHead], dict[bytes, bytes] | str]:
        """A series' map, stored, and what to remember of its folders (the name of last time's file when all is the same)."""
        base = run.base
        if base is not None and base.trusted and base.digests and not run.folders and not run.removed:
            segments = self._segments(base.snapshot)
            if segments is not None and all(self._index.known(head.id) for head in segments):
                return segments, os.path.basename(base.file)
        last = (self._state.load_base(base.file) if base.file else None) if base else {}
        if last is None:
            assert base is not None  # noqa: S101 - only a base can have lost its file
            last = {} if not base.digests else last_known(self._reader, base.snapshot)
        known = run.map_of(last)
        heads = []
        for head, node in snapshot.build_map(
            ((path, packed[16 : 16 + ID_SIZE]) for path, packed in known.items()), self._keys_now().node_key(run.scope)
        ):
            run.stored += self._trees.add(run.scope, node)
            heads.append(head)
        return heads, known

    def _segments(self, id: str) -> list[SegmentHead] | None:
        """The map of a snapshot, or None when it cannot be read: then it is made again."""
        try:
            return self._reader.snapshot(id).segments
        except (AbsentError, DamagedError):
            return None

    def _keys_now(self) -> Keys:
        assert self._keys is not None  # noqa: S101 - nothing is committed before the vault is open
        return self._keys

    def _put_snapshot(
        self, run: SeriesRun, segments: list[SegmentHead], known: dict[bytes, bytes] | str
    ) -> tuple[Snapshot, Outcome, dict[bytes, bytes] | str]:
        outcome = run.outcome(os.urandom(8).hex())
        made = Snapshot(
            id=outcome.id, series=run.request.series, seq=outcome.seq, parent=outcome.parent, level=outcome.level,
            complete=outcome.complete, scan_started=run.started, scope=run.scope, segments=segments,
            sources=[source.name for source in run.request.sources], filter=fingerprint(run.request.sources),
            entries=run.counts.entries, detail=self._describe(outcome),
        )  # fmt: skip
        self._storage.put(snapshot.name_of(made.id), snapshot.encode(made, self._keys_now()))
        return made, outcome, known

    def _remember(self, committed: Sequence[tuple[Snapshot, Outcome, dict[bytes, bytes] | str]]) -> None:
        """What only makes the next run faster: losing it loses nothing, and a full disk there unmakes no snapshot."""
        with contextlib.suppress(OSError):
            self._index.reload()
            summaries = self._state.summaries()
            summaries.update({made.id: snapshot.summary(made) for made, _, _ in committed})
            self._state.remember_summaries(summaries.values())
            for made, _, known in committed:
                self._state.remember_base(made.series, made.id, made.level, known)

    def _failures(self) -> Iterator[SeriesFailure]:
        for run, _ in self._waiting:
            yield SeriesFailure(request=run.request, message=run.failure or "it was not finished")

    # --- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End workers that still run, remove what was not committed, and end the session."""
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.pipe.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
            if worker.open is not None:
                with contextlib.suppress(VaultError, OSError):
                    self._storage.spool(worker.open[1]).discard()
        self._workers = []
        if self._opened:
            self._opened = False
            self._trees.discard()
            # Packs that no index run names: nothing refers to them, and on a full disk they would stop the next run.
            for pack_id in (*self._put, *self._trees.put):
                with contextlib.suppress(VaultError):
                    self._storage.delete(pack.name_of(pack_id))
            self._index.close()
        self._session.close()
