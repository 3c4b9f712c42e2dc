"""Every client has the whole port: the types say so, here, where clients are otherwise found by name."""

from __future__ import annotations

import inspect

import pytest

from strongroom.clients.base import Client
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.jetbackup import JetBackupClient
from strongroom.clients.vault import VaultClient

CLIENTS: tuple[type[Client], ...] = (VaultClient, ForeignClient, JetBackupClient)
METHODS = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_client_takes_what_the_port_gives(client: type[Client], method: str) -> None:
    wanted, had = (inspect.signature(getattr(kind, method)).parameters for kind in (Client, client))
    assert list(had) == list(wanted)
