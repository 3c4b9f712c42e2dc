"""The question before something is replaced."""

from __future__ import annotations

import sys

from strongroom.cli.invocation import Invocation
from strongroom.cli.output import escaped
from strongroom.errors import RestoreError


def confirm(invocation: Invocation, what: str, done: str) -> None:
    """Ask on a terminal whether to go ahead; without one, refuse. ``done`` is the word for having done it."""
    if invocation.json or not sys.stdin.isatty():
        raise RestoreError(f"not {done}: {what}; say --yes to do it")
    # Not click.confirm: an interrupt while readline reads its settings would be forgotten, and the question stay.
    sys.stderr.write(f"{escaped(what)}.\nGo ahead? [y/N]: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RestoreError(f"not {done}: you said no; nothing was changed")
