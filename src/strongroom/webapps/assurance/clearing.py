"""What an update brought into an app's folder taken out of it again, as the owner."""

from __future__ import annotations

import os
from collections.abc import Sequence

from strongroom.webapps.assurance.acting import act
from strongroom.webapps.assurance.ground import Ground
from strongroom.webapps.assurance.install_child import OURS

_AT_ONCE = 200
_SECONDS = 600.0


def remove(ground: Ground, paths: Sequence[bytes]) -> None:
    """Remove files and folders; what cannot be removed stays, and is left to the rollback."""
    for begin in range(0, len(paths), _AT_ONCE):
        names = [f"./{os.fsdecode(path)}" for path in paths[begin : begin + _AT_ONCE]]
        act(ground.owner, ground.folder, ["rm", "-rf", "--", *names], _SECONDS)


def sweep(ground: Ground) -> None:
    """Remove what a killed update had in the making: no snapshot knows it, so no rollback removes it."""
    named = ["-name", f"{os.fsdecode(OURS)}*", "-prune"]
    act(ground.owner, ground.folder, ["find", ".", *named, "-exec", "rm", "-rf", "--", "{}", "+"], _SECONDS)
