"""From a table of the configuration and a driver's tool to a client."""

from __future__ import annotations

import os
from typing import Protocol

from strongroom.clients import verdicts
from strongroom.clients.adopting import AdoptingClient
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.snapshots import SnapshotAdoption, Snapshots
from strongroom.clients.tool import Tool
from strongroom.clients.vault_ledger import open_ledger
from strongroom.clients.workroom import Workroom
from strongroom.config import Config
from strongroom.config.values import Repository
from strongroom.errors import ClientError
from strongroom.model import text


class AdoptedTool(Tool, Snapshots, Protocol):
    """A tool whose repository may hold what others made."""


def folder_of(config: Config, name: str) -> bytes:
    """The folder below the state folder that is a client's own."""
    return os.path.join(config.server.state, b"clients", name.encode())


def client(config: Config, name: str, tool: Tool) -> ForeignClient:
    """A foreign client; its points are written down in the vault where there is one. Raise ClientError."""
    room = Workroom(folder_of(config, name))
    return ForeignClient(name, tool, room, open_ledger(config, name), verdicts.configuration_digest(config, name))


def adopting(config: Config, name: str, tool: AdoptedTool, watched: str) -> ForeignClient:
    """A foreign client with a repository, in which others may have made snapshots too. Raise ClientError.

    ``watched`` is a folder in which other names stand as soon as there is another snapshot, for a repository on this machine.
    """
    folder = folder_of(config, name)
    ledger, digest = open_ledger(config, name), verdicts.configuration_digest(config, name)
    adoption = SnapshotAdoption(tool, config, name, folder, watched)
    return AdoptingClient(name, tool, Workroom(folder), ledger, digest, adoption)


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
