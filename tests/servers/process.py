"""A server's process: started, waited for, and ended with its test session, whatever comes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 60.0
_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """One server; ``user`` is the system's user it runs as. It dies with us, even when we are killed."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, ready: Callable[[], bool], user: str | None = None
    ) -> None:
        libc = ctypes.CDLL(None)
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        until = time.monotonic() + PATIENCE
        while not ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it the way its makers mean it."""
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()
