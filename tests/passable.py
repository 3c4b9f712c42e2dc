"""Folders that other users can enter, wherever pytest puts its own, which it closes to them whenever it starts somewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_folder() -> Iterator[Path]:
    """One such folder, gone at the end."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # noqa: S108 - mkdtemp makes it
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
