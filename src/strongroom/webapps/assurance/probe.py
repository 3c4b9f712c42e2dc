"""Looking at an app: the probe's process started, waited for, and never trusted."""

from __future__ import annotations

from typing import Protocol

import msgspec

from strongroom.errors import AssuranceError
from strongroom.webapps.assurance.becoming import Child
from strongroom.webapps.assurance.look import Look, Task

# Beside the pages: starting, the browser, assets.
_MORE_SECONDS = 120
_MOST_TRIES = 3


class Prober(Protocol):
    """Whoever looks at apps: `look` of this module, or a test's own."""

    def __call__(self, task: Task) -> Look:
        """Look once. Raise AssuranceError where nothing could be looked at."""


def look(task: Task) -> Look:
    """Look at an app as its owner; raise AssuranceError when the probe does not come to its end."""
    seconds = task.page_seconds * (task.most_pages * _MOST_TRIES + task.picture_of + 4) + _MORE_SECONDS
    answer = Child("probe_child", task).answer(seconds)
    try:
        return msgspec.json.decode(answer, type=Look)
    except msgspec.MsgspecError as error:
        raise AssuranceError(f"{task.url}: the probe said what it must not: {error}") from None
