"""What the server itself makes by its own rotation, and whether that is fresh."""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Iterator

from strongroom.model import Account, Location

# The rotation is nightly: what is older, tonight's rotation did not make.
FRESH_SECONDS = 24 * 3600


def made_elsewhere(account: Account) -> set[bytes]:
    """The exports that are not needed, since what the server makes in their place is at most a day old and not empty.

    They are paths below a point's databases, as in ``Selection.export``.
    """
    return {
        selection.export
        for location in account.locations
        for selection in location.selections
        if selection.export and _newest(location, selection.pattern) >= time.time() - FRESH_SECONDS
    }


def _newest(location: Location, pattern: bytes) -> float:
    """When the newest file that a pattern means was written; 0 where there is none."""
    found = glob.glob(glob.escape(location.path.rstrip(b"/")) + pattern)
    return max((moment for path in found for moment in _moments(path)), default=0.0)


def _moments(path: bytes) -> Iterator[float]:
    """When a file was written, or each file in a folder."""
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                found = [entry.stat(follow_symlinks=False) for entry in entries]
        else:
            found = [status]
    except OSError:
        # Gone, or moved on by the rotation: then it is not there.
        return
    yield from (each.st_mtime for each in found if stat.S_ISREG(each.st_mode) and each.st_size)
