"""Two pipes between processes that carry whole messages: a length (u32, little-endian), then the bytes.

Not `multiprocessing.connection`: it brings sockets, pickling and subprocesses with it, and a night would wait for
their import.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct("<I")
_BUFFER = 1 << 20


class Pipe:
    """One end. Messages are taken whole or not at all; sending blocks while the other side is behind."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing

    def fileno(self) -> int:
        """What tells that a message waits."""
        return self._reading

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both of them, for a child process to close."""
        return self._reading, self._writing

    def send(self, message: bytes) -> None:
        """Send one message. Raise OSError when the other side is gone."""
        view = memoryview(_LENGTH.pack(len(message)) + message)
        while view:
            view = view[os.write(self._writing, view) :]

    def receive(self) -> bytes:
        """The next message, waited for. Raise EOFError when the other side is gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = os.read(self._reading, size)
        while len(data) < size:
            more = os.read(self._reading, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def close(self) -> None:
        """Close this end."""
        os.close(self._reading)
        os.close(self._writing)


def pair() -> tuple[Pipe, Pipe]:
    """Two ends that talk to each other."""
    there, here = _pipe(), _pipe()
    return Pipe(here[0], there[1]), Pipe(there[0], here[1])


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):  # a small buffer only makes more switches
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _BUFFER)
    return reading, writing


def waiting(descriptors: Iterable[int], seconds: float) -> Iterator[int]:
    """Those of the descriptors from which something can be read (or whose other side is gone), waited for."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return (descriptor for descriptor, _ in poll.poll(seconds * 1000))
