"""Porters: processes that write files of folders which are being built, while the restore itself goes on.

A porter is forked with all that is open, carries one load of files, tells what became of each, and ends. It makes files only
in folders in staging, under names that nothing there has. What stands in the target, other names of an inode, and whatever
is put in place remain the restore's own.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from strongroom.clients.base import Readable
from strongroom.errors import RestoreError, StrongroomError
from strongroom.model import Point
from strongroom.restores.contents import deliver
from strongroom.restores.making import Maker
from strongroom.restores.recipients import Writing
from strongroom.restores.remarks import Remarks, Said
from strongroom.restores.staging import Staging
from strongroom.restores.wanted import Wanted

# A load: so few files that several porters share an account, so many that each bundle is decoded about once.
LOAD_FILES = 2048
LOAD_BYTES = 24 << 20
_MOST_PORTERS = 8
_Signals = set[int | signal.Signals]


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one file of a load: device and inode, or why there is none (with the system's number, if it said so)."""

    number: int
    identity: tuple[int, int] | None
    errno: int = 0
    why: str = ""

    @property
    def failure(self) -> str | OSError:
        """Why the file is not there."""
        return OSError(self.errno, self.why) if self.errno else self.why


class _Report(msgspec.Struct, frozen=True, array_like=True):
    """What a porter tells at its end; with a ``fault``, its load is not there and the restore cannot go on."""

    outcomes: list[Outcome]
    said: Said
    fault: str = ""


class _Load:
    """What one porter does: the port `Workshop`, with the outcomes written down. ``fatal`` errors end the load early."""

    def __init__(self, maker: Maker, files: Sequence[Wanted], fatal: Sequence[int]) -> None:
        self._maker, self._fatal = maker, fatal
        self._numbers = {id(wanted): number for number, wanted in enumerate(files)}
        self.outcomes: list[Outcome] = []

    def begin(self, wanted: Wanted) -> tuple[int, bytes, Staging | None]:
        return self._maker.begin(wanted)

    def complete(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        try:
            with self._maker.finished(wanted, fd, made, staging) as status:
                pass
        except RestoreError as error:
            self.give_up(wanted, str(error))
            return
        self.outcomes.append(Outcome(self._numbers[id(wanted)], (status.st_dev, status.st_ino)))

    def drop(self, wanted: Wanted, fd: int, made: bytes, staging: Staging | None) -> None:
        os.close(fd)
        self._maker.discard(wanted, made, staging)

    def give_up(self, wanted: Wanted, why: str | OSError) -> None:
        number = self._numbers[id(wanted)]
        if not isinstance(why, OSError):
            self.outcomes.append(Outcome(number, None, why=why))
            return
        self.outcomes.append(Outcome(number, None, why.errno or 0, why.strerror or str(why)))
        if why.errno in self._fatal:
            raise _EndedError


class _EndedError(RestoreError):
    """The rest of a load need not be tried."""


@contextmanager
def _undisturbed() -> Iterator[_Signals]:
    """Signals wait, so that no interrupt comes between a process and the note of it; gives those that wait anyway."""
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield waiting
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)


class Porters:
    """The porters of one restore. ``settle`` is told, in the restore's own process, what became of each file.

    With ``fatal`` errors (the system's numbers) the rest of a load is not tried; ``number`` is how many there may be (None: as
    many as there are processors, if the client can be asked by all of them).
    """

    def __init__(
        self,
        client: Readable,
        point: Point,
        maker: Maker,
        remarks: Remarks,
        settle: Callable[[Wanted, Outcome], None],
        fatal: Sequence[int],
        number: int | None,
    ) -> None:
        self._client, self._point, self._maker, self._remarks = client, point, maker, remarks
        self._settle, self._fatal = settle, fatal
        there = min(len(os.sched_getaffinity(0)), _MOST_PORTERS) if client.capabilities().divisible else 0
        self._most = there if number is None else number
        self._at_work: dict[int, tuple[int, list[Wanted]]] = {}
        self._load: list[Wanted] = []
        self._bytes = 0

    @property
    def hired(self) -> bool:
        """Whether there is anybody to carry: one processor alone gains nothing, and not every client can be asked."""
        return self._most > 1

    def add(self, wanted: Wanted) -> None:
        """Add a file to the load that the next porter carries. Raise RestoreError when one was lost."""
        self._load.append(wanted)
        self._bytes += wanted.entry.stored
        if len(self._load) >= LOAD_FILES or self._bytes >= LOAD_BYTES:
            self._carry(self._taken())

    def rest(self) -> list[Wanted]:
        """The last load, where it is the only one: nobody is worth calling for so little."""
        load = self._taken()
        if not self._at_work:
            return load
        self._carry(load)
        return []

    def _taken(self) -> list[Wanted]:
        load, self._load, self._bytes = self._load, [], 0
        return load

    def _carry(self, files: list[Wanted]) -> None:
        """Have a load written, once there is a porter for it."""
        while len(self._at_work) >= self._most:
            self._hear()
        with _undisturbed() as waiting:
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                self._work(files, writing, waiting)
            os.close(writing)
            self._at_work[reading] = (pid, files)

    def wait(self) -> None:
        """Wait until all that was carried is there."""
        while self._at_work:
            self._hear()

    def close(self) -> None:
        """End porters that are still at work; what they wrote goes with the staging folder."""
        for reading, (pid, _) in self._at_work.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reading)
        self._at_work.clear()

    def _hear(self) -> None:
        """Wait for the next porter that is done, and take over what it made."""
        poll = select.poll()
        for reading in self._at_work:
            poll.register(reading, select.POLLIN)
        reading = poll.poll()[0][0]
        pid, files = self._at_work[reading]
        with open(reading, "rb", closefd=False) as pipe:
            told = pipe.read()
        with _undisturbed():
            del self._at_work[reading]
            os.close(reading)
            os.waitpid(pid, 0)
        if not told:
            raise RestoreError("a process of this restore was killed (out of memory?); restore again")
        report = msgspec.msgpack.decode(told, type=_Report)
        if report.fault:
            raise RestoreError(report.fault)
        self._remarks.add(report.said)
        for outcome in report.outcomes:
            self._settle(files[outcome.number], outcome)

    def _work(self, files: list[Wanted], writing: int, waiting: _Signals) -> None:
        """Be a porter, and end."""
        try:
            # The terminal's interrupt goes to the restore, which ends its porters.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
            gc.disable()  # it ends before garbage matters, and looking for it would copy the restore's memory
            report = self._carried(files)
            with open(writing, "wb", closefd=False) as pipe:
                pipe.write(msgspec.msgpack.encode(report))
        finally:
            os._exit(0)  # nothing of the restore's clean-up may run here

    def _carried(self, files: list[Wanted]) -> _Report:
        load = _Load(self._maker, files, self._fatal)
        self._remarks.forget()
        try:
            deliver(self._client, self._point, [Writing(load, wanted) for wanted in files])
        except _EndedError:
            pass
        except StrongroomError as error:
            return _Report([], self._remarks.said(), str(error))
        except Exception as error:  # a fault of ours: said where the user reads it
            return _Report([], self._remarks.said(), f"a process of this restore failed, a bug in Strongroom: {error!r}")
        return _Report(load.outcomes, self._remarks.said())
