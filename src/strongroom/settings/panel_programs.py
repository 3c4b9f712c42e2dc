"""The panel's own programs on this server: its ``cpcmd`` for scopes, and what already writes the owners' dumps.

What is run is inside the server's tree, root's alone to change, and never our own program of the same name: that would
ask itself for ever.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping

from strongroom.config import Server
from strongroom.errors import SettingError
from strongroom.model import text

_CPCMD = (b"/usr/local/apnscp/bin/cpcmd", b"/usr/bin/cpcmd")
_EXPORTS = (b"/etc/cron.daily/10backup_dbs", b"/usr/local/apnscp/bin/scripts/backup_dbs.php")

# Set for the panel's program: should that lead back to ours by a way that paths do not show, ours does not ask again.
_ASKED = "STRONGROOM_ASKED_THE_PANEL"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    _ASKED: "1",
}
_PATIENCE = 120.0
_OUR_SCRIPT = b"from strongroom.__main__ import cpcmd"


def panel_exports(server: Server) -> bytes | None:
    """The panel's program that writes the owners' dumps every night, where there is one."""
    return next((path for path in map(server.below, _EXPORTS) if os.path.isfile(path)), None)


def find_cpcmd(server: Server, environ: Mapping[str, str] = os.environ) -> PanelScopes | None:
    """The panel's own ``cpcmd``, or None. Raise SettingError for one that others than root could have written."""
    if _ASKED in environ:
        return None
    root = os.path.realpath(server.root).rstrip(b"/") + b"/"
    for path in map(server.below, _CPCMD):
        real = os.path.realpath(path)
        if not real.startswith(root) or not os.path.isfile(real) or _is_ours(real):
            continue
        status = os.stat(real)
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingError(f"{text(path)}: not run, since others than root can write it; give it to root (0755)")
        if os.access(real, os.X_OK):
            return PanelScopes(real)
    return None


def _is_ours(real: bytes) -> bool:
    beside = os.path.join(os.path.dirname(os.fsencode(sys.executable)), b"cpcmd")
    if real in (os.path.realpath(os.fsencode(sys.argv[0])), os.path.realpath(beside)):
        return True
    with open(real, "rb") as file:
        return _OUR_SCRIPT in file.read(4096)


class PanelScopes:
    """Scopes as the panel's ``cpcmd`` reads and sets them; every failure is a SettingError."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._names: frozenset[str] | None = None

    def knows(self, name: str) -> bool:
        """Whether the panel has a scope of this name."""
        if self._names is None:
            listed = self._ask("scope:list")
            if not isinstance(listed, list | dict):
                raise self._wrong("scope:list", f"a list was expected, not {json.dumps(listed)[:80]}")
            self._names = frozenset(str(name) for name in listed)
        return name in self._names

    def get(self, name: str) -> object:
        """A scope's value, as JSON has it."""
        return self._ask("scope:get", name)

    def set(self, name: str, value: str) -> None:
        """Set a scope."""
        if self._ask("scope:set", name, value) in (False, None, ""):
            raise self._wrong(f"scope:set {name}", "it was refused")

    def _ask(self, *arguments: str) -> object:
        what = " ".join(arguments[:2])
        try:
            done = subprocess.run(
                [os.fsdecode(self._program), "-o", "json", *arguments],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._wrong(what, f"no answer within {_PATIENCE:.0f} seconds") from None
        except OSError as error:
            raise self._wrong(what, str(error.strerror)) from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise self._wrong(what, f"exit status {done.returncode}{': ' + said[0][:200] if said else ''}")
        try:
            answer: object = json.loads(done.stdout or b"null")
        except ValueError:
            raise self._wrong(what, f"no JSON: {text(done.stdout[:80])!r}") from None
        return answer

    def _wrong(self, what: str, problem: str) -> SettingError:
        return SettingError(f"the panel's {text(self._program)} {what}: {problem}")
