"""The roles of an account on a PostgreSQL server, as statements, and their replay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from strongroom.errors import ExportError
from strongroom.exports.postgresql_connection import Connection, elements, literal, quoted
from strongroom.exports.postgresql_text import statements
from strongroom.exports.stream import Stream

_HEADER = "-- Roles of one account, and their rights on its databases\n"
_NAME = r'"((?:[^"]|"")*)"'
_MADE = re.compile(rf"CREATE ROLE {_NAME}")
_SET = re.compile(
    rf"ALTER ROLE {_NAME} WITH NOSUPERUSER (?:NO)?INHERIT NOCREATEROLE NOCREATEDB (?:NO)?LOGIN NOREPLICATION NOBYPASSRLS "
    r"CONNECTION LIMIT -?\d+(?: PASSWORD E?'(?:[^']|'')*')?(?: VALID UNTIL '[^']*')?"
)
_MEMBER = re.compile(rf"GRANT {_NAME} TO {_NAME}(?: WITH ADMIN OPTION)?")
_DATABASE = re.compile(
    rf"GRANT (?:CONNECT|CREATE|TEMPORARY)(?:, (?:CONNECT|CREATE|TEMPORARY))* ON DATABASE {_NAME} TO {_NAME}"
    r"(?: WITH GRANT OPTION)?"
)
_OWNER = re.compile(rf"ALTER DATABASE {_NAME} OWNER TO {_NAME}")
_LITERAL = r"E?'(?:[^']|'')*'"
_SESSIONS = re.compile(rf"ALTER ROLE {_NAME} SET {_NAME} TO {_LITERAL}(?:, {_LITERAL})*")
_COMMENT = re.compile(rf"COMMENT ON ROLE {_NAME} IS {_LITERAL}")

Own = Callable[[str], bool]


def users(connection: Connection, databases: Collection[str], own: Own) -> Iterator[bytes]:
    """The statements that make an account's roles anew, passwords as the server keeps them.

    Its roles are those that ``own`` says are, the owners of its ``databases``, and those who have something or may something in
    these and nowhere else; never one who may more than they.
    """
    yield _HEADER.encode()
    found = connection.rows(
        "SELECT a.rolname, rolinherit, rolcanlogin, rolconnlimit, rolpassword, rolvaliduntil::text FROM pg_authid a "
        "WHERE NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) ORDER BY 1"
    )
    its = {name for query in (_OWNERS, _CONFINED) for (name,) in connection.rows(query, list(databases))}
    roles = [row for row in found if own(row[0]) or row[0] in its]
    names = {row[0] for row in roles}
    for name, *_ in roles:
        yield f"CREATE ROLE {quoted(name)};\n".encode()
    for row in roles:
        yield _altered(*row)
    yield from _said_of(connection, names)
    for role, member, admin in connection.rows(_MEMBERS):
        if role in names and member in names:
            option = " WITH ADMIN OPTION" if admin else ""
            yield f"GRANT {quoted(role)} TO {quoted(member)}{option};\n".encode()
    for database, owner in connection.rows(_OWNED, list(databases)):
        if owner in names:
            yield f"ALTER DATABASE {quoted(database)} OWNER TO {quoted(owner)};\n".encode()
    for database, grantee, privileges, grantable in connection.rows(_GRANTS, list(databases)):
        if grantee in names:
            option = " WITH GRANT OPTION" if grantable else ""
            yield f"GRANT {privileges} ON DATABASE {quoted(database)} TO {quoted(grantee)}{option};\n".encode()


def _said_of(connection: Connection, names: Collection[str]) -> Iterator[bytes]:
    """What is set for the sessions of these roles wherever they go, and comments on them."""
    for role, setting in connection.rows(_SETTINGS):
        name, _, value = setting.partition("=")
        if role in names and _is_everybodys(connection, name):
            to = ", ".join(map(literal, elements(name, value)))
            yield f"ALTER ROLE {quoted(role)} SET {quoted(name)} TO {to};\n".encode()
    for role, comment in connection.rows(_COMMENTS):
        if role in names:
            yield f"COMMENT ON ROLE {quoted(role)} IS {literal(comment)};\n".encode()


_SETTINGS = (
    "SELECT pg_get_userbyid(setrole), unnest(setconfig) FROM pg_db_role_setting WHERE setrole <> 0 AND setdatabase = 0 "
    "ORDER BY 1, 2"
)
_COMMENTS = (
    "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE shobj_description(oid, 'pg_authid') > '' "
    "ORDER BY 1"
)
_OWNERS = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY (%s)"
# The server notes beside each role what it owns or may, and in which database; of what all share, databases alone are one's own.
_CONFINED = (
    "SELECT pg_get_userbyid(d.refobjid) FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = "
    "CASE WHEN d.dbid <> 0 THEN d.dbid WHEN d.classid = 'pg_database'::regclass THEN d.objid END "
    "WHERE d.refclassid = 'pg_authid'::regclass GROUP BY d.refobjid HAVING bool_and(COALESCE(b.datname = ANY (%s), false))"
)
_OWNED = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY (%s) ORDER BY 1"
_MEMBERS = "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member), admin_option FROM pg_auth_members ORDER BY 1, 2"
_GRANTS = (
    "SELECT datname, pg_get_userbyid(grantee), string_agg(privilege_type, ', ' ORDER BY privilege_type), is_grantable "
    "FROM pg_database, aclexplode(datacl) WHERE datname = ANY (%s) AND grantee <> datdba AND grantee <> 0 "
    "GROUP BY 1, 2, 4 ORDER BY 1, 2, 4"
)


def replay(connection: Connection, text: Iterable[bytes], databases: Collection[str], own: Own) -> list[str]:
    """Make an account's roles again; return what was left out, since it is not about its own databases and roles."""
    said: list[str] = []
    made: set[str] = set()
    for statement in statements(Stream(iter(text))):
        wanted = statement.text.decode("utf-8", "surrogateescape")
        new = _MADE.fullmatch(wanted)
        problem = _problem(connection, wanted, databases, own, made)
        if problem:
            said.append(f"{problem}: {wanted[:60]}")
            continue
        if new:
            made.add(_plain(new[1]))
            if connection.rows("SELECT FROM pg_roles WHERE rolname = %s", _plain(new[1])):
                continue
        try:
            connection.run_text(wanted)
        except ExportError as error:
            said.append(f"{wanted[:60]}: {error}")
    return said


