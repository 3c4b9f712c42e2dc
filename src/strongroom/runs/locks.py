"""One backup of an account at a time, and none while its files are changed; held by the kernel: a killed run leaves
nothing to clean up.

All accounts share one file, each with a byte of its own (the offset is a hash of its name), so that a run over
thousands of accounts needs one descriptor. Open file description locks (fcntl(2), Linux) exclude threads and
processes alike.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

from strongroom.errors import BusyError, ConfigError
from strongroom.model import text

# struct flock of 64-bit Linux: type, whence, padding, start, length, pid, padding.
_FLOCK = struct.Struct("hh4xqqi4x")
_POLL = 0.1
# How long a run waits in all for accounts that another run is backing up, and whoever changes one for its backup.
PATIENCE_SECONDS = 60.0


class Locks:
    """The locks of this server's accounts, in its state folder; closing releases all that are held."""

    def __init__(self, state: bytes) -> None:
        """Raise ConfigError when the state folder cannot be written."""
        folder = os.path.join(state, b"locks")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._file = os.open(os.path.join(folder, b"accounts"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"server.state: {text(folder)} cannot be written ({error.strerror}); a backup needs it"
            ) from None

    def take(
        self, names: Iterable[str], wait: float, waiting: Callable[[str], None], *, shared: bool = False
    ) -> list[str]:
        """Lock what can be had within ``wait`` seconds in all, in sorted order; return the names that could not.

        ``waiting`` is called once, with the first name that has to be waited for. What is ``shared`` may be held by many,
        and by nobody alone meanwhile.
        """
        deadline = time.monotonic() + wait
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        missed: list[str] = []
        for name in [name for name in sorted(names) if not self._try(name, kind)]:
            if not missed:
                waiting(name)
            while not (held := self._try(name, kind)) and time.monotonic() < deadline:
                time.sleep(_POLL)
            if not held:
                missed.append(name)
        return missed

    def release(self, name: str) -> None:
        """Let another run have this account."""
        self._set(name, fcntl.F_UNLCK)

    def _try(self, name: str, kind: int) -> bool:
        try:
            self._set(name, kind)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def _set(self, name: str, kind: int) -> None:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        offset = int.from_bytes(digest[:8], "big") >> 2
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))

    def close(self) -> None:
        """Release everything."""
        os.close(self._file)

    def __enter__(self) -> Locks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ChangedError(BusyError):
    """An account's files cannot be changed now: it is being backed up, or somebody else changes them."""


class Changes:
    """Accounts whose files are being changed in place: a backup, which holds the account's name shared, waits for that.

    Whoever changes one within another change of the same account, in this process, is alone with it already.
    """

    def __init__(self, state: bytes, note: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
        """``state`` is the state folder; ``note`` is told what is waited for; ``patience`` is how long, in seconds."""
        self._state, self._note, self._patience = state, note, patience
        self._held: set[str] = set()

    @contextmanager
    def of(self, account: str, *, wait: bool = True) -> Iterator[None]:
        """Change an account's files; raise ChangedError when that cannot be in time (without ``wait``: now)."""
        if account in self._held:
            yield
            return

        def waiting(_: str) -> None:
            if wait:
                self._note(f"{account}: it is being backed up or changed; waiting up to {self._patience:.0f} seconds")

        with Locks(self._state) as locks:
            if locks.take([account], self._patience if wait else 0, waiting):
                raise ChangedError(
                    f"{account} is being backed up, or another of its apps is worked on; try again when that has ended"
                )
            self._held.add(account)
            try:
                yield
            finally:
                self._held.discard(account)
