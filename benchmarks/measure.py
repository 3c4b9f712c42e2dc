"""Runs commands and measures them: time, processor time, memory of all their processes together, bytes of I/O.

Memory is PSS, sampled; a sampler costs a little of one core, so that short runs are not timed while it is on.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from strongroom.model import Frozen

INTERVAL = 0.05
BLOCK = 512


class Command(Frozen):
    """Programs connected by pipes; the last one's output goes to the file `output`, else nowhere.

    ``environment`` is added to ours; ``done`` are the exit statuses that mean that all was done.
    """

    programs: tuple[tuple[str, ...], ...]
    environment: tuple[tuple[str, str], ...] = ()
    folder: str | None = None
    output: str = os.devnull
    done: tuple[int, ...] = (0,)


class Figure(Frozen):
    """What a run took: seconds, processor seconds of all, PSS in bytes (None: not sampled), bytes of I/O."""

    wall: float
    cpu: float
    memory: int | None = None
    read: int = 0
    written: int = 0


class CommandError(Exception):
    """A command that did not do its work; the message is one line."""


def measure(commands: Iterable[Command], *, sample: bool = False) -> Figure:
    """Runs the commands one after the other and measures them as one piece of work.

    Everything written before is on disk when the clock starts, so that nobody pays for another's writes.

    Raises:
        CommandError: one of them could not be started, or ended with a status it should not end with.
    """
    os.sync()
    sampler = Sampler() if sample else None
    cpu = read = written = 0.0
    started = time.perf_counter()
    try:
        for command in commands:
            for usage in _run(command):
                cpu += usage.ru_utime + usage.ru_stime
                read += usage.ru_inblock * BLOCK
                written += usage.ru_oublock * BLOCK
    finally:
        wall = time.perf_counter() - started
        memory = sampler.stop() if sampler else None
    return Figure(wall=wall, cpu=cpu, memory=memory, read=int(read), written=int(written))


def output(command: Command) -> str:
    """What a command prints.

    Raises:
        CommandError: as `measure`.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="surrogateescape") as printed:
        _run(msgspec.structs.replace(command, output=printed.name))
        return printed.read()


class Sampler:
    """Watches the memory of all descendants of this process, in a thread, until stopped."""

    def __init__(self) -> None:
        self._peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The most that was in use at one moment, in bytes of PSS."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self._peak = max(self._peak, sum(map(_memory, descendants(os.getpid()))))


def descendants(ancestor: int) -> list[int]:
    """The process ids of all children, their children and so on, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                status = Path(f"/proc/{name}/stat").read_bytes()
            except OSError:
                continue
            parent = int(status[status.rindex(b")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = list(children.get(ancestor, ()))
    for process in found:
        found.extend(children.get(process, ()))
    return found


def _memory(process: int) -> int:
    """PSS of one process in bytes; 0 once it has ended."""
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _run(command: Command) -> list[resource.struct_rusage]:
    """Runs the programs of a pipe together; returns what each, with the children it waited for, used."""
    with tempfile.TemporaryFile() as errors, open(command.output, "wb") as sink:
        usages = []
        children = _start(command, sink, errors)
        for child in children:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            usages.append(usage)
        for program, child in zip(command.programs, children, strict=True):
            if child.returncode not in command.done:
                errors.seek(0)
                raise CommandError(_failure(program, child.returncode, errors.read().decode(errors="replace")))
    return usages


def _start(command: Command, sink: IO[bytes], errors: IO[bytes]) -> list[subprocess.Popen[bytes]]:
    environment = os.environ | dict(command.environment)
    started: list[subprocess.Popen[bytes]] = []
    source: IO[bytes] | int = subprocess.DEVNULL
    for index, program in enumerate(command.programs, 1):
        out = sink if index == len(command.programs) else subprocess.PIPE
        try:
            child = subprocess.Popen(
                program, stdin=source, stdout=out, stderr=errors, env=environment, cwd=command.folder
            )
        except OSError as error:
            raise CommandError(f"{program[0]}: {error.strerror}") from error
        if not isinstance(source, int):
            source.close()
        source = child.stdout or subprocess.DEVNULL
        started.append(child)
    return started


def _failure(program: tuple[str, ...], status: int, errors: str) -> str:
    said = [line for line in errors.splitlines() if line.strip()]
    return f"{' '.join(program[:6])} …: exit status {status}: {said[-1] if said else 'it said nothing'}"
