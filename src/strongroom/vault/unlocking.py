"""Stretching the passphrase beside other work: in a thread, since what takes long lets go of the interpreter's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from strongroom.vault.keys import Keys


class Unlocking:
    """Begins at once. Readable (``fileno``) when the keys are there, or the reason why not."""

    def __init__(self, unlock: Callable[[], Keys]) -> None:
        self._unlock = unlock
        self._result: Keys | BaseException | None = None
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._unlock()
        except BaseException as error:
            self._result = error
        os.close(self._writing)

    def fileno(self) -> int:
        """What tells that it is done."""
        return self._reading

    def keys(self) -> Keys:
        """The keys, waited for. Raise what went wrong."""
        self._thread.join()
        if not isinstance(self._result, Keys):
            assert self._result is not None  # noqa: S101 - the thread has ended
            raise self._result
        return self._result

    def close(self) -> None:
        """Wait for the end."""
        self._thread.join()
        os.close(self._reading)
