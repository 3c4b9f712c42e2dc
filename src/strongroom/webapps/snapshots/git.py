"""git at work for one app: as the app's owner, with a configuration of ours, on the objects of the app's repository alone.

The repository belongs to the tenant, who may have written anything into it. So git is never shown the repository: its
folder (GIT_DIR) is an empty one that was made for this once, with our configuration, no hooks and no references; only the
store of objects is the tenant's. Nothing that a repository can say is read: no configuration and no file that it includes, no
hooks, attributes, filters, fsmonitor, replacements, grafts, promised objects, remotes. There is no working tree either: files
come in and go out through pipes, never through git. What a hostile store can still do is fail, or stall: its owner is
whom git runs as, and all that comes out is checked.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import tempfile
from contextlib import suppress
from types import TracebackType

from strongroom.errors import SnapshotError
from strongroom.webapps.scratch import scratch
from strongroom.webapps.snapshots.place import User

BRANCH = "refs/heads/snapshots"
# Longer than any step of git's own takes on a busy machine: only a stopped or stalled one needs as much.
PATIENCE = 300.0
_PIECE = 1 << 18
_PIPE = 1 << 20
_MOST_LINE = 4096
_MOST_SAID = 2000

# A snapshot is always a pack: loose objects of one that is dropped could not be told from its owner's own.
_CONFIG = """[core]
\tbare = true
\trepositoryformatversion = 0
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tfsmonitor = false
\tsharedRepository = 0600
[fastimport]
\tunpackLimit = 0
[gc]
\tauto = 0
[maintenance]
\tauto = false
[pack]
\tthreads = 1
[protocol]
\tallow = never
"""
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OBJECT_DIRECTORY": "objects",
}


class Git:
    """git on the store of one open repository folder: ``with Git(folder, user) as git``."""

    def __init__(self, folder: int, user: User) -> None:
        """``folder`` is the descriptor of the app's ``.git``, which stays open as long as this."""
        self._folder, self._user = folder, user
        self._scratch = ""

    def __enter__(self) -> Git:
        # Ours and to be gone through only, so that nobody else can rename what is in it.
        self._scratch = scratch("git")
        for name in ("git", "git/objects", "git/refs"):
            os.mkdir(os.path.join(self._scratch, name), 0o700)
        for name, content in (("HEAD", f"ref: {BRANCH}\n"), ("config", _CONFIG)):
            with open(os.path.join(self._scratch, "git", name), "w", encoding="ascii") as file:
                file.write(content)
        if os.geteuid() == 0:
            # From below: what is the user's already lies in a folder that he cannot enter before the last step.
            for folder, _, names in os.walk(os.path.join(self._scratch, "git"), topdown=False):
                for path in (*(os.path.join(folder, name) for name in names), folder):
                    os.chown(path, self._user.uid, self._user.gid, follow_symlinks=False)
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def scratch(self) -> str:
        """A folder of the user's own for what a command makes besides objects."""
        return os.path.join(self._scratch, "git")

    def start(self, *arguments: str, **environment: str) -> Process:
        """Start a command."""
        return Process(["git", *arguments], self._folder, self._user, self._environment(environment))

    def run(self, *arguments: str, given: bytes = b"", **environment: str) -> bytes:
        """Run a command to its end; returns what it printed. Raise SnapshotError when it fails."""
        with self.start(*arguments, **environment) as process:
            process.send(given)
            return process.end()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return _ENVIRONMENT | {"GIT_DIR": self.scratch} | more


class Process:
    """One command of git's, with pipes that never wait without end."""

    def __init__(self, command: list[str], folder: int, user: User, environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        who: dict[str, int | list[int]] = {}
        if os.geteuid() == 0:
            who = {"user": user.uid, "group": user.gid, "extra_groups": []}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=f"/proc/self/fd/{folder}",
                env=environment,
                umask=0o077,
                bufsize=0,
                start_new_session=True,
                **who,  # type: ignore[call-overload]
            )
        except FileNotFoundError:
            self._errors.close()
            raise SnapshotError("git is not on this machine; install Debian's package git") from None
        except OSError as error:
            self._errors.close()
            raise SnapshotError(f"git cannot be started: {error.strerror}") from None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        with suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE)
        self._read = b""

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                stream.close()

    def send(self, data: bytes) -> None:
        """Write to its input."""
        rest = memoryview(data)
        while rest:
            if not select.select([], [self._in], [], PATIENCE)[1]:
                raise self._failed("it does not go on")
            try:
                rest = rest[os.write(self._in, rest[:_PIECE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._failed("it ended early") from None

    def line(self) -> bytes:
        """The next line of its output, without its end."""
        while b"\n" not in self._read:
            if len(self._read) > _MOST_LINE:
                raise self._failed("it does not say what was expected")
            self._read += self._more()
        line, _, self._read = self._read.partition(b"\n")
        return line

    def exactly(self, count: int) -> bytes:
        """So many bytes of its output."""
        parts = [self._read]
        have = len(self._read)
        while have < count:
            parts.append(self._more())
            have += len(parts[-1])
        whole = b"".join(parts)
        self._read = whole[count:]
        return whole[:count]

    def end(self) -> bytes:
        """Close its input, read what it still says, and wait for its end; raise SnapshotError when it failed."""
        stream = self._process.stdin
        if stream:
            stream.close()
        parts = [self._read]
        while piece := self._next():
            parts.append(piece)
        try:
            if self._process.wait(PATIENCE):
                raise self._failed(f"exit status {self._process.returncode}")
        except subprocess.TimeoutExpired:
            raise self._failed("it does not end") from None
        return b"".join(parts)

    def _more(self) -> bytes:
        piece = self._next()
        if not piece:
            raise self._failed("it ended early")
        return piece

    def _next(self) -> bytes:
        if not select.select([self._out], [], [], PATIENCE)[0]:
            raise self._failed("it does not go on")
        return os.read(self._out, _PIECE)

    def _failed(self, what: str) -> SnapshotError:
        # What it says of itself is the better reason, once it has said all.
        if self._process.poll() is None:
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._errors.seek(0)
        said = self._errors.read(_MOST_SAID).decode("utf-8", "replace").split("\n")
        reason = next((line for line in said if line.startswith(("fatal:", "error:"))), said[0]).strip()
        return SnapshotError(f"git {self._process.args[1]} failed: {reason or what}")
