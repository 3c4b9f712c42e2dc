"""Users of database servers as JetBackup has them, from the statements that make an account's users, and back.

The statements are those of `strongroom.exports` (``users.sql``): a user's own are the exact truth, and go along as what only
we read. What every panel understands beside them is a name, a hash, and words for each database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from strongroom.errors import UsageError
from strongroom.exports import mysql_connection, mysql_facts, mysql_text, postgresql_connection, postgresql_text
from strongroom.exports.base import MYSQL
from strongroom.exports.stream import Stream
from strongroom.jetbackup.questions import AddUser

_ALL = "ALL PRIVILEGES"
_WORDS = re.compile(r"[A-Z]+(?: [A-Z]+)*")

_TICKED = r"`((?:[^`]|``)*)`"
_AT = rf"{_TICKED}(?:@{_TICKED})?"
_MYSQL_MADE = re.compile(rf"(?:CREATE USER IF NOT EXISTS|ALTER USER|CREATE ROLE IF NOT EXISTS) {_AT}(.*)", re.DOTALL)
_MYSQL_HASH = re.compile(r"(?:BY PASSWORD|VIA mysql_native_password USING) '(\*[0-9A-F]{40})'")
_MYSQL_ABOUT = re.compile(rf".* (?:TO|FOR) {_AT}(?: WITH (?:GRANT|ADMIN) OPTION)?", re.DOTALL)
_MYSQL_GRANT = re.compile(rf"GRANT ([A-Z, ]+) ON {_TICKED}\.\* TO {_AT}(?: WITH GRANT OPTION)?")

_QUOTED = r'"((?:[^"]|"")*)"'
_ROLE_MADE = re.compile(rf"(?:CREATE|ALTER) ROLE {_QUOTED}(.*)", re.DOTALL)
_ROLE_HASH = re.compile(r"PASSWORD E?'((?:[^']|'')*)'")
_ROLE_HASHED = re.compile(r"md5[0-9a-f]{32}|SCRAM-SHA-256\$[A-Za-z0-9+/=$:]+")
_ROLE_MEMBER = re.compile(rf"GRANT {_QUOTED} TO {_QUOTED}.*", re.DOTALL)
_ROLE_GRANT = re.compile(rf"GRANT ([A-Z, ]+) ON DATABASE {_QUOTED} TO {_QUOTED}")
_ROLE_OWNER = re.compile(rf"ALTER DATABASE {_QUOTED} OWNER TO {_QUOTED}")
_ROLE_WORDS = ("CONNECT", "CREATE", "TEMPORARY")


class Person(NamedTuple):
    """A user: ``name`` is ``user@host`` in MySQL; ``password`` the server's hash, None where it has another door."""

    name: str
    password: str | None
    privileges: dict[str, list[str]]
    statements: str


class _About(NamedTuple):
    """What one statement says: of whom, and as far as it says so, a hash, and words on a database."""

    name: str
    role: bool = False
    password: str | None = None
    database: str = ""
    words: tuple[str, ...] = ()


def people(engine: str, text: bytes) -> list[Person]:
    """The users of an account, from the statements that make them. Roles come as users without a host."""
    found: dict[str, Person] = {}
    roles: list[str] = []
    for statement in _statements(engine, text):
        about = _mysql(statement) if engine == MYSQL else _role(statement)
        if about is None:
            continue
        person = found.get(about.name) or Person(about.name, None, {}, "")
        privileges = person.privileges
        if about.database:
            privileges = privileges | {about.database: [*privileges.get(about.database, []), *about.words]}
        found[about.name] = Person(
            about.name, about.password or person.password, privileges, person.statements + statement + ";\n"
        )
        if about.role:
            roles.append(statement + ";\n")
    # A membership needs both its sides to be made by the same text.
    made = "".join(roles)
    return [person._replace(statements=made + person.statements) for person in found.values()]


def _statements(engine: str, text: bytes) -> Iterator[str]:
    stream = Stream(iter([text]))
    found = mysql_text.statements(stream) if engine == MYSQL else postgresql_text.statements(stream)
    for statement in found:
        yield statement.text.decode("utf-8", "surrogateescape")


