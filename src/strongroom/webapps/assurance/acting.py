"""Commands as an app's owner in the app's folder: with no more rights than he has, and none of them outlives the call.

What runs belongs to a stranger. It is given a process namespace of its own, whose first process stays root's and ends with
us: when we are killed, or the time is over, everything that was started goes with it, daemons as well. Without that, an
update could go on while its app is being rolled back.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from strongroom.errors import AssuranceError
from strongroom.model import Frozen

_DEATH_SIGNAL = 1
_MOST_SAID = 1 << 16
_BLOCK = 1 << 16
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The shell stays the namespace's first process, and waits: it does not become the command.
_FIRST = '"$@"; exit $?'
_libc = ctypes.CDLL(None)


class Owner(Frozen):
    """Who acts: ids, and the server path of the home."""

    uid: int
    gid: int
    home: bytes = b"/"
    name: str = ""


class Acted(Frozen):
    """How a command ended: ``status`` is None when its time was over; ``said`` is the end of what it wrote."""

    status: int | None
    said: str
    seconds: float

    @property
    def well(self) -> bool:
        """Whether it ended as it should."""
        return self.status == 0

    @property
    def complaint(self) -> str:
        """How it ended, in a few words."""
        last = [line.strip() for line in self.said.splitlines() if line.strip()][-1:]
        how = (
            f"was not done after {self.seconds:.0f} seconds"
            if self.status is None
            else f"ended with status {self.status}"
        )
        return ": ".join([how, *last])[:500]


def act(owner: Owner, folder: int, command: Sequence[str], seconds: float) -> Acted:
    """Run a command as the owner in an open folder, to its end or for ``seconds``.

    Raise AssuranceError when it cannot be run at all.
    """
    began = time.monotonic()
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [*_wrapped(owner), *command] if os.geteuid() == 0 else list(command),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env=_environment(owner),
            start_new_session=True,
            preexec_fn=_inside(folder),  # noqa: PLW1509  (there are no threads here)
        )
    except OSError as error:
        os.close(reading)
        raise _not_run(command, error) from None
    finally:
        os.close(writing)
    try:
        said, ended = _heard(reading, began + seconds)
        status = process.wait(max(0.1, began + seconds - time.monotonic())) if ended else None
    except subprocess.TimeoutExpired:
        status = None
    finally:
        os.close(reading)
        _end(process)
    return Acted(status=status, said=said, seconds=time.monotonic() - began)


@contextmanager
def acting(owner: Owner, folder: int, command: Sequence[str], log: int, more: dict[str, str]) -> Iterator[None]:
    """Let a command run as the owner in an open folder meanwhile, and end it with all that it started.

    What it says goes into ``log``, ``more`` into its environment. Raise AssuranceError when it cannot be run at all.
    """
    try:
        process = subprocess.Popen(
            [*_wrapped(owner), *command] if os.geteuid() == 0 else list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(owner) | more,
            start_new_session=True,
            preexec_fn=_inside(folder),  # noqa: PLW1509  (there are no threads here)
        )
    except OSError as error:
        raise _not_run(command, error) from None
    try:
        yield
    finally:
        _end(process)


def _not_run(command: Sequence[str], error: OSError) -> AssuranceError:
    return AssuranceError(f"{command[0]}: {error.strerror}; util-linux and the command have to be installed")


def _wrapped(owner: Owner) -> list[str]:
    drop = [f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups", "--no-new-privs"]
    first = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--", "/bin/sh", "-c", _FIRST, "sh"]
    return [*first, "setpriv", *drop, "--inh-caps=-all", "--bounding-set=-all", "--"]


def _environment(owner: Owner) -> dict[str, str]:
    name = owner.name or str(owner.uid)
    home = os.fsdecode(owner.home)
    return {"PATH": _PATH, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"}


def _inside(folder: int) -> Callable[[], None]:
    def prepare() -> None:
        os.fchdir(folder)
        os.umask(0o022)
        _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)

    return prepare


def _heard(reading: int, until: float) -> tuple[str, bool]:
    """The end of what is written into a pipe until it is closed, and whether it was closed in time."""
    said = bytearray()
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        block = os.read(reading, _BLOCK)
        if not block:
            return said.decode("utf-8", "replace"), True
        said += block
        del said[:-_MOST_SAID]
    return said.decode("utf-8", "replace"), False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
