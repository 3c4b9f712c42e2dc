"""The way back into PostgreSQL: SQL text as statements of a temporary role, never through a client program.

A client program has commands of its own (``\\!``, ``\\c``, ``\\copy``); here they are refused, or left out where every dump
has them. The role owns a fresh database and nothing else: what the text tries beyond it, the server refuses. Only when all
is in, the fresh database takes the place of the live one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from psycopg.sql import SQL, Identifier, Literal

from strongroom.config import Postgresql
from strongroom.errors import ExportError
from strongroom.exports import ownership, postgresql_facts, postgresql_privileges
from strongroom.exports.base import POSTGRESQL
from strongroom.exports.manifest import Manifest, Reader, Table, checked
from strongroom.exports.postgresql_connection import Connection, elements, quoted
from strongroom.exports.postgresql_run import run, statement
from strongroom.exports.postgresql_table import table_statements
from strongroom.exports.postgresql_temporary import PREFIX, session_of, temporary_role
from strongroom.exports.stream import Stream

_LARGE = re.compile(r"large-objects(-\d+)?\.sql")
_SETTING = re.compile(r"(?:role (.+) )?set (\S+)", re.DOTALL)
_CLOSED = "SELECT FROM pg_database WHERE datname = %s AND (datistemplate OR NOT datallowconn)"
_PATH = '"$user", public'

Fill = Callable[[Connection, str], list[str]]
Work = Callable[[Connection], list[str]]


def load(settings: Postgresql, database: str, sql: Iterator[bytes]) -> list[str]:
    """Replace what a database holds by a text that a stranger may have written; return what had to be left out."""

    return _replace(settings, database, {}, lambda session, path: run(session, Stream(sql), path), lambda root: [])


def load_export(settings: Postgresql, database: str, manifest: Manifest, read: Reader) -> list[str]:
    """Replace what a database holds by an export; return what had to be left out."""
    found = checked(manifest, read)
    larges = [file.path for file in manifest.files if _LARGE.fullmatch(file.path)]
    files = ["before.sql", *(table.file for table in manifest.tables), *larges, "after.sql"]

    def fill(session: Connection, path: str) -> list[str]:
        return [what for file in files for what in run(session, Stream(found(file)), path, of_export=True)]

    def settle(root: Connection) -> list[str]:
        return list(postgresql_privileges.apply(root, b"".join(found("privileges.sql")), manifest.superusers))

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
            root.run("GRANT CREATE ON SCHEMA {} TO {}", Identifier(schema), name)
            # Types and functions that the table needs may be in any of them.
            for (each,) in root.rows("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"):
                root.run("GRANT USAGE ON SCHEMA {} TO {}", Identifier(each), name)
            try:
                # Types and functions that the table needs are the live database's.
                with session_of(settings, role, database) as session:
                    for text in before:
                        statement(session, text, 1)
                    run(session, Stream(_renamed(found(table.file), old, new)), _PATH)
                    for text in after:
                        statement(session, text, 1)
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
    if ownership.is_servers(POSTGRESQL, database):
        raise ExportError(f"{POSTGRESQL}:{database} is the server's own; nothing is loaded into it")
    with Connection(settings) as root:
        live = postgresql_facts.attributes(root, database)
        if root.rows(_CLOSED, database):
            raise ExportError(f"{POSTGRESQL}:{database} is a template, or lets nobody in; nothing is loaded into it")
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
                    if extensions:
                        _lend_wrappers(inside, role[0])
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
        root.run("REVOKE ALL ON DATABASE {} FROM PUBLIC", Identifier(name))
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
    publics = [("", privilege, False) for privilege in attributes.get("public", "CONNECT TEMPORARY").split()]
    for grantee, privilege, grantable in grants if live else publics:
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
        to = SQL(", ").join(map(Literal, elements(name, value)))
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


def _lend_wrappers(root: Connection, role: str) -> None:
    """Let a role make foreign servers while it loads an export that may have some: of no text of a stranger's, and no more than
    a user of that wrapper may. What it was given goes with what it owns.
    """
    for (name,) in root.rows("SELECT fdwname FROM pg_foreign_data_wrapper"):
        root.run("GRANT USAGE ON FOREIGN DATA WRAPPER {} TO {}", Identifier(name), Identifier(role))
