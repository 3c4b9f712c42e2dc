"""Which databases are whose: by the longest prefix that fits, by who owns them, or by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from strongroom.exports.base import MYSQL, POSTGRESQL, Owned
from strongroom.model import Account, DatabaseClaim

_SERVERS = {
    MYSQL: ("mysql", "information_schema", "performance_schema", "sys"),
    POSTGRESQL: ("postgres", "template0", "template1"),
}


def owned(
    engine: str,
    account: Account,
    everyone: Sequence[Account],
    databases: Mapping[str, Iterable[str]],
    asked: Collection[str] = (),
) -> Owned:
    """The databases of an account. ``databases`` are those of the server, each with the users who own it; the server's own
    (`is_servers`) are nobody's.

    One that two accounts have by these rules is nobody's until an administrator has said whose it is.
    """
    others = [other for other in everyone if other.name != account.name]
    names, contested = [], {}
    for database, users in sorted(databases.items()):
        owners = _owners(engine, database, set(users), [account, *others])
        if account.name not in owners:
            continue
        if len(owners) == 1:
            names.append(database)
        else:
            contested[database] = _contested(owners)
    free = [
        name
        for name in sorted(set(asked) - set(databases))
        if _owners(engine, name, set(), [account, *others]) <= {account.name} and not is_servers(engine, name)
    ]
    return Owned(names=tuple(names), contested=contested, free=tuple(free))


def is_servers(engine: str, database: str) -> bool:
    """Whether a database is the server's own: never an account's, and never to be made, emptied or replaced."""
    return database.lower() in _SERVERS[engine]


def of_each(engine: str, everyone: Sequence[Account], databases: Mapping[str, Iterable[str]]) -> dict[str, Owned]:
    """What `owned` says of each account by its name, with every database looked at once."""
    names: dict[str, list[str]] = {account.name: [] for account in everyone}
    contested: dict[str, dict[str, str]] = {account.name: {} for account in everyone}
    for database, users in sorted(databases.items()):
        owners = _owners(engine, database, set(users), everyone)
        for owner in owners:
            if len(owners) == 1:
                names[owner].append(database)
            else:
                contested[owner][database] = _contested(owners)
    return {name: Owned(names=tuple(found), contested=contested[name]) for name, found in names.items()}


def known(engine: str, account: Account) -> tuple[str, ...]:
    """The databases that are an account's by name, which one knows without a server."""
    prefix = f"{engine}:"
    shown = (name.removeprefix(prefix) for name in account.databases if name.startswith(prefix))
    return tuple(sorted({*shown, *named(engine, account)}))


def named(engine: str, account: Account) -> tuple[str, ...]:
    """The databases that the configuration gives an account by name."""
    return tuple(name for claim in _claims(engine, account) for name in claim.names)


def own_user(engine: str, account: Account, everyone: Sequence[Account], user: str) -> bool:
    """Whether a user or role of the server is this account's: its administrator, or one whose name has its prefix."""
    longest = _longest(engine, user, [account, *everyone])
    return any(claim.user == user for claim in _claims(engine, account)) or account.name in longest


def _contested(owners: set[str]) -> str:
    return f"belongs to {' and '.join(sorted(owners))}; make it one account's"


def _owners(engine: str, database: str, users: set[str], accounts: Sequence[Account]) -> set[str]:
    found = _longest(engine, database, accounts)
    for account in accounts:
        for claim in _claims(engine, account):
            if database in claim.names or (claim.user and claim.user in users):
                found.add(account.name)
    return found


def _longest(engine: str, name: str, accounts: Sequence[Account]) -> set[str]:
    """The accounts whose prefix fits a name and is the longest that does."""
    fitting = {
        (len(claim.prefix), account.name)
        for account in accounts
        for claim in _claims(engine, account)
        if claim.prefix and name.startswith(claim.prefix)
    }
    most = max((length for length, _ in fitting), default=0)
    return {account for length, account in fitting if length == most}


def _claims(engine: str, account: Account) -> list[DatabaseClaim]:
    return [claim for claim in account.claims if claim.engine == engine]
