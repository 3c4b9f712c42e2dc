"""The way back into PostgreSQL: SQL text as statements of a temporary role, never through a client program.

A client program has commands of its own (``\\!``, ``\\c``, ``\\copy``); here they are refused, or left out where every dump
has them. The role owns a fresh database and nothing else: what the text tries beyond it, the server refuses. Only when all
is in, the fresh database takes the place of the live one.
"""

from __future__ import annotations

import csv
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from strongroom.config import Postgresql
from strongroom.errors import ExportError
from strongroom.exports import postgresql_facts, postgresql_privileges
from strongroom.exports.manifest import Manifest, Reader, Table, checked
from strongroom.exports.postgresql_connection import Connection, line, quoted
from strongroom.exports.postgresql_table import table_statements
from strongroom.exports.postgresql_temporary import PREFIX, session_of, temporary_role
from strongroom.exports.postgresql_text import Statement, rows, statements
from strongroom.exports.stream import Stream

_SHOWN = 60
_LARGE = re.compile(r"large-objects(-\d+)?\.sql")
# Root does these by statements of its own, or they are not the database's.
_NOT_OURS = re.compile(
    rb"(?:CREATE|ALTER|DROP)\s+(?:DATABASE|ROLE|USER|GROUP|TABLESPACE)\b|SET\s+(?:SESSION\s+AUTHORIZATION|ROLE)\b|"
    rb"(?:COMMENT\s+ON|ALTER|DROP)\s+EXTENSION\b|GRANT\s|REVOKE\s|ALTER\s+DEFAULT\s+PRIVILEGES\b|"
    rb"ALTER\s.*\sOWNER\s+TO\s+\S+\s*\Z|COMMENT\s+ON\s+(?:SCHEMA\s+public|DATABASE)\b|CREATE\s+SCHEMA\s+public\s*\Z|"
    rb"(?:SET|RESET)\s+(?:SESSION\s+|LOCAL\s+)?(?:default_tablespace|transaction_timeout)\b",
    re.IGNORECASE | re.DOTALL,
)
_ANOTHER = re.compile(rb"\\c(?:onnect)?\b")
_HARMLESS = re.compile(rb"\\(?:un)?restrict\b|\\\.\Z|\\encoding\s+\S*UTF-?8", re.IGNORECASE)
# What only a superuser may make, and no tenant could have made.
_SUPERUSERS = re.compile(rb"(?:CREATE|ALTER)\s+EVENT\s+TRIGGER\b|COMMENT\s+ON\s+EVENT\s+TRIGGER\b", re.IGNORECASE)

_EXTENSION = re.compile(rb"CREATE\s+EXTENSION\b", re.IGNORECASE)
# The schema of an extension is there before the text makes it.
_SCHEMA = re.compile(rb"\ACREATE SCHEMA ((?!IF )\S+)\Z")

# What runs functions, whose bodies find names as sessions of the database's do; all else in a dump names everything whole.
_RUNS = re.compile(
    rb"(?P<refresh>REFRESH\s)|CREATE\s+(?:UNIQUE\s+)?INDEX\b|ALTER\s+TABLE\b.*\b(?:ADD|ATTACH|VALIDATE)\b",
    re.IGNORECASE | re.DOTALL,
)
_SETTING = re.compile(r"(?:role (.+) )?set (\S+)", re.DOTALL)
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
_PATH = '"$user", public'

Fill = Callable[[Connection, str], list[str]]
Work = Callable[[Connection], list[str]]


def load(settings: Postgresql, database: str, sql: Iterator[bytes]) -> list[str]:
    """Replace what a database holds by a text that a stranger may have written; return what had to be left out."""

    return _replace(settings, database, {}, lambda session, path: _run(session, Stream(sql), path), lambda root: [])


