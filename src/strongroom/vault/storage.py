"""The storage port: all that a vault asks of the place where it lives.

Names are unique by construction (random, or a hash of the bytes), so that an overwrite could only repeat what is there.
There is no rename and no append. Rules that every storage keeps (a conformance suite in the tests holds them to it):

* `put` returns when the object is visible with all of its bytes; it is durable after the next `barrier`, not before.
* `list` is consistent with every `put` and `delete` that returned before it was called, by any process.
* A failed `barrier` is final: what was put since the last good one may be gone, and the run must end (a second fsync that
  succeeds proves nothing).
* A spool belongs to the hold that its process (or the process that forked it) has at that moment, and lives as long.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Listed(NamedTuple):
    """One object in a listing: its name, size in bytes, and when the storage received it (seconds since 1970)."""

    name: str
    size: int
    received: float


class Spool(Protocol):
    """A local file under construction, to become an object by `Storage.put`. Another process may write it."""

    path: str

    def append(self, data: bytes) -> None:
        """Write all of ``data`` at the end."""

    def hasten(self) -> None:
        """Let the disk begin with what was written: of several spools all are on their way when the first is synced."""

    def sync(self) -> None:
        """Make what was written durable."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, and go on from there."""

    def close(self) -> None:
        """Close the file; it stays for the process that is to put it."""

    def discard(self) -> None:
        """Close and remove it."""


class Hold(Protocol):
    """Keeps a session alive for as long as its process lives."""

    def release(self) -> None:
        """End the hold and delete the object."""

    def abandon(self) -> None:
        """Let go of it in a child process, without ending it for the parent."""


class Storage(Protocol):
    """Where objects live: a folder, later a bucket."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object from ``offset``; fewer than ``length`` at its end. Raise AbsentError, StorageError."""

    def put(self, name: str, source: bytes | Spool) -> None:
        """Make an object. A spool is used up by it."""

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Make an object unless there is one; say whether it was made."""

    def barrier(self) -> None:
        """Return when everything that this process put or deleted before is durable, and what it distrusts."""

    def distrust(self, prefix: str) -> None:
        """Let the next barrier cover what others put there: a killed run may have left what is seen but not durable."""

    def list(self, prefix: str) -> list[Listed]:
        """The objects whose names begin with ``prefix`` (a folder's name and a slash)."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    def now(self) -> float:
        """The storage's clock, seconds since 1970."""

    def spool(self, path: str | None = None) -> Spool:
        """A new spool, or the existing one at ``path`` (another process of this run made it)."""

    def hold(self, name: str, data: bytes) -> Hold:
        """Make an object that is `alive` until its process ends or releases it."""

    def alive(self, name: str) -> bool:
        """Whether the process that holds this object still runs."""

    def sweep_spools(self) -> int:
        """Remove the spools of holds that are not alive any more, and say how many bytes they had."""
