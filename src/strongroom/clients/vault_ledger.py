"""Where other clients' points are written down: in the vault, whose records outlive this machine."""

from __future__ import annotations

import os

from strongroom.clients.holdings import State
from strongroom.clients.vault import passphrase_of, storage_of, told
from strongroom.config import Config
from strongroom.vault import session
from strongroom.vault import vault as vaults
from strongroom.vault.session import Foreign
from strongroom.vault.vault import Vault


class VaultLedger:
    """The port `holdings.Ledger` over the vault's records."""

    def __init__(self, vault: Vault, client: str) -> None:
        self._vault, self._client = vault, client

    def read(self) -> dict[str, tuple[State, bytes]]:
        """See the port. A record that cannot be read is passed over: `check` tells of it."""
        found: dict[str, tuple[State, bytes]] = {}
        with told():
            for value in session.records(self._vault.storage, self._vault.keys, "foreign").values():
                if isinstance(value, Foreign) and value.client == self._client:
                    state, body = found.get(value.id, (State.HELD, b""))
                    found[value.id] = (max(state, State[value.state.upper()]), value.body or body)
        return found

    def write(self, id: str, state: State, body: bytes = b"") -> None:
        """See the port."""
        record = Foreign(client=self._client, id=id, state=state.name.lower(), body=body)
        with told():
            session.put_record(self._vault.storage, self._vault.keys, record)


def open_ledger(config: Config, client: str) -> VaultLedger | None:
    """The ledger in the configured vault; None where there is no vault. Raise ClientError."""
    if config.vault.folder is None:
        return None
    storage = storage_of(config)
    with told():
        if not vaults.exists(storage):
            return None
        state = os.fsdecode(config.server.state) + "/vault"
        return VaultLedger(Vault(storage, state, passphrase_of(config)), client)
