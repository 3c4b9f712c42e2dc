"""Our own programs that work as an app's owner: they start as root with all they need imported, and become him first.

The owner need not be able to read this program then, and nothing that he could have made is read before. A process that
gave up being root cannot be traced by whom it became, so that he sees nothing of it either.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, TypeVar

import msgspec

from strongroom.errors import AssuranceError
from strongroom.model import Frozen

_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
# Python imports these when they are first asked for, which may be too late.
_ENCODINGS = ("idna", "latin-1", "cp437", "cp1252", "iso8859-15", "utf-16", "utf-32")
_LENGTH = 8
_MOST_TASK = 64 << 20
_REFUSED = 3
_libc = ctypes.CDLL(None)

Task = TypeVar("Task", bound=Frozen)


def become(uid: int, gid: int) -> None:
    """Be the owner from here on, without a way back, and end when the program that started this one does."""
    parent = os.getppid()
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # Only now: whoever changes user loses it.
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """One of our programs at work; ``input`` is what it reads after its task."""

    def __init__(self, program: str, task: Frozen, descriptors: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", f"strongroom.webapps.assurance.{program}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(descriptors),
            cwd="/",
            env=_ENVIRONMENT,
        )
        self._program = program
        assert self._process.stdin  # noqa: S101  (it is a pipe)
        self.input: IO[bytes] = self._process.stdin
        content = msgspec.json.encode(task)
        self.write(len(content).to_bytes(_LENGTH) + content)

    def write(self, content: bytes) -> None:
        """Hand it more to read; one that has ended says why in `answer`."""
        try:
            self.input.write(content)
        except BrokenPipeError:
            pass

    def answer(self, seconds: float) -> bytes:
        """Wait for its end, and return what it wrote; raise AssuranceError with what it said went wrong."""
        try:
            out, err = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssuranceError(f"the {self._program} was not done after {seconds:g} seconds") from None
        finally:
            self.end()
        if self._process.returncode:
            said = err.decode("utf-8", "replace").strip().splitlines()
            reason = said[-1] if said else f"it ended with status {self._process.returncode}"
            raise AssuranceError(reason if self._process.returncode == _REFUSED else f"{self._program}: {reason}")
        return out

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def task(kind: type[Task]) -> Task:
    """What this program was asked, in the program itself."""
    length = int.from_bytes(exactly(_LENGTH))
    if length > _MOST_TASK:
        raise ValueError("the task is too large")
    return msgspec.json.decode(exactly(length), type=kind)


def exactly(count: int) -> bytes:
    """So many bytes of what this program is handed; raise EOFError where there are no more."""
    content = sys.stdin.buffer.read(count)
    if len(content) != count:
        raise EOFError("what was to be read was cut short")
    return content


def refuse(reason: str) -> int:
    """Say in one line why the work is not done; the exit status for that."""
    sys.stderr.write(" ".join(reason.split()) + "\n")
    return _REFUSED