def load_export(settings: Postgresql, database: str, manifest: Manifest, read: Reader) -> list[str]:
    """Replace what a database holds by an export; return what had to be left out."""
    found = checked(manifest, read)
    larges = [file.path for file in manifest.files if _LARGE.fullmatch(file.path)]
    files = ["before.sql", *(table.file for table in manifest.tables), *larges, "after.sql"]

    def fill(session: Connection, path: str) -> list[str]:
        return [what for file in files for what in _run(session, Stream(found(file)), path)]

    def settle(root: Connection) -> list[str]:
        return list(postgresql_privileges.apply(root, b"".join(found("privileges.sql"))))

    return _replace(settings, database, manifest.attributes, fill, settle, manifest.extensions)


def load_table(
    settings: Postgresql, database: str, manifest: Manifest, read: Reader, table: Table, into: str
) -> list[str]:
    """Make one table of an export beside the live ones, as ``schema.table``; return the foreign keys it comes without."""
    found = checked(manifest, read)
    schema, _, plain = into.rpartition(".")
    with Connection(settings, database) as root:
        if not root.rows("SELECT FROM pg_namespace WHERE nspname = %s", schema):
            raise ExportError(f"postgresql:{database} has no schema {schema!r}; name the new table as SCHEMA.TABLE")
        if any(relation.name == into for relation in postgresql_facts.relations(root)):
            raise ExportError(f"postgresql:{database} has {into!r} already; take another name")
        new = f"{quoted(schema)}.{quoted(plain)}"
        old = table.identity
        owner = root.value("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
        before = table_statements(found("before.sql"), old, new)
        after = table_statements(found("after.sql"), old, new)
        with temporary_role(root) as role:
            name = Identifier(role[0])
            root.run("GRANT CONNECT ON DATABASE {} TO {}", Identifier(database), name)
            root.run("GRANT USAGE, CREATE ON SCHEMA {} TO {}", Identifier(schema), name)
            try:
                # Types and functions that the table needs are the live database's.
                with session_of(settings, role, database) as session:
                    for statement in before:
                        _statement(session, statement, 1)
                    _run(session, Stream(_renamed(found(table.file), old, new)), _PATH)
                    for statement in after:
                        _statement(session, statement, 1)
                root.run("REASSIGN OWNED BY {} TO {}", name, Identifier(owner))
            finally:
                root.run("DROP OWNED BY {} CASCADE", name)
    return [f"without foreign key {key}" for key in manifest.foreign_keys if key.table == table.name]


def _renamed(pieces: Iterator[bytes], old: str, new: str) -> Iterator[bytes]:
    """A file of rows for a table of another name: the name stands once, in the COPY."""
    stream = Stream(pieces)
    mark = b"COPY " + old.encode() + b" "
    yield from stream.until(mark)
    stream.skip(len(mark))
    yield b"COPY " + new.encode() + b" "
    yield from stream.rest()


def _replace(
    settings: Postgresql,
    database: str,
    attributes: dict[str, str],
    fill: Fill,
    settle: Work,
    extensions: Mapping[str, str] | None = None,
) -> list[str]:
    """Fill a fresh database as a temporary role, then let it take the live one's place; on any error the live one stays."""
    with Connection(settings) as root:
        live = postgresql_facts.attributes(root, database)
        wanted = {**attributes, **live} if live else attributes
        owner = _owner(root, wanted.get("owner", ""), settings.user)
        path = wanted.get("set search_path", _PATH).replace('"$user"', quoted(owner))
        wanted_extensions = dict(extensions or {})
        if live:
            with Connection(settings, database) as inside:
                wanted_extensions |= postgresql_facts.extensions(inside)
        with temporary_role(root) as role:
            with _fresh(root, wanted, attributes, role[0]) as fresh:
                with Connection(settings, fresh) as inside:
                    said = _extend(inside, wanted_extensions, role[0])
                    with session_of(settings, role, fresh) as session:
                        said += fill(session, path)
                    inside.run("REASSIGN OWNED BY {} TO {}", Identifier(role[0]), Identifier(owner))
                    said += settle(inside)
                    inside.run("DROP OWNED BY {} CASCADE", Identifier(role[0]))
                _take_place(root, database, fresh, wanted)
    return said


@contextmanager
def _fresh(root: Connection, wanted: dict[str, str], attributes: dict[str, str], role: str) -> Iterator[str]:
    """A new database of a role's; gone at the end, unless it has another name by then."""
    name = PREFIX + secrets.token_hex(6)
    parts = [SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(Identifier(name), Identifier(role))]
    for word, key in (("ENCODING", "encoding"), ("LC_COLLATE", "collate"), ("LC_CTYPE", "ctype")):
        value = attributes.get(key) or wanted.get(key)
        if value:
            parts.append(SQL(word + " {}").format(Literal(value)))
    if wanted.get("tablespace") and root.rows("SELECT FROM pg_tablespace WHERE spcname = %s", wanted["tablespace"]):
        parts.append(SQL("TABLESPACE {}").format(Identifier(wanted["tablespace"])))
    root.run("{}", SQL(" ").join(parts))
    try:
        root.run("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", Identifier(name))
        yield name
    finally:
        root.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", Identifier(name))


def _take_place(root: Connection, database: str, fresh: str, attributes: dict[str, str]) -> None:
    """Rename the fresh database to the live one's name, with the live one's privileges and settings."""
    grants = root.rows(
        "SELECT COALESCE(NULLIF(pg_get_userbyid(grantee), 'unknown (OID=0)'), ''), privilege_type, is_grantable "
        "FROM pg_database, aclexplode(COALESCE(datacl, acldefault('d', datdba))) WHERE datname = %s AND grantee <> datdba",
        database,
    )
    live = bool(root.rows("SELECT FROM pg_database WHERE datname = %s", database))
    for grantee, privilege, grantable in grants if live else [("", "CONNECT", False), ("", "TEMPORARY", False)]:
        to = Identifier(grantee) if grantee else SQL("PUBLIC")
        option = SQL(" WITH GRANT OPTION") if grantable else SQL("")
        root.run("GRANT {} ON DATABASE {} TO {}{}", SQL(privilege), Identifier(fresh), to, option)
    _set(root, fresh, attributes)
    old = PREFIX + secrets.token_hex(6)
    if live:
        _disconnect(root, database)
        root.run("ALTER DATABASE {} RENAME TO {}", Identifier(database), Identifier(old))
    _disconnect(root, fresh)
    root.run("ALTER DATABASE {} RENAME TO {}", Identifier(fresh), Identifier(database))
    root.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", Identifier(old))


def _set(root: Connection, database: str, attributes: dict[str, str]) -> None:
    """Give a database its limit and comment, and what is set for its sessions."""
    if limit := attributes.get("limit"):
        root.run("ALTER DATABASE {} CONNECTION LIMIT {}", Identifier(database), Literal(int(limit)))
    if comment := attributes.get("comment"):
        root.run("COMMENT ON DATABASE {} IS {}", Identifier(database), Literal(comment))
    for key, value in attributes.items():
        setting = _SETTING.fullmatch(key)
        if setting is None:
            continue
        role, name = setting.groups()
        # Lists are kept as they are spelled, names in quotes: as one text they would be one name.
        parts = next(csv.reader([value], skipinitialspace=True)) if name in _LISTS else [value]
        to = SQL(", ").join(map(Literal, parts))
        if role is None:
            root.run("ALTER DATABASE {} SET {} TO {}", Identifier(database), Identifier(name), to)
        elif root.rows("SELECT FROM pg_roles WHERE rolname = %s", role):
            root.run(
                "ALTER ROLE {} IN DATABASE {} SET {} TO {}",
                Identifier(role),
                Identifier(database),
                Identifier(name),
                to,
            )


def _disconnect(root: Connection, database: str) -> None:
    query = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    )
    root.rows(query, database)


