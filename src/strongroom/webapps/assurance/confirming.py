"""The owner's own checks of an app: commands in a file of the app's folder, run as the owner; exit status decides.

``.assurance.toml`` holds ``confirm = ["php", "check.php"]``, or a list of such commands. Who writes it may run commands as
the owner anyway; one that can write there only through the web server could not before, so that the file has to be the
owner's and nobody else's to write.
"""

from __future__ import annotations

import os
import stat
import tomllib

from strongroom.errors import AssuranceError
from strongroom.model import text
from strongroom.panel.folder import Folder
from strongroom.webapps.assurance.acting import act
from strongroom.webapps.assurance.ground import Ground

FILE = b".assurance.toml"
_MOST_FILE = 1 << 16
_MOST_COMMANDS = 20


def confirmations(ground: Ground, seconds: float) -> dict[str, str]:
    """Run the owner's checks: what each failed with, empty where it did not. Raise AssuranceError for a file that is wrong."""
    found = {}
    for command in _commands(ground):
        acted = act(ground.owner, ground.folder, command, seconds)
        found[" ".join(command)[:200]] = "" if acted.well else acted.complaint
    return found


def _commands(ground: Ground) -> list[list[str]]:
    where = f"{ground.app.app}: {text(FILE)}"
    with Folder(os.dup(ground.folder)) as folder:
        status = folder.stat(FILE)
        if status is None:
            return []
        writable = stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, ground.owner.uid) or writable:
            raise AssuranceError(f"{where} has to be the owner's own file, which nobody else may write")
        content = folder.read(FILE, limit=_MOST_FILE)
    try:
        given = tomllib.loads((content or b"").decode()).get("confirm", [])
    except ValueError as error:
        raise AssuranceError(f"{where}: {error}") from None
    commands = [given] if given and isinstance(given, list) and all(isinstance(word, str) for word in given) else given
    if not isinstance(commands, list) or len(commands) > _MOST_COMMANDS or not all(map(_is_command, commands)):
        raise AssuranceError(f'{where}: confirm must be a command such as ["php", "check.php"], or a list of such')
    return commands


def _is_command(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(word, str) and "\0" not in word for word in given)