def _problem(connection: Connection, wanted: str, databases: Collection[str], own: Own, made: set[str]) -> str:
    new = _MADE.fullmatch(wanted)
    if new:
        name = _plain(new[1])
        return "" if own(name) or _harmless(connection, name, databases) else "left out, as it is not the account's own"
    sessions = _SESSIONS.fullmatch(wanted)
    if sessions and not _is_everybodys(connection, _plain(sessions[2])):
        return "left out, as only a superuser may set it"
    changed = _SET.fullmatch(wanted) or sessions or _COMMENT.fullmatch(wanted)
    if changed:
        return "" if _plain(changed[1]) in made else "left out, as it is not the account's own"
    member = _MEMBER.fullmatch(wanted)
    if member:
        return "" if {_plain(member[1]), _plain(member[2])} <= made else "left out, as it is not the account's own"
    right = _DATABASE.fullmatch(wanted) or _OWNER.fullmatch(wanted)
    if right and _plain(right[1]) in databases and _plain(right[2]) in made:
        there = connection.rows("SELECT FROM pg_database WHERE datname = %s", _plain(right[1]))
        return "" if there else "left out, as there is no such database yet"
    return "left out, as it is not the account's own"


def _harmless(connection: Connection, role: str, databases: Collection[str]) -> bool:
    """Whether a role, if there is one of that name, may no more than the owner of these databases."""
    found = connection.rows(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, "
        "EXISTS (SELECT FROM pg_database WHERE datdba = r.oid AND NOT datname = ANY (%s)), "
        "EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) OR rolname LIKE 'pg\\_%%' FROM pg_roles r WHERE rolname = %s",
        list(databases),
        role,
    )
    return not any(any(row) for row in found)


def _is_everybodys(connection: Connection, setting: str) -> bool:
    """Whether every user may set this for sessions of his own."""
    found = connection.rows("SELECT context FROM pg_settings WHERE name = lower(%s)", setting)
    return found == [("user",)] or (not found and "." in setting)


def _altered(name: str, inherits: bool, logs_in: bool, limit: int, password: str | None, until: str | None) -> bytes:
    words = [
        f"ALTER ROLE {quoted(name)} WITH NOSUPERUSER",
        "INHERIT" if inherits else "NOINHERIT",
        "NOCREATEROLE NOCREATEDB",
    ]
    words += ["LOGIN" if logs_in else "NOLOGIN", "NOREPLICATION NOBYPASSRLS", f"CONNECTION LIMIT {limit}"]
    words += [f"PASSWORD {literal(password)}"] if password else []
    words += [f"VALID UNTIL {literal(until)}"] if until else []
    return (" ".join(words) + ";\n").encode()


def _plain(name: str) -> str:
    return name.replace('""', '"')
