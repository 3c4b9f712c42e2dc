"""Which databases are whose, asked of each server once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from strongroom.errors import ExportError, UnknownError
from strongroom.exports.base import Owned
from strongroom.model import Account
from strongroom.settings.schedules import Target


class DumpingServer(Protocol):
    """What is needed of a database server (`strongroom.exports.base.DatabaseServer` has more)."""

    engine: str

    def owned_by_each(self, everyone: Sequence[Account]) -> dict[str, Owned]:
        """The databases of all accounts, by account's name."""

    def dump(self, database: str, *, broken_views: bool = False) -> Iterator[bytes]:
        """The whole database as one SQL text; with ``broken_views``, views that the server cannot use are no error."""

    def fault(self, sql: Iterator[bytes]) -> str:
        """See `strongroom.exports.base.DatabaseServer.fault`."""

    def load(
        self, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
    ) -> list[str]:
        """Replace what a database holds by a text, or by what it held ``before``; return what had to be left out."""


class Databases:
    """The databases of some accounts on some servers; whatever is asked of a server may raise ExportError."""

    def __init__(self, accounts: Sequence[Account], servers: Sequence[DumpingServer]) -> None:
        """``accounts`` are all of this server's: which prefix is whose depends on the others."""
        self._everyone = accounts
        self.accounts = {account.name: account for account in accounts}
        self.servers = {server.engine: server for server in servers}
        self._owned: dict[str, dict[str, Owned]] = {}

    def of(self, account: str, engine: str) -> list[Target]:
        """An account's databases on one server, with those that another account has as well."""
        owned = self._ask(account, engine)
        names = sorted({*owned.names, *owned.contested})
        return [Target(account=account, engine=engine, database=name) for name in names]

    def holds(self, target: Target) -> bool:
        """Whether a database is its account's. Raise ExportError when it is another's too, UnknownError when there is no
        such account, or no such server in the configuration.
        """
        if target.account not in self.accounts:
            where = f"strongroom databases schedule {target.account} {target.name} --remove"
            raise UnknownError(f"there is no such account any more; its schedule goes with: {where}")
        if target.engine not in self.servers:
            raise UnknownError(f"no [databases.{target.engine}] in the configuration; add it")
        owned = self._ask(target.account, target.engine)
        if target.database in owned.contested:
            raise ExportError(f"{target.name} {owned.contested[target.database]}")
        return target.database in owned.names

    def _ask(self, account: str, engine: str) -> Owned:
        if engine not in self._owned:
            self._owned[engine] = self.servers[engine].owned_by_each(self._everyone)
        return self._owned[engine][account]