def _mysql(statement: str) -> _About | None:
    made = _MYSQL_MADE.fullmatch(statement)
    if made:
        told = _MYSQL_HASH.search(made[3])
        return _About(_at(made[1], made[2]), role=made[2] is None, password=told[1] if told else None)
    grant = _MYSQL_GRANT.fullmatch(statement)
    if grant:
        database = mysql_facts.unescaped(grant[2].replace("``", "`"))
        return _About(_at(grant[3], grant[4]), database=database, words=tuple(grant[1].split(", ")))
    other = _MYSQL_ABOUT.fullmatch(statement)
    return _About(_at(other[1], other[2])) if other else None


def _at(name: str, host: str | None) -> str:
    shown = name.replace("``", "`")
    return shown if host is None else f"{shown}@{host.replace('``', '`')}"


def _role(statement: str) -> _About | None:
    made = _ROLE_MADE.fullmatch(statement)
    if made:
        told = _ROLE_HASH.search(made[2])
        hashed = told[1].replace("''", "'") if told else None
        return _About(made[1].replace('""', '"'), role=statement.startswith("CREATE"), password=hashed)
    member = _ROLE_MEMBER.fullmatch(statement)
    if member:
        return _About(member[2].replace('""', '"'))
    owner = _ROLE_OWNER.fullmatch(statement)
    if owner:
        return _About(owner[2].replace('""', '"'), database=owner[1].replace('""', '"'), words=(_ALL,))
    grant = _ROLE_GRANT.fullmatch(statement)
    if grant:
        words = tuple(grant[1].split(", "))
        return _About(grant[3].replace('""', '"'), database=grant[2].replace('""', '"'), words=words)
    return None


def statements(engine: str, asked: AddUser) -> str:
    """The statements that make a user who came without ours, from another panel. Raise UsageError.

    Whether they are an account's own is not judged here: `DatabaseServer.load_users` does, whoever wrote them.
    """
    if not asked.name or "\0" in asked.name:
        raise UsageError("a user of a database server has to have a name")
    for each in asked.privileges:
        for word in each.grants:
            if not _WORDS.fullmatch(word):
                raise UsageError(f"{word!r} is no privilege of a database")
    return "".join(f"{line};\n" for line in (_made(asked) if engine == MYSQL else _made_role(asked)))


def _made(asked: AddUser) -> Iterator[str]:
    name, at, host = asked.name.rpartition("@")
    who = mysql_connection.account(name, host) if at else mysql_connection.account(asked.name, "localhost")
    if asked.password is not None:
        if not re.fullmatch(r"\*[0-9A-Fa-f]{40}", asked.password):
            raise UsageError(f"the password of {asked.name!r} is not hashed as MySQL does it")
        yield f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY PASSWORD '{asked.password.upper()}'"
        yield f"ALTER USER {who} IDENTIFIED BY PASSWORD '{asked.password.upper()}'"
    else:
        # Nobody comes in by it until somebody sets a password.
        yield f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY PASSWORD '*{'0' * 40}'"
    for each in asked.privileges:
        if each.grants:
            yield f"GRANT {', '.join(each.grants)} ON {mysql_connection.pattern(each.database)}.* TO {who}"


def _made_role(asked: AddUser) -> Iterator[str]:
    who = postgresql_connection.quoted(asked.name)
    yield f"CREATE ROLE {who}"
    changed = f"ALTER ROLE {who} WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS"
    changed += " CONNECTION LIMIT -1"
    if asked.password is not None:
        if not _ROLE_HASHED.fullmatch(asked.password):
            raise UsageError(f"the password of {asked.name!r} is not hashed as PostgreSQL does it")
        changed += f" PASSWORD {postgresql_connection.literal(asked.password)}"
    yield changed
    for each in asked.privileges:
        words = _ROLE_WORDS if _ALL in each.grants or "ALL" in each.grants else each.grants
        if words:
            yield f"GRANT {', '.join(words)} ON DATABASE {postgresql_connection.quoted(each.database)} TO {who}"
