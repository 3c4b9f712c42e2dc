"""Looking at an app: the probe's process started, waited for, and never trusted."""

from __future__ import annotations

import subprocess
import sys
from typing import Protocol

import msgspec

from strongroom.errors import AssuranceError
from strongroom.webapps.assurance.look import Look, Task

_CHILD = "strongroom.webapps.assurance.probe_child"
# Beside the pages: starting, the browser, assets.
_MORE_SECONDS = 120
_MOST_TRIES = 3
_MOST_ANSWER = 64 << 20


class Prober(Protocol):
    """Whoever looks at apps: `look` of this module, or a test's own."""

    def __call__(self, task: Task) -> Look:
        """Look once. Raise AssuranceError where nothing could be looked at."""


def look(task: Task) -> Look:
    """Look at an app as its owner; raise AssuranceError when the probe does not come to its end."""
    seconds = task.page_seconds * (task.most_pages * _MOST_TRIES + task.picture_of + 4) + _MORE_SECONDS
    command = [sys.executable, "-I", "-m", _CHILD]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(task), capture_output=True, timeout=seconds, cwd="/", env=environment
        )
    except subprocess.TimeoutExpired:
        raise AssuranceError(f"{task.url}: the probe was not done after {seconds:g} seconds; see the app's server") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AssuranceError(f"{task.url}: the probe ended with status {done.returncode}: {said[-1] if said else ''}")
    try:
        return msgspec.json.decode(done.stdout[:_MOST_ANSWER], type=Look)
    except msgspec.MsgspecError as error:
        raise AssuranceError(f"{task.url}: the probe said what it must not: {error}") from None
