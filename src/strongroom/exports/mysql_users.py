"""The users, roles and grants of an account on a MariaDB server, as statements, and their replay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from strongroom.errors import ExportError
from strongroom.exports import mysql_facts
from strongroom.exports.mysql_connection import Connection, account
from strongroom.exports.mysql_text import statements
from strongroom.exports.stream import Stream

_NAME = r"`((?:[^`]|``)*)`"
# A role that is everybody's from the beginning: nobody's to make, and what it may in a database is that database's account's.
EVERYBODY = "PUBLIC"
_USER = rf"(?:{_NAME}(?:@{_NAME})?|{EVERYBODY})"
_HEADER = "-- Users, roles and grants of one account's databases\n"
_GRANT = re.compile(
    rf"GRANT (?!PROXY)[A-Z ]+(?:\([^()]*\))?(?:, [A-Z ]+(?:\([^()]*\))?)* ON (?:PROCEDURE |FUNCTION |PACKAGE |PACKAGE BODY )?"
    rf"{_NAME}\.(?:\*|{_NAME}) TO {_USER}(?: WITH GRANT OPTION)?"
)
_MADE = re.compile(
    rf"CREATE USER IF NOT EXISTS {_USER}(?: .*)?|ALTER USER {_USER}(?: .*)?|CREATE ROLE IF NOT EXISTS {_NAME}"
)
_MEMBER = re.compile(rf"GRANT {_NAME} TO {_USER}(?: WITH ADMIN OPTION)?")
_DEFAULT = re.compile(rf"SET DEFAULT ROLE {_NAME} FOR {_USER}")
_ESCAPED_PASSWORD = re.compile(r"IDENTIFIED BY PASSWORD '[^']*'")

Own = Callable[[str], bool]


def users(connection: Connection, databases: Collection[str], own: Own) -> Iterator[bytes]:
    """The statements that make an account's users anew, passwords as the server keeps them.

    Its users are those that ``own`` says are, and those who have grants on its ``databases`` and on nothing else; what everybody
    may in these is with them.
    """
    yield _HEADER.encode()
    found = _found(connection, databases, own)
    granted: list[str] = []
    for name, host, is_role in found:
        grants = [grant for (grant,) in connection.rows(f"SHOW GRANTS FOR {_spelled(name, host, is_role)}")]
        if is_role:
            yield f"CREATE ROLE IF NOT EXISTS {_spelled(name, host, is_role)};\n".encode()
        else:
            created = str(connection.rows(f"SHOW CREATE USER {account(name, host)}")[0][0])
            yield f"{created.replace('CREATE USER', 'CREATE USER IF NOT EXISTS', 1)};\n".encode()
            yield f"{created.replace('CREATE USER', 'ALTER USER', 1)};\n".encode()
        granted += (_ESCAPED_PASSWORD.sub("", grant).strip() for grant in grants)
    if connection.rows("SELECT 1 FROM mysql.user WHERE User = %s AND is_role = 'Y'", EVERYBODY):
        granted += (grant for (grant,) in connection.rows(f"SHOW GRANTS FOR {EVERYBODY}"))
    roles = {name for name, _, is_role in found if is_role}
    yield from (f"{grant};\n".encode() for grant in granted if _is_own(grant, databases, roles, own))


def replay(connection: Connection, text: Iterable[bytes], databases: Collection[str], own: Own) -> list[str]:
    """Make an account's users again; return what was left out, since it is not about its own databases and users."""
    said: list[str] = []
    # No role of the server is the account's until its own text has made it.
    roles: set[str] = set()
    for statement in statements(Stream(iter(text))):
        wanted = statement.text.decode("utf-8", "surrogateescape")
        made = _MADE.fullmatch(wanted)
        user = made and next((part for part in (made[1], made[3], made[5]) if part is not None), None)
        if user is not None and (own(_plain(user)) or _harmless(connection, _plain(user), databases)):
            if wanted.startswith("CREATE ROLE"):
                roles.add(_plain(user))
        elif user is not None or not _is_own(wanted, databases, roles, own):
            said.append(f"left out, as it is not the account's own: {wanted[:60]}")
            continue
        try:
            connection.run(statement.text)
        except ExportError as error:
            said.append(f"{wanted[:60]}: {error}")
    return said


def _found(connection: Connection, databases: Collection[str], own: Own) -> list[tuple[str, str, bool]]:
    everyone = connection.rows("SELECT User, Host, is_role = 'Y' FROM mysql.user WHERE User <> '' ORDER BY User, Host")
    named = {(user, host) for user, host, db in _grantees(connection) if db in databases}
    return [
        (user, host, bool(is_role))
        for user, host, is_role in everyone
        if user != EVERYBODY and (own(user) or ((user, host) in named and _harmless(connection, user, databases)))
    ]


def _grantees(connection: Connection) -> list[tuple[str, str, str]]:
    query = (
        "SELECT User, Host, Db FROM mysql.db UNION SELECT User, Host, Db FROM mysql.tables_priv "
        "UNION SELECT User, Host, Db FROM mysql.procs_priv UNION SELECT User, Host, Db FROM mysql.columns_priv"
    )
    return [(user, host, mysql_facts.unescaped(db)) for user, host, db in connection.rows(query)]


def _harmless(connection: Connection, user: str, databases: Collection[str]) -> bool:
    """Whether a user, if there is one of that name, has rights on these databases and on nothing else."""
    if any(db not in databases for name, _, db in _grantees(connection) if name == user):
        return False
    found = connection.rows("SELECT Host, is_role = 'Y' FROM mysql.user WHERE User = %s", user)
    for host, is_role in found:
        for (grant,) in connection.rows(f"SHOW GRANTS FOR {_spelled(user, host, bool(is_role))}"):
            if " ON *.* TO " in grant and not grant.startswith("GRANT USAGE "):
                return False
    return True


def _is_own(grant: str, databases: Collection[str], roles: Collection[str], own: Own) -> bool:
    """Whether a grant is about the account's databases, on all that its prefix begins, or a role of its own."""
    found = _GRANT.fullmatch(grant)
    if found:
        pattern = mysql_facts.unescaped(_plain(found[1]))
        return pattern in databases or (pattern.endswith("_%") and own(pattern[:-1]))
    member = _MEMBER.fullmatch(grant) or _DEFAULT.fullmatch(grant)
    return member is not None and _plain(member[1]) in roles


def _spelled(name: str, host: str, is_role: bool) -> str:
    return account(name, host).partition("@")[0] if is_role else account(name, host)


def _plain(quoted: str) -> str:
    return quoted.replace("``", "`")
