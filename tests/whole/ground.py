"""A server of the apiscp layout with a vault, and the real program run on it as an administrator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.panel.servers import site, write

CONFIGURATION = """[server]
root = "{folder}/root"
state = "{folder}/state"
[vault]
url = "{folder}/vault"
passphrase_file = "{folder}/passphrase"
[backup]
workers = 2
"""
OWNER = 10000


class Done(NamedTuple):
    """How one call of the program ended."""

    status: int
    out: bytes
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out)


class Server:
    """Accounts below ``folder/root``, everything of Strongroom's beside it; ``server("points", "--json")`` runs it."""

    def __init__(self, folder: Path, configuration: str = CONFIGURATION) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.config = folder / "config.toml"
        self.config.write_text(configuration.format(folder=folder))

    def site(self, number: int, domain: str, *, uid: int = OWNER) -> Path:
        """A new account; returns its folder of data."""
        return site(self.root, number, domain, uid=uid) / "shadow"

    def command(self, *arguments: str | bytes | Path) -> list[bytes]:
        """The command line of the program with these arguments."""
        given = [os.fsencode(argument) for argument in arguments]
        return [os.fsencode(sys.executable), b"-m", b"strongroom", b"--config", os.fsencode(self.config), *given]

    def __call__(self, *arguments: str | bytes | Path, timeout: float = 120) -> Done:
        done = subprocess.run(self.command(*arguments), capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "surrogateescape"))

    def json(self, *arguments: str | bytes | Path, status: int = 0) -> Any:
        """The document of a command that ends with this exit status."""
        done = self("--json", *arguments)
        assert done.status == status, (done.status, done.out[-3000:], done.err[-3000:])
        return done.document

    def backup(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Back up one account; returns its point."""
        (point,) = self.json("backup", *arguments, status=status)["points"]
        return dict(point)


def started(folder: Path) -> Server:
    """A server with an empty vault."""
    server = Server(folder)
    write(server.root / "home/virtual/.keep")
    assert server.json("init")["created"] is True
    return server