def _owner(root: Connection, wanted: str, otherwise: str) -> str:
    return wanted if wanted and root.rows("SELECT FROM pg_roles WHERE rolname = %s", wanted) else otherwise


def _extend(root: Connection, extensions: Mapping[str, str], role: str) -> list[str]:
    """Install what the database had, by root: the administrator installed it, or could have."""
    said = []
    for name, schema in extensions.items():
        if root.rows("SELECT FROM pg_available_extensions WHERE name = %s", name):
            if not root.rows("SELECT FROM pg_namespace WHERE nspname = %s", schema):
                root.run("CREATE SCHEMA {} AUTHORIZATION {}", Identifier(schema), Identifier(role))
            root.run("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}", Identifier(name), Identifier(schema))
        else:
            said.append(f"extension {name} was left out: it is not installed on this server")
    return said


def _run(session: Connection, stream: Stream, path: str) -> list[str]:
    """Run a text; the first statement that fails is the last. Return what was left out.

    ``path`` is where sessions of the database look for names; dumps look nowhere, which is the end of some functions.
    """
    said = []
    for number, statement in enumerate(statements(stream), 1):
        if statement.command:
            _check_command(statement.text)
        elif statement.copies:
            with _usual(session, path):
                _copy(session, statement, stream, number)
        elif _EXTENSION.match(statement.text):
            said += _own_extension(session, statement.text)
        elif _SUPERUSERS.match(statement.text):
            said.append(f"left out, as only a superuser may make it: {_shown(statement.text)}")
        elif runs := _RUNS.match(statement.text):
            said += _running(session, statement.text, number, path, may_fail=bool(runs["refresh"]))
        elif not _NOT_OURS.match(statement.text):
            _statement(session, _SCHEMA.sub(rb"CREATE SCHEMA IF NOT EXISTS \1", statement.text), number)
    return said


