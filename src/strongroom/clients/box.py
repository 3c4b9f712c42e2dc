"""Runs a tool where it sees an account's folders as they are, read only, and no way out of them.

Tools walk by path, and the account's owner may swap a folder for a link at any moment. So each run has a mount namespace of
its own, in which the folders are bound into an empty view: read only, without devices and set-id bits, and with links that
nothing follows (``nosymfollow``, Linux 5.10). What must not be copied has an empty file or folder mounted over it. The
namespace ends with its last process, so that nothing is left behind by a run that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from strongroom.errors import ClientError
from strongroom.model import Frozen, text

# Constants of sched.h, sys/mount.h and sys/prctl.h.
_NEW_MOUNTS = 0x20000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _NOSYMFOLLOW, _BIND, _REC, _PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    256,
    4096,
    16384,
    1 << 18,
)
_ST_NOSYMFOLLOW = 0x2000
_DEATH_SIGNAL = 1
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A tool that is asked to stop gets this long to put its locks away.
_GRACE_SECONDS = 20
_REFUSED = 126
_MOST_OUTPUT = 64 << 20

_libc = ctypes.CDLL(None, use_errno=True)


class Bind(Frozen):
    """A folder of the server, and the place that it has in the view."""

    source: bytes
    place: bytes


class View(Frozen):
    """What a tool is shown: folders below ``folder`` (empty outside of the run), and what of them is hidden.

    ``masks`` are places in the view, and whether each is a folder.
    """

    folder: bytes
    binds: tuple[Bind, ...]
    masks: tuple[tuple[bytes, bool], ...] = ()


class Ended(Frozen):
    """How a tool ended, and what it printed."""

    status: int
    out: bytes
    err: bytes

    @property
    def complaint(self) -> str:
        """What it said of its end, as one line: that there was no room, else the last two things that it said."""
        lines = [line.strip() for line in (self.err or self.out).decode("utf-8", "backslashreplace").splitlines()]
        full = next((line for line in lines if "no space left" in line.lower()), "")
        how = f"it was ended by signal {-self.status}" if self.status < 0 else f"status {self.status}"
        return full or "; ".join([line for line in lines if line][-2:]) or how


def run(
    arguments: Sequence[bytes | str],
    *,
    environ: Mapping[str, str] | None = None,
    view: View | None = None,
    folder: bytes | None = None,
    descriptors: Sequence[int] = (),
    output: IO[bytes] | None = None,
) -> Ended:
    """Run a tool to its end; ``folder`` is where it starts, ``output`` a file that gets all that it prints.

    Raise ClientError when it is not there, or the view cannot be made.

    Whatever ends the wait ends the tool too, and so does the end of this process.
    """
    with contextlib.ExitStack() as stack:
        out = output or stack.enter_context(tempfile.TemporaryFile())
        err = stack.enter_context(tempfile.TemporaryFile())
        process = _started(arguments, view, folder, stdout=out, stderr=err, environ=environ, descriptors=descriptors)
        return Ended(status=_waited(process), out=b"" if output else _content(out), err=_content(err))


@contextlib.contextmanager
def shown(view: View) -> Iterator[bytes]:
    """Hold a view open for a daemon of root's that runs outside; yields the path at which that one sees it.

    The path leads through a process of ours, which has the namespace and does nothing: it ends when this context does, or
    this process, however that ends. From then on there is nothing at the path. Raise ClientError.
    """
    process = _started(["cat"], view, None, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield b"/proc/%d/root%s" % (process.pid, view.folder)
    finally:
        assert process.stdin is not None  # noqa: S101  (it is a pipe)
        process.stdin.close()
        _waited(process)


def _started(
    arguments: Sequence[bytes | str],
    view: View | None,
    folder: bytes | None,
    *,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    stdin: int = subprocess.DEVNULL,
    environ: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a tool; it has its view when this returns."""
    program = os.fsdecode(arguments[0])
    with contextlib.ExitStack() as stack:
        opened = [os.open(bind.source, _FOLDER) for bind in view.binds] if view else []
        problem_in, problem_out = os.pipe()
        for fd in (*opened, problem_in):
            stack.callback(os.close, fd)
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LC_ALL": "C.UTF-8",
                    "HOME": "/root",
                    **(environ or {}),
                },
                cwd=os.fsdecode(folder) if folder and view is None else None,
                pass_fds=tuple(descriptors),
                start_new_session=True,
                preexec_fn=_prepared(view, opened, problem_out, folder),  # noqa: PLW1509 - there are no threads here
            )
        except FileNotFoundError as error:
            raise ClientError(f"{program} is not installed, or not where the configuration says") from error
        except OSError as error:
            raise ClientError(f"{program} cannot be run: {error.strerror}") from error
        finally:
            os.close(problem_out)
        # The pipe is closed by whatever the child does next: it becomes the tool, or it ends.
        if problem := os.read(problem_in, 4096):
            process.wait()
            raise ClientError(f"{program} cannot be shown the account's folders: {text(problem)}")
    return process


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MOST_OUTPUT)


