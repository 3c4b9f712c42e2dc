"""How much room a client's storage takes, where it is a folder of this machine."""

from __future__ import annotations

import os


def of(url: str) -> int:
    """The bytes of all files below a folder, given as a path or a ``file://`` URL; 0 for any other place."""
    folder = url.removeprefix("file://")
    if not folder.startswith("/"):
        return 0
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(above, name)).st_size
            except FileNotFoundError:
                continue
    return total
