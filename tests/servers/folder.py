"""Where servers of tests live: in memory where there is a file system of that kind, and open to the users they run as."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = "/dev/shm"


@contextmanager
def server_folder() -> Iterator[Path]:
    """A new folder that everybody may look into, gone at the end. pytest's own are closed to all but root."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)
