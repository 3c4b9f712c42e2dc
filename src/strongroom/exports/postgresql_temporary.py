"""Roles of a PostgreSQL server who live for one task and may touch one database alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from psycopg.sql import Identifier, Literal

from strongroom.config import Postgresql
from strongroom.exports.postgresql_connection import Connection

PREFIX = "strongroom_"
_LIFE = timedelta(days=2)


@contextmanager
def temporary_role(root: Connection) -> Iterator[tuple[str, str]]:
    """Such a role's name and password. What it still owns in other databases than ``root``'s keeps it from going."""
    name, password = PREFIX + secrets.token_hex(6), secrets.token_hex(24)
    until = (datetime.now(UTC) + _LIFE).isoformat()
    root.run(
        "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {} VALID UNTIL {}",
        Identifier(name),
        Literal(password),
        Literal(until),
    )
    try:
        yield name, password
    finally:
        root.run("DROP ROLE IF EXISTS {}", Identifier(name))


def session_of(settings: Postgresql, role: tuple[str, str], database: str) -> Connection:
    """A session of a temporary role."""
    return Connection(settings, database, user=role)
