"""A small server, a client in memory, and the program called as an administrator would."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from strongroom.cli.invocation import Servers
from strongroom.cli.main import backup_dbs, main
from strongroom.clients.base import Client
from strongroom.config import Config, load
from strongroom.config.identity import server_id
from strongroom.errors import ClientError, UnknownError
from strongroom.exports.base import DatabaseServer
from tests.fakes import FakeClient
from tests.panel.servers import site
from tests.settings.servers import FakeServer

CONFIGURATION = """[server]
root = "{folder}/root"
state = "{folder}/state"
[vault]
url = "{folder}/vault"
passphrase_file = "{folder}/passphrase"
"""


class Answer(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out)


class FakeClients:
    """Where the program finds the client in memory instead of a vault."""

    def __init__(self, client: FakeClient) -> None:
        self.client = client
        self.vaults: list[str] = []

    def open_client(self, config: Config, name: str | None = None) -> Client:
        if name not in (None, self.client.name):
            raise UnknownError(f"no client '{name}' in the configuration")
        return self.client

    def create_vault(self, config: Config) -> bool:
        if config.vault.url in self.vaults:
            raise ClientError(f"{config.vault.url}: there is a vault already; it is never overwritten")
        self.vaults.append(config.vault.url)
        return True


class Ground:
    """Call it with a command line; ``strongroom("points", "--json")``. Without ``servers``, those of the configuration."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.client = FakeClient()
        self.clients = FakeClients(self.client)
        self.mysql = FakeServer("mysql", {"site1": {"shop_wp": b"a dump", "shop_blog": b"another"}})
        self.servers: Servers | None = lambda config: [cast(DatabaseServer, self.mysql)]
        self._capture = capture
        self.config.write_text(CONFIGURATION.format(folder=folder))
        self.client.server = server_id(load(str(self.config)).server)
        site(folder / "root", 1, "example.com", "shop.example.com")
        site(folder / "root", 2, "example.org")

    def __call__(self, *arguments: str | bytes) -> Answer:
        given = [os.fsdecode(argument) for argument in arguments]
        self._capture.readouterr()
        status = main(["--config", str(self.config), *given], self.clients, self.servers)
        out, err = self._capture.readouterr()
        return Answer(status, out, err)

    def backup_dbs(self, *arguments: str) -> Answer:
        """The same for the program ``backup_dbs``."""
        self._capture.readouterr()
        status = backup_dbs(["--config", str(self.config), *arguments], self.servers)
        out, err = self._capture.readouterr()
        return Answer(status, out, err)

    def json(self, *arguments: str | bytes, status: int = 0) -> Any:
        """The document of a command that ends with this exit status."""
        answer = self(*arguments, "--json")
        assert answer.status == status, answer
        return answer.document