def _own_extension(session: Connection, text: bytes) -> list[str]:
    """What is not there yet, the role may install itself where the administrator trusts the extension."""
    try:
        session.raw.execute(text)
    except psycopg.Error as error:
        return [f"left out: {_shown(text)}: {line(error)}"]
    return []


@contextmanager
def _usual(session: Connection, path: str) -> Iterator[None]:
    """Look for names in ``path`` for a while, where the text looks nowhere."""
    if session.value("SELECT current_setting('search_path')") not in ("", '""'):
        yield
        return
    session.rows("SELECT set_config('search_path', %s, false)", path)
    yield
    session.rows("SELECT set_config('search_path', '', false)")


def _running(session: Connection, text: bytes, number: int, path: str, *, may_fail: bool) -> list[str]:
    """A statement that runs functions: as the text means it, else with names found as usual."""
    try:
        session.raw.execute(text)
    except psycopg.Error:
        try:
            with _usual(session, path):
                _statement(session, text, number)
        except ExportError as error:
            if not may_fail:
                raise
            session.rows("SELECT set_config('search_path', '', false)")
            return [f"a materialized view has no rows: {error}"]
    return []


def _statement(session: Connection, text: bytes, number: int) -> None:
    try:
        session.raw.execute(text)
    except psycopg.Error as error:
        raise ExportError(f"statement {number} was refused: {line(error)}: {_shown(text)}") from None


def _copy(session: Connection, statement: Statement, stream: Stream, number: int) -> None:
    try:
        with session.raw.cursor() as cursor, cursor.copy(statement.text) as copy:
            for piece in rows(stream):
                copy.write(piece)
    except psycopg.Error as error:
        raise ExportError(f"statement {number} was refused: {line(error)}: {_shown(statement.text)}") from None


def _check_command(command: bytes) -> None:
    if _ANOTHER.match(command):
        raise ExportError(f"the text holds several databases ({_shown(command)}); split it, and load each by itself")
    if not _HARMLESS.match(command):
        raise ExportError(
            f"the text has a command of the client program psql, which is not carried out: {_shown(command)}"
        )


def _shown(text: bytes) -> str:
    shown = " ".join(text[: _SHOWN + 1].decode("utf-8", "replace").split())
    return shown if len(text) <= _SHOWN else shown + " …"
