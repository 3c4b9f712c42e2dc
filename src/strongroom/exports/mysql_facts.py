"""What a MariaDB or MySQL server knows of its databases, apart from their content."""

from __future__ import annotations

import re

from strongroom.exports import ownership
from strongroom.exports.base import MYSQL
from strongroom.exports.manifest import Definer, ForeignKey
from strongroom.exports.mysql_connection import Connection, quoted
from strongroom.exports.mysql_dump import Item

_ESCAPED = re.compile(r"\\(.)")
_WILDCARD = re.compile(r"(?<!\\)(?:\\\\)*[_%]")


def databases(connection: Connection) -> dict[str, set[str]]:
    """Every database but the server's own, with the users whom a grant on it names."""
    found: dict[str, set[str]] = {}
    for (name,) in connection.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"):
        if not ownership.is_servers(MYSQL, name):
            found[name] = set()
    for pattern, user in connection.rows("SELECT Db, User FROM mysql.db"):
        name = unescaped(pattern)
        if name in found:
            found[name].add(user)
    return found


def unescaped(pattern: str) -> str:
    """The database that a grant's pattern means, when it means one alone; where ``_`` was not escaped, as it stands."""
    return _ESCAPED.sub(r"\1", pattern)


def attributes(connection: Connection, database: str) -> dict[str, str]:
    """Character set and collation of a database; empty when there is none of that name."""
    found = connection.rows(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
        database,
    )
    return dict(zip(("character_set", "collation"), found[0], strict=True)) if found else {}


def definers(connection: Connection, database: str) -> tuple[Definer, ...]:
    """As whom the views, triggers, routines and events of a database run."""
    found = connection.rows(
        "SELECT 'view', TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s "
        "UNION ALL SELECT 'trigger', TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s "
        "UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES "
        "WHERE ROUTINE_SCHEMA = %s "
        "UNION ALL SELECT 'event', EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s",
        *[database] * 4,
    )
    return tuple(Definer(kind=kind, name=name, user=user) for kind, name, user in sorted(found))


def foreign_keys(connection: Connection, database: str) -> tuple[ForeignKey, ...]:
    """The foreign keys between a database's tables."""
    found = connection.rows(
        "SELECT CONSTRAINT_NAME, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME "
        "FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_NAME IS NOT NULL "
        "ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
        database,
    )
    keys: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for name, table, column, referenced, referenced_column in found:
        keys.setdefault((name, table, referenced), []).append((column, referenced_column))
    return tuple(
        ForeignKey(
            name=name,
            table=table,
            columns=tuple(column for column, _ in columns),
            referenced=referenced,
            referenced_columns=tuple(column for _, column in columns),
        )
        for (name, table, referenced), columns in keys.items()
    )


def rounded(connection: Connection, database: str) -> tuple[str, ...]:
    """The tables with values that the server writes as text with fewer digits than they have: it gives a FLOAT six."""
    columns = connection.rows(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS JOIN information_schema.TABLES "
        "USING (TABLE_SCHEMA, TABLE_NAME) WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW' AND DATA_TYPE = 'float' "
        "AND NUMERIC_SCALE IS NULL ORDER BY TABLE_NAME, ORDINAL_POSITION",
        database,
    )
    wanted: dict[str, list[str]] = {}
    for table, column in columns:
        name = quoted(column)
        wanted.setdefault(table, []).append(f"{name} <> CAST(CAST({name} AS CHAR) AS FLOAT)")
    return tuple(
        table
        for table, tests in wanted.items()
        if connection.rows(f"SELECT 1 FROM {quoted(table)} WHERE {' OR '.join(tests)} LIMIT 1")  # noqa: S608
    )


def unloadable(connection: Connection, found: tuple[Item, ...]) -> dict[str, str]:
    """The definitions of views that the server cannot use any more, so that they are not lost."""
    broken = (item.name for item in found if item.broken)
    return {name: str(connection.rows(f"SHOW CREATE VIEW {quoted(name)}")[0][1]) for name in broken}
