"""The nightly job: exports, then the backup, then retention, each a run of this program of its own.

The order is the point: dumps that are made after the backup would wait a day for theirs. A part that fails stops none
that does not need it, and shows in the exit status. Two jobs never overlap: the lock goes to the parts as well, so
that it holds until the last of them has ended, even when the job itself was killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType

import msgspec

from strongroom.config import Config, Days
from strongroom.errors import SettingError
from strongroom.model import Frozen, text
from strongroom.settings import durable
from strongroom.settings.panel_programs import panel_exports
from strongroom.settings.scopes import EXPORTS, PRUNE, TIME_LIMIT, Scopes

LOCK = b"nightly"
EXPORT, BACKUP, FORGET, PRUNING = "exports", "backup", "forget", "prune"

_FILE = b"nightly.json"
_RESULTS = ("complete", "incomplete", "failed")
# What of a part's complaints is kept for the notice.
_MOST_SAID = 1 << 16
# A part that is told to end gets this long to put its locks away.
_GRACE_SECONDS = 30


class Part(Frozen):
    """One step: its name, the arguments of this program that do it, or why it is ``skipped``."""

    name: str
    arguments: tuple[str, ...]
    skipped: str = ""


class PartDone(Frozen):
    """How one step ended: an exit status, or why it was skipped; ``late``: it took too long, and was ended."""

    name: str
    status: int | None = None
    skipped: str = ""
    late: bool = False


class Record(Frozen):
    """The last job, as it is kept. Times are ISO 8601 in UTC; without ``finished`` it runs, or was cut short."""

    started: str
    finished: str | None = None
    result: str = ""
    parts: tuple[PartDone, ...] = ()

    @property
    def exit_status(self) -> int:
        """As the interface has it: 0 all done, 1 something is missing, 2 there is no backup."""
        return _RESULTS.index(self.result) if self.result in _RESULTS else 2


def own_program() -> tuple[str, ...]:
    """This program, as another process or a timer starts it, whatever folder that one stands in."""
    script = os.path.join(os.path.dirname(sys.executable), "strongroom")
    return (script,) if os.access(script, os.X_OK) else (sys.executable, "-P", "-m", "strongroom")


def plan(config: Config, scopes: Scopes, today: datetime) -> list[Part]:
    """The parts of a night, in their order; without databases there are no exports, and pruning has its days."""
    parts = [Part(name=BACKUP, arguments=("backup",)), Part(name=FORGET, arguments=("forget",))]
    if config.databases.mysql or config.databases.postgresql:
        parts.insert(0, Part(name=EXPORT, arguments=("databases", "dump"), skipped=_no_exports(config, scopes)))
    if today in Days.parse(str(scopes.get(PRUNE))):
        parts.append(Part(name=PRUNING, arguments=("prune",)))
    return parts


def _no_exports(config: Config, scopes: Scopes) -> str:
    """Why the night makes no dumps; empty when it does. What the panel does comes first."""
    panel = panel_exports(config.server)
    if panel:
        return f"{text(panel)} writes the owners' dumps here"
    return "" if scopes.get(EXPORTS) else f"the scope {EXPORTS} is false"


class Night:
    """One nightly job. ``say`` is told, line by line, what its parts complain of; each may take ``limit`` seconds."""

    def __init__(self, config: Config, parts: Sequence[Part], say: Callable[[str], None], limit: float) -> None:
        self._config = config
        self._parts = parts
        self._say = say
        self._limit = limit
        self.said = ""

    def run(self) -> Record:
        """Do all parts and keep the record; raise BusyError while another job is at work."""
        busy = "another nightly job is at work; strongroom timers show says since when"
        with durable.alone(self._config.server.state, LOCK, busy) as lock:
            record = Record(started=_now())
            self._keep(record)
            done: list[PartDone] = []
            for part in self._parts:
                done.append(self._part(part, done, lock))
            record = Record(started=record.started, finished=_now(), result=_RESULTS[_worst(done)], parts=tuple(done))
            self._keep(record)
            return record

    def _part(self, part: Part, before: Sequence[PartDone], lock: int) -> PartDone:
        skipped = part.skipped
        # What a failed backup would have been compared with stays, until there is a good one again.
        if part.name in (FORGET, PRUNING) and (
            _failed(before) or any(each.late for each in before if each.name == BACKUP)
        ):
            skipped = "there was no backup"
        if skipped:
            return PartDone(name=part.name, skipped=skipped)
        return self._run(part, lock)

    def _run(self, part: Part, lock: int) -> PartDone:
        command = [*own_program(), "--config", text(self._config.path), "--quiet", *part.arguments]
        with _Signals() as signals:
            try:
                running = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(lock,),
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self._tell(f"{part.name}: {command[0]}: {error.strerror}")
                return PartDone(name=part.name, status=2)
            with running:
                try:
                    signals.deliver()
                    status = self._listen(running, part.name)
                except BaseException:
                    running.terminate()
                    raise
        if status is None:
            hours = f"{self._limit / 3600:g} hours"
            self._tell(
                f"{part.name}: still at work after {hours}, and ended; the scope {TIME_LIMIT} says how long it may take"
            )
            return PartDone(name=part.name, status=1, late=True)
        if status:
            ending = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            self._tell(f"{part.name}: {ending}")
        return PartDone(name=part.name, status=status if status >= 0 else 128 - status)

    def _listen(self, running: subprocess.Popen[bytes], name: str) -> int | None:
        """Say what a part complains of until it ends; its exit status. None: it did not end in time, and was ended."""
        until = time.monotonic() + self._limit
        assert running.stderr is not None  # noqa: S101  (it is a pipe)
        heard = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(running.stderr, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                if not waiting.select(left):
                    continue
                piece = os.read(running.stderr.fileno(), _MOST_SAID)
                *lines, heard = (heard + piece).split(b"\n")
                # A line that has no end is told in pieces.
                if heard and (not piece or len(heard) > _MOST_SAID):
                    lines, heard = [*lines, heard], b""
                for line in lines:
                    self._tell(f"{name}: {line.decode('utf-8', 'backslashreplace').rstrip()}")
                if not piece:
                    break
        try:
            return running.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            _end(running)
            return None

    def _tell(self, line: str) -> None:
        self.said = (self.said + line + "\n")[:_MOST_SAID]
        self._say(line)

    def _keep(self, record: Record) -> None:
        path = durable.settings_path(self._config.server.state, _FILE)
        durable.replace(path, msgspec.json.encode(record) + b"\n")


class _Signals:
    """Holds back what would end this process while it starts another one that nobody could end then."""

    def __enter__(self) -> _Signals:
        self._came: list[int] = []
        self._handlers = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        self.deliver()

    def deliver(self) -> None:
        """Let signals through again, those that came meanwhile first."""
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        self._handlers = {}
        while self._came:
            signal.raise_signal(self._came.pop())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a part with all that it has started; what does not go when it is asked to is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(_GRACE_SECONDS)
            # Its own processes have had their time as well.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            return


def last_night(state: bytes) -> Record | None:
    """The last nightly job, or None; its result is ``running`` or ``interrupted`` where it has not finished."""
    path = os.path.join(state, b"settings", _FILE)
    content = durable.read(path)
    if content is None:
        return None
    try:
        record = msgspec.json.decode(content, type=Record)
    except msgspec.MsgspecError as error:
        raise SettingError(f"{text(path)}: damaged ({error}); remove it, the next night writes another") from None
    if record.finished is None:
        unfinished = "running" if durable.is_held(state, LOCK) else "interrupted"
        return msgspec.structs.replace(record, result=unfinished)
    return record


def _failed(done: Sequence[PartDone]) -> bool:
    """Whether the backup was done, and there is none."""
    return any(part.name == BACKUP and (part.status or 0) > 1 for part in done)


def _worst(done: Sequence[PartDone]) -> int:
    return 2 if _failed(done) else int(any(part.status for part in done))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
