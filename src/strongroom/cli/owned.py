"""Which databases are an account's: for commands that show accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli.invocation import Invocation

if TYPE_CHECKING:
    from strongroom.model import Account


def with_databases(invocation: Invocation, found: list[Account]) -> list[Account]:
    """The accounts with the databases that the servers say are theirs; by their folders, where no server can be asked."""
    servers = invocation.config.databases
    if not (servers.mysql or servers.postgresql):
        return found
    import msgspec

    from strongroom.errors import ExportError
    from strongroom.settings.databases import Databases

    held = Databases(found, invocation.servers)
    names: dict[str, set[str]] = {account.name: set(account.databases) for account in found}
    for engine in held.servers:
        try:
            told = {account.name: {each.name for each in held.of(account.name, engine)} for account in found}
        except ExportError as error:
            invocation.teller.note(f"{error}; its databases are shown by their folders")
            continue
        for account, owned in told.items():
            others = {name for name in names[account] if not name.startswith(f"{engine}:")}
            names[account] = others | owned
    return [msgspec.structs.replace(account, databases=tuple(sorted(names[account.name]))) for account in found]
