"""The worker processes of a run, as the coordinating process has them."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
from collections.abc import Callable, Sequence

from strongroom.vault.errors import VaultError
from strongroom.vault.header import Chunker
from strongroom.vault.messages import Finish, FromWorker, ToWorker, receive_result, send
from strongroom.vault.pipe import Pipe, pair, waiting
from strongroom.vault.state import State
from strongroom.vault.storage import Storage
from strongroom.vault.tools import HUNGRY, ROTATE, Tools
from strongroom.vault.walk import Series
from strongroom.vault.worker import start

MOST_WORKERS = 64


class OpenPack:
    """A pack that a worker is appending to: its id, its spool's path, and the bytes acknowledged so far."""

    def __init__(self, id: bytes, path: str, size: int) -> None:
        self.id, self.path, self.size = id, path, size


class Worker:
    """One worker process. ``idle``: it asked for work and has none.

    ``tasks`` are those that it has not reported done: a worker asks for the next while what the last one found is still
    being compressed.
    """

    def __init__(self, pid: int, pipe: Pipe, shared: memoryview) -> None:
        self.pid, self.pipe, self.shared = pid, pipe, shared
        self.tasks: set[int] = set()
        self.idle = False
        self.open: dict[bytes, OpenPack] = {}

    def tell(self, message: ToWorker) -> bool:
        """Send a message; says whether the worker is still there."""
        try:
            send(self.pipe, message)
        except OSError:
            return False
        return True

    def hear(self) -> FromWorker | None:
        """Its next message, or None when it is gone."""
        try:
            return receive_result(self.pipe)
        except (EOFError, OSError):
            return None


class Crew:
    """All workers of a run, forked at once."""

    def __init__(self, storage: Storage, state: State, chunker: Chunker) -> None:
        self._storage, self._state, self._chunker = storage, state, chunker
        self.workers: list[Worker] = []

    def __bool__(self) -> bool:
        return bool(self.workers)

    def start(self, number: int, series: Sequence[Series], abandon: Callable[[], None]) -> None:
        """Fork workers; ``abandon`` lets go, in each, of what is the parent's alone."""
        for _ in range(min(number, MOST_WORKERS)):
            ours, theirs = pair()
            shared = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
            tools = Tools(theirs, self._storage, self._state, self._chunker, shared)
            close = [fd for pipe in (ours, *(worker.pipe for worker in self.workers)) for fd in pipe.descriptors]
            pid = start(tools, series, close, abandon)
            theirs.close()
            self.workers.append(Worker(pid, ours, shared))

    def wait(self, others: Sequence[int]) -> tuple[list[Worker], list[int]]:
        """The workers that have something to say, and those of the other descriptors that have; a second at the most."""
        watched = {worker.pipe.fileno(): worker for worker in self.workers}
        ready = list(waiting([*watched, *others], 1.0))
        return [watched[fd] for fd in ready if fd in watched], [fd for fd in ready if fd not in watched]

    def idle(self) -> list[Worker]:
        """The workers that have nothing to do."""
        return [worker for worker in self.workers if worker.idle]

    def share(self) -> None:
        """Ask the busy workers to give some of their folders away."""
        for worker in self.workers:
            worker.shared[HUNGRY] = 1

    def rotate(self) -> None:
        """Ask all workers to finish their open packs."""
        for worker in self.workers:
            worker.shared[ROTATE] = 1

    def dismiss(self) -> None:
        """Tell idle workers that there is no more work; they finish their packs and end."""
        for worker in self.idle():
            worker.idle = False
            worker.tell(Finish())

    def bury(self, worker: Worker) -> None:
        """Strike off a worker that is gone."""
        self.workers.remove(worker)
        worker.pipe.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)

    def kill(self) -> None:
        """End workers that still run, and remove the packs that they had open."""
        for worker in list(self.workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            self.bury(worker)
            for left in worker.open.values():
                with contextlib.suppress(VaultError, OSError):
                    self._storage.spool(left.path).discard()
