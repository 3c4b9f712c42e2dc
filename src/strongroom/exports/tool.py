"""The database servers' own programs, run so that nothing they say is lost and no secret is where others see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from strongroom.errors import ExportError
from strongroom.exports.system_user import identity

# As much as a pipe may hold: the program goes on while its reader is busy for a moment.
_PIPE = 1 << 20
_BLOCK = 1 << 18
_BREATH = 0.0005
_MOST_SAID = 4000
_PATIENCE = 10.0
# How long a server may keep a program waiting for a lock before it begins.
_LONGEST = 600.0


class Tool:
    """A program whose output is read. ``heard`` gets each line it writes to standard error, in a thread of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        user: str | None = None,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self._name = os.path.basename(command[0])
        self._heard = heard
        self._said = b""
        become = identity(user)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                user=become.pw_uid if become else None,
                group=become.pw_gid if become else None,
                extra_groups=[] if become else None,
            )
        except OSError as error:
            raise ExportError(
                f"{command[0]}: {error.strerror}; install the database server's client programs"
            ) from None
        assert self._process.stdout and self._process.stderr  # noqa: S101  (both are pipes)
        self._output, self._errors = self._process.stdout, self._process.stderr
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._output.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def blocks(self) -> Iterator[bytes]:
        """What it writes, to the end."""
        while block := os.read(self._output.fileno(), _BLOCK):
            yield block
            # The pipe holds much more than comes in this time: fewer, larger blocks cost both sides less.
            if len(block) < _BLOCK // 4:
                time.sleep(_BREATH)

    def finish(self) -> None:
        """Wait for its end, after its output was read. Raise ExportError when it did not end well."""
        self._process.wait()
        self._listener.join()
        if self._process.returncode:
            said = " ".join(self._said.decode("utf-8", "replace").split())
            status = self._process.returncode
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise ExportError(f"{self._name} {how}: {said or 'it did not say why'}")

    def wait_for(self, happened: threading.Event) -> None:
        """Wait until something is heard of it or it has ended; `finish` then says why. Raise ExportError when neither comes."""
        until = time.monotonic() + _LONGEST
        while not happened.wait(0.05) and self._process.poll() is None:
            if time.monotonic() > until:
                raise ExportError(f"{self._name} has not begun within {_LONGEST:.0f} seconds: the server keeps it waiting")

    @property
    def crashed(self) -> bool:
        """Whether a signal has ended it."""
        return (self._process.poll() or 0) < 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """However this ends, no process stays behind."""
        if self._process.poll() is None:
            self._process.terminate()
            until = time.monotonic() + _PATIENCE
            while self._process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            self._process.kill()
        self._process.wait()
        self._output.close()
        self._listener.join()

    def _listen(self) -> None:
        with self._errors:
            for line in self._errors:
                if self._heard and line.startswith(b"-- "):
                    self._heard(line)
                elif len(self._said) < _MOST_SAID:
                    self._said += line


@contextlib.contextmanager
def secret_file(content: bytes, user: str | None = None) -> Iterator[tuple[int, str]]:
    """A file of memory alone that holds a secret, 0600: its descriptor, and the path under which a child that inherits it
    finds it. ``user`` is the system's user the child runs as.
    """
    descriptor = os.memfd_create("strongroom", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        os.fchmod(descriptor, 0o600)
        become = identity(user)
        if become:
            os.fchown(descriptor, become.pw_uid, become.pw_gid)
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def secret(path: bytes) -> str:
    """A secret's file: its first line. Raise ExportError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is no text"
        raise ExportError(
            f"{os.fsdecode(path)}: {problem}; the password of the database server has to stand in it"
        ) from None
