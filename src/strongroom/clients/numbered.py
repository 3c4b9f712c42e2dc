"""Numbered files: what of a point Strongroom reads itself, beside what the tool does. A row's ``place`` is the number."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import msgspec

from strongroom.clients.sidecar import Row
from strongroom.clients.vault_survey import Sight, Sink
from strongroom.errors import ClientError
from strongroom.model import text


class Read(Protocol):
    """Reads one file: `Survey.read`, or what stands in its place."""

    def __call__(self, sight: Sight, sink: Sink, *, again: Callable[[], Sink]) -> Row | None:
        """Hand a file's data to a sink, or after a change to a new one; None where it vanished."""


class Numbered:
    """The files of one folder; ``sign`` is that of their numbers: 1 in a set, -1 in its second part."""

    def __init__(self, folder: bytes, sign: int) -> None:
        self._folder, self._sign = folder, sign
        self._last = 0

    def take(self, sight: Sight, read: Read) -> Row | None:
        """Read a file into the next one; a second try begins it anew. Raise ClientError where there is no room."""
        self._last += 1
        path = os.path.join(self._folder, b"%d" % self._last)
        files = [open(path, "wb")]  # noqa: SIM115 - closed below, whichever is the last

        def again() -> Callable[[bytes], object]:
            files[0].close()
            files[0] = open(path, "wb")  # noqa: SIM115
            return files[0].write

        try:
            row = read(sight, files[0].write, again=again)
            files[0].close()
        except OSError as error:
            message = f"{text(path)} cannot be written ({error.strerror}); make room in the state folder"
            raise ClientError(message) from error
        finally:
            files[0].close()
        return row if row is None or not row.digest else msgspec.structs.replace(row, place=self._sign * self._last)
