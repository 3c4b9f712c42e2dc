"""Puts the PHP classes where JetBackup looks for them: root's, 0700 and 0600, since they can reach database credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path

from strongroom.errors import SettingError
from strongroom.model import text
from strongroom.settings import durable
from strongroom.settings.nightly import own_program

# Below the root of the file system, as JetBackup's own packages have it.
PANEL = b"/usr/local/jetapps/var/lib/jetbackup5/Panel"
_JETBACKUP = b"/usr/local/jetapps/var/lib/jetbackup5"
_CLASSES = Path(__file__).with_name("Panel")
_PLACE = b"Place.inc"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def install(root: bytes, config: bytes) -> tuple[bytes, list[str]]:
    """Copy the classes, with the place of this program and of its configuration; returns the folder and the names.

    Raise SettingError where JetBackup is not there, the folder is another panel's, or it cannot be written.
    """
    top = root.rstrip(b"/")
    if not os.path.isdir(top + _JETBACKUP):
        raise SettingError(f"{text(top + _JETBACKUP)}: there is no such folder; install jetbackup5-base first")
    folder = top + PANEL
    _refuse_others(folder)
    written = []
    try:
        for below in (b"", b"/Account"):
            os.makedirs(folder + below, mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder + below, 0, 0)
            os.chmod(folder + below, 0o700)
    except OSError as error:
        raise SettingError(f"{text(folder)}: cannot be made ({error.strerror}); run as root") from None
    for source in sorted(_CLASSES.rglob("*.inc")):
        name = source.relative_to(_CLASSES).as_posix()
        durable.replace(os.path.join(folder, name.encode()), source.read_bytes())
        written.append(name)
    durable.replace(os.path.join(folder, _PLACE), place(own_program(), config).encode("utf-8", "surrogateescape"))
    return folder, sorted([*written, _PLACE.decode()])


def _refuse_others(folder: bytes) -> None:
    """Another panel's classes are not overwritten: its accounts would be lost to JetBackup."""
    standing = os.path.join(folder, b"Panel.inc")
    if os.path.exists(standing) and not os.path.exists(os.path.join(folder, _PLACE)):
        raise SettingError(f"{text(standing)} is another panel's; move {text(folder)} away first")


def place(program: tuple[str, ...], config: bytes) -> str:
    """The class that tells the others where this program is. Raise SettingError for a path that has no place in it."""
    words = [*program, "--config", text(config)]
    for word in words:
        if _CONTROL.search(word):
            raise SettingError(f"the path {word!r} has a line end or control character in it; move it")
    listed = ", ".join("'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'" for word in words)
    return (
        "<?php\n// Written by: strongroom jetbackup install\n\nnamespace JetBackup\\Panel;\n\n"
        "defined('__JETBACKUP__') || exit(1);\n\n"
        f"class Place\n{{\n    const PROGRAM = [{listed}];\n}}\n"
    )