def _waited(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _prepared(view: View | None, opened: Sequence[int], problem: int, folder: bytes | None) -> Callable[[], None]:
    """What the child does before it becomes the tool; a failure is told through a pipe, by name."""

    def prepare() -> None:
        try:
            _libc.prctl(_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
            if view is not None:
                _show(view, opened)
                if folder:
                    os.chdir(folder)
        except OSError as error:
            where = f": {os.fsdecode(error.filename)!r}" if error.filename else ""
            os.write(problem, f"{error.strerror}{where}".encode("utf-8", "backslashreplace"))
            os._exit(_REFUSED)

    return prepare


def _show(view: View, opened: Sequence[int]) -> None:
    if _libc.unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "a mount namespace of its own needs root")
    _mount(b"none", b"/", _REC | _PRIVATE)
    _mount(b"tmpfs", view.folder, _NOSUID | _NODEV | _NOEXEC, kind=b"tmpfs", data=b"mode=0700")
    for bind, fd in zip(view.binds, opened, strict=True):
        place = view.folder + b"/" + bind.place
        os.makedirs(place)
        again = os.open(bind.source, _FOLDER)  # a descriptor of before belongs to the mounts of before
        if not os.path.samestat(os.fstat(fd), os.fstat(again)):
            raise OSError(errno.ESTALE, "it was swapped for another folder", bind.source)
        _mount(b"/proc/self/fd/%d" % again, place, _BIND)
        os.close(again)
        _mount(None, place, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV | _NOSYMFOLLOW)
        if not os.statvfs(place).f_flag & _ST_NOSYMFOLLOW:
            raise OSError(errno.ENOSYS, "this kernel follows links in every mount; Linux 5.10 or newer is needed")
    for path in _masked(view):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            _mount(path[0], path[1], _BIND)


def _masked(view: View) -> Iterator[tuple[bytes, bytes]]:
    """What is mounted over what: an empty file over files, an empty folder over folders."""
    if not view.masks:
        return
    file, empty = view.folder + b"/.file", view.folder + b"/.folder"
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    os.mkdir(empty, 0o700)
    for place, is_folder in view.masks:
        yield (empty if is_folder else file), view.folder + b"/" + place


def _mount(
    source: bytes | None, place: bytes, flags: int, *, kind: bytes | None = None, data: bytes | None = None
) -> None:
    if _libc.mount(source, place, kind, ctypes.c_ulong(flags), data):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), place)


@contextlib.contextmanager
def handed(secret: bytes) -> Iterator[int]:
    """A descriptor that a secret can be read from, once."""
    reading, writing = os.pipe()
    try:
        os.write(writing, secret)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


@contextlib.contextmanager
def remembered(secret: bytes) -> Iterator[int]:
    """A descriptor of memory with a secret, which every process that has it can read anew as ``/proc/self/fd/N``."""
    fd = os.memfd_create("secret", os.MFD_CLOEXEC)
    try:
        os.write(fd, secret)
        yield fd
    finally:
        os.close(fd)
