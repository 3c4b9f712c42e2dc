"""Folders in the state folder that a client needs for a while: spools to be copied, and what a tool has brought back.

Each is of root's alone and held by a lock of the kernel's, so that those of a process that was killed are known, and swept.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator

from strongroom.errors import AwayError, BusyError, ClientError
from strongroom.model import text

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workroom:
    """The folder of one client below the state folder."""

    def __init__(self, folder: bytes) -> None:
        self.folder = folder

    def below(self, name: bytes) -> bytes:
        """A folder of a certain name, made if it is not there."""
        path = os.path.join(self.folder, name)
        with _told(path):
            os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    @contextlib.contextmanager
    def spare(self) -> Iterator[bytes]:
        """A new empty folder, gone afterwards with all that is in it."""
        above = self.below(b"work")
        _sweep(above)
        path = os.path.join(above, os.urandom(8).hex().encode())
        with _told(path):
            os.mkdir(path, 0o700)
            held = os.open(path, _FOLDER)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)

    def need(self, size: int) -> None:
        """Raise AwayError where there is no room for so many bytes: tools end in many ways when a disk is full, if they end."""
        path = self.below(b"work")
        status = os.statvfs(path)
        room = status.f_bavail * status.f_frsize
        if size > room:
            raise AwayError(
                f"{text(path)} has room for {room:,} bytes, and {size:,} have to be brought there; make room in the state folder"
            )

    @contextlib.contextmanager
    def alone(self, doing: str) -> Iterator[None]:
        """Be the only one that changes this client's storage. Raise BusyError."""
        path = os.path.join(self.below(b""), b"lock")
        with _told(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BusyError(f"another command is at work on this client: {doing} again when it has ended") from None
            yield
        finally:
            os.close(fd)


@contextlib.contextmanager
def _told(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClientError(f"{text(path)} cannot be written ({error.strerror}); this client needs it") from error


def _sweep(above: bytes) -> None:
    for name in os.listdir(above):
        path = os.path.join(above, name)
        with contextlib.suppress(OSError):
            fd = os.open(path, _FOLDER)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                    raise
            finally:
                os.close(fd)
