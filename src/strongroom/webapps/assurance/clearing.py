"""What a killed update had in the making in an app's folder, taken out of it."""

from __future__ import annotations

import os

from strongroom.webapps.assurance.acting import act
from strongroom.webapps.assurance.ground import Ground
from strongroom.webapps.assurance.install_child import OURS

_SECONDS = 600.0


def sweep(ground: Ground) -> None:
    """Remove it, as the owner: no snapshot knows it, so no rollback does."""
    named = ["-name", f"{os.fsdecode(OURS)}*", "-prune"]
    act(ground.owner, ground.folder, ["find", ".", *named, "-exec", "rm", "-rf", "--", "{}", "+"], _SECONDS)
