"""From a table of the configuration and a driver's tool to a client."""

from __future__ import annotations

import os

from strongroom.clients import verdicts
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.tool import Tool
from strongroom.clients.vault_ledger import open_ledger
from strongroom.clients.workroom import Workroom
from strongroom.config import Config
from strongroom.config.values import Repository
from strongroom.errors import ClientError
from strongroom.model import text


def folder_of(config: Config, name: str) -> bytes:
    """The folder below the state folder that is a client's own."""
    return os.path.join(config.server.state, b"clients", name.encode())


def client(config: Config, name: str, tool: Tool) -> ForeignClient:
    """A foreign client; its points are written down in the vault where there is one. Raise ClientError."""
    room = Workroom(folder_of(config, name))
    return ForeignClient(name, tool, room, open_ledger(config, name), verdicts.configuration_digest(config, name))


def repository(config: Config, name: str) -> tuple[Repository, bytes]:
    """The settings of a client that has a repository (its driver's name says so), and its own folder."""
    settings = config.clients[name]
    assert isinstance(settings, Repository)  # noqa: S101  (see above)
    return settings, folder_of(config, name)


def passphrase(path: bytes) -> bytes:
    """What a passphrase file holds. Raise ClientError."""
    try:
        with open(path, "rb") as file:
            found = file.read(4096).strip(b"\r\n")
    except OSError as error:
        raise ClientError(f"cannot read the passphrase in {text(path)}: {error.strerror}") from error
    if not found:
        raise ClientError(f"the passphrase file {text(path)} is empty; write the passphrase into it")
    return found
