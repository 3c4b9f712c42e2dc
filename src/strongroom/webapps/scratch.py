"""Folders for a while, among the temporary files: to be gone through by others, and never looked into."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress


def scratch(what: str) -> str:
    """Make one for a purpose, root's and 0711; removing it is the caller's. What killed commands left of that purpose goes."""
    begins = f"strongroom-{what}-"
    _clear_left(begins)
    path = tempfile.mkdtemp(prefix=f"{begins}{os.getpid()}-")
    os.chmod(path, 0o711)  # noqa: S103
    return path


def _clear_left(begins: str) -> None:
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        pid = name.removeprefix(begins).partition("-")[0]
        if not name.startswith(begins) or not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            continue
        path = os.path.join(folder, name)
        with suppress(OSError):
            if os.lstat(path).st_uid == os.geteuid():
                shutil.rmtree(path)
