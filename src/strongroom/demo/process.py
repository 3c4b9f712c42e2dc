"""A server's process: started, waited for, and ended with whoever started it, whatever comes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strongroom.errors import SourceError

PATIENCE = 60.0
_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """One server; ``user`` is the system's user it runs as. It dies with us, even when we are killed."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        ready: Callable[[], bool],
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and wait until it is ``ready``. Raise SourceError with the end of its log when that does not come."""
        libc = ctypes.CDLL(None)
        self._log = log
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [os.fspath(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    user=user,
                    group=user,
                    extra_groups=[] if user else None,
                    env=environment,
                    # Not the terminal's to interrupt: we end it, in order.
                    process_group=0,
                    preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
                )
            except FileNotFoundError as error:
                raise SourceError(f"{command[0]} is not on this machine; install it with tools/setup") from error
        try:
            self._wait_for(ready, os.fspath(command[0]))
        except BaseException:
            self.kill()
            raise

    def _wait_for(self, ready: Callable[[], bool], name: str) -> None:
        until = time.monotonic() + PATIENCE
        while not ready():
            if self._process.poll() is not None or time.monotonic() > until:
                said = self._log.read_text(errors="replace")[-2000:].split("\n")
                raise SourceError(f"{name} did not start: {' | '.join(filter(None, said))}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Its process id."""
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
