"""Where the vault's caches are: in the state folder or, where that takes nothing more, in a folder for this once.

A disk that is full or read-only is when restores are needed most. A run of backups insists on the state folder by itself: its
locks are there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from strongroom.config import Config

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

# What is written to see whether there is room: a full disk may still take an empty file.
_PROBE = b"\0" * 65536


def state_folder(config: Config) -> tuple[str, TemporaryDirectory[str] | None]:
    """The folder, and the temporary one that it is when it is one; that lasts as long as it is referred to."""
    folder = os.fsdecode(config.server.state) + "/vault"
    if _takes(folder):
        return folder, None
    from tempfile import TemporaryDirectory  # late: a night waits for what it brings with it

    once = TemporaryDirectory(prefix="strongroom-state-", ignore_cleanup_errors=True)
    return once.name, once


def _takes(folder: str) -> bool:
    probe = f"{folder}/.{os.getpid()}.probe"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(_PROBE)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            os.unlink(probe)
    return True
