"""The three programs, and ``python -m strongroom``.

Until a program has begun, an interrupt ends it without a word: Python would show where in its imports it was.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable

# Where the caller had interrupts ignored (a background job), they stay so.
_HEEDED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _HEEDED:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from strongroom.cli import main  # noqa: E402 - see above

if _HEEDED:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _program(run: Callable[[], int]) -> int:
    """Run to the end. All that is in memory then goes with the process: Python need not look through it for garbage.

    What is done cannot be interrupted any more: Python would show where in its own end it was.
    """
    try:
        status = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return status
    finally:
        gc.freeze()


def strongroom() -> int:
    """Strongroom's own program."""
    return _program(main.main)


def cpcmd() -> int:
    """The panel's command line for scopes."""
    return _program(main.cpcmd)


def backup_dbs() -> int:
    """The panel's program for the owners' dumps."""
    return _program(main.backup_dbs)


if __name__ == "__main__":
    sys.exit(strongroom())
