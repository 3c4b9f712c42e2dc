"""When each account was first seen: JetBackup wants to know when one was made, and a mark that is its own for life.

A panel's account has no trustworthy date of its own. One that was gone and stands there again with the same domain was
restored, and stays who it was; with another domain it is somebody else, who must not get the backups of before.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence

import msgspec

from strongroom.config import Config
from strongroom.config.identity import server_id
from strongroom.errors import SettingError
from strongroom.model import Account, Frozen, text
from strongroom.settings import durable

_FILE = b"jetbackup.json"
_LOCK = b"jetbackup"


class Seen(Frozen):
    """An account's first time (seconds since 1970), its domain when it was last seen, and whether it is there."""

    since: int
    domain: str = ""
    here: bool = True


class Register:
    """All accounts that were ever seen on this server, kept in the state folder."""

    def __init__(self, config: Config) -> None:
        self._state = config.server.state
        self._path = durable.settings_path(config.server.state, _FILE)
        self._server = server_id(config.server)

    def of(self, accounts: Sequence[Account]) -> dict[str, Seen]:
        """What is known of all accounts of the server, which those that are not among them have left."""
        known = self._read()
        if _brought_up(known, accounts) == known:
            return known
        with durable.alone(self._state, _LOCK):
            now = _brought_up(self._read(), accounts)
            durable.replace(self._path, msgspec.json.encode(now) + b"\n")
        return now

    def mark(self, name: str, seen: Seen) -> str:
        """The mark of one account: 32 hexadecimal digits."""
        return hashlib.sha256(f"{self._server}\0{name}\0{seen.since}".encode()).hexdigest()[:32]

    def _read(self) -> dict[str, Seen]:
        content = durable.read(self._path)
        if content is None:
            return {}
        try:
            return msgspec.json.decode(content, type=dict[str, Seen])
        except msgspec.MsgspecError as error:
            # Without it every account would be another one to JetBackup: that is for a person to decide.
            where = text(os.path.abspath(self._path))
            raise SettingError(f"{where}: damaged ({error}); bring it back from a point of the server") from None


def _brought_up(known: dict[str, Seen], accounts: Sequence[Account]) -> dict[str, Seen]:
    now = {name: msgspec.structs.replace(seen, here=False) for name, seen in known.items()}
    for account in accounts:
        before = known.get(account.name)
        domain = account.domains[0] if account.domains else ""
        if before is None or (not before.here and before.domain != domain):
            now[account.name] = Seen(since=_later_than(before), domain=domain)
        else:
            now[account.name] = Seen(since=before.since, domain=domain)
    return now


def _later_than(before: Seen | None) -> int:
    """Now; never the same second twice for one name, since the mark comes from it."""
    now = int(time.time())
    return now if before is None else max(now, before.since + 1)
