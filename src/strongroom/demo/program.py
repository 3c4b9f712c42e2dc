"""The real program, driven as an administrator's script drives it: its command line, and ``--json``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from strongroom.errors import ClientError


class Answer(msgspec.Struct, frozen=True):
    """What the program said: its JSON document, its exit status (0 or 1), and the seconds it took with start-up."""

    document: Any
    status: int
    seconds: float


class Program:
    """``strongroom --config FILE --json …``; ``command`` is how it is called, by default this Python's own."""

    def __init__(self, config: Path, command: Sequence[str] | None = None) -> None:
        self._command = [*(command or own_command()), "--config", str(config), "--json"]

    def __call__(self, *arguments: str) -> Answer:
        """Run one command to its end; raise ClientError when it was not done or did not answer in JSON."""
        started = time.monotonic()
        done = subprocess.run([*self._command, *arguments], stdin=subprocess.DEVNULL, capture_output=True)
        seconds = time.monotonic() - started
        try:
            document = msgspec.json.decode(done.stdout)
        except msgspec.DecodeError:
            document = None
        if document is None or done.returncode not in (0, 1):
            raise ClientError(f"strongroom {' '.join(arguments)}: {_reason(document, done)}")
        return Answer(document=document, status=done.returncode, seconds=seconds)


def own_command() -> list[str]:
    """The ``strongroom`` installed beside this Python, else this Python with the module that is running."""
    beside = Path(sys.executable).with_name("strongroom")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "strongroom"]


def _reason(document: Any, done: subprocess.CompletedProcess[bytes]) -> str:
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        return str(document["error"].get("message"))
    said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    return f"{said[-1] if said else 'no word of explanation'} (exit status {done.returncode})"
