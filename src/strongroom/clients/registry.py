"""From a client's name in the configuration to the client itself.

What ships with Strongroom is named here; drivers of other distributions come by the entry point group
``strongroom.clients`` (asking the installed distributions costs more than opening a vault, so it is asked last).
"""

from __future__ import annotations

import importlib
from typing import Any, cast

from strongroom.clients.base import Client
from strongroom.config import Config
from strongroom.errors import ClientError, UnknownError

GROUP = "strongroom.clients"
VAULT = "vault"
_OURS = {
    VAULT: ("strongroom.clients.vault", "VaultClient"),
    "command": ("strongroom.clients.command", "CommandTool"),
    "restic": ("strongroom.clients.restic", "ResticTool"),
    "borg": ("strongroom.clients.borg", "BorgTool"),
    "duplicity": ("strongroom.clients.duplicity", "DuplicityTool"),
    "bacula": ("strongroom.clients.bacula.client", "BaculaClient"),
    "jetbackup": ("strongroom.clients.jetbackup", "JetBackupClient"),
}


def open_client(config: Config, name: str | None = None) -> Client:
    """The client called ``name`` (None: the configuration's default), opened.

    Raise UnknownError when the configuration has no such client, NotBuiltError when its driver is promised and not
    there yet, ClientError when its driver or its storage cannot be had.
    """
    wanted = name or config.backup.client
    if wanted != VAULT and wanted not in config.clients:
        known = ", ".join((VAULT, *config.clients))
        raise UnknownError(f"no client '{wanted}' in the configuration; it has: {known}")
    driver = VAULT if wanted == VAULT else config.clients[wanted].driver
    kind = _driver(driver)
    return cast(Client, kind.open(config) if wanted == VAULT else kind.open(config, wanted))


def _driver(name: str) -> Any:
    if name in _OURS:
        module, kind = _OURS[name]
        return getattr(importlib.import_module(module), kind)
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise ClientError(f"no driver '{name}' is installed; install the package that brings it")


def create_vault(config: Config) -> bool:
    """Make the vault and, where there is none, its passphrase file; say whether that was written too.

    Raise ClientError when there is a vault already: one is never overwritten.
    """
    return bool(_driver(VAULT).create(config))
