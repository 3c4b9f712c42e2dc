"""Connections to a PostgreSQL server, and what its programs need to come in by the same door."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Composable

from strongroom.config import Postgresql
from strongroom.errors import ExportError
from strongroom.exports.base import Door
from strongroom.exports.system_user import acting_as
from strongroom.exports.tool import secret, secret_file

_CONNECT_SECONDS = 15
# Where the packages of Debian and of PostgreSQL itself put the programs of each version.
_PROGRAMS = (("/usr/lib/postgresql", "{}/bin"), ("/usr", "pgsql-{}/bin"))

# Settings that are lists of names.
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}


class Connection:
    """One session, each statement by itself unless told otherwise. Every error is an ExportError of one line."""

    def __init__(
        self, settings: Postgresql, database: str = "postgres", *, user: tuple[str, str] | None = None
    ) -> None:
        """Come in as the configured user, or as ``user`` with that password."""
        name, password = user or (settings.user, secret(settings.password_file) if settings.password_file else "")
        try:
            with acting_as(None if user else system_user(settings)):
                self._connection = psycopg.connect(
                    host=settings.host,
                    port=settings.port,
                    user=name,
                    password=password or None,
                    dbname=database,
                    autocommit=True,
                    connect_timeout=_CONNECT_SECONDS,
                    client_encoding="utf8",
                    # Root finds nothing by a name that a stranger could have planted.
                    options="" if user else "-c search_path=",
                )
        except psycopg.Error as error:
            raise ExportError(f"PostgreSQL server at {where(settings)} cannot be reached: {line(error)}") from None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The driver's own connection; its errors are the driver's."""
        return self._connection

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives."""
        try:
            return self._connection.execute(query.encode(), values or None).fetchall()
        except psycopg.Error as error:
            raise ExportError(f"PostgreSQL server: {line(error)}") from None

    def value(self, query: str, *values: object) -> str:
        """The first value of the first row as text; empty for none."""
        found = self.rows(query, *values)
        return str(found[0][0]) if found and found[0][0] is not None else ""

    def run(self, statement: str, *parts: Composable) -> None:
        """Run one statement; each ``{}`` in it becomes a part, quoted as what it is."""
        try:
            self._connection.execute(SQL(statement).format(*parts) if parts else SQL(statement))
        except psycopg.Error as error:
            raise ExportError(f"PostgreSQL server: {line(error)}") from None

    def run_text(self, statement: str) -> None:
        """Run one statement as it stands."""
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as error:
            raise ExportError(f"PostgreSQL server: {line(error)}") from None


def system_user(settings: Postgresql) -> str | None:
    """The system's user to come to the server's socket as; None by network, or where a password is asked for."""
    return settings.user if settings.host.startswith("/") and not settings.password_file else None


def door(settings: Postgresql) -> Door:
    """How other programs come to the server."""
    local = settings.host.startswith("/")
    return Door(
        user=settings.user,
        password=secret(settings.password_file) if settings.password_file else "",
        host="localhost" if local else settings.host,
        port=settings.port,
        socket=settings.host if local else "",
    )


def where(settings: Postgresql) -> str:
    """The server's address in messages."""
    return f"{settings.host}:{settings.port}"


@contextmanager
def tool_arguments(settings: Postgresql, database: str) -> Iterator[tuple[list[str], list[int]]]:
    """The first arguments of one of the server's programs, and the descriptors it must inherit.

    A password is in neither: it is in a file of memory alone, which only that program inherits.
    """
    place = {"host": settings.host, "port": str(settings.port), "user": settings.user, "dbname": database}
    if not settings.password_file:
        yield ["--no-password", f"--dbname={make_conninfo('', **place)}"], []
        return
    password = re.sub(r"([\\:])", r"\\\1", secret(settings.password_file))
    with secret_file(f"*:*:*:*:{password}\n".encode()) as (descriptor, path):
        yield ["--no-password", f"--dbname={make_conninfo('', passfile=path, **place)}"], [descriptor]


def program(name: str, version: int) -> str:
    """The program of this name from the oldest installed PostgreSQL that is not older than the server's major version."""
    found = []
    for folder, below in _PROGRAMS:
        for path in Path(folder).glob(below.format("*") + f"/{name}"):
            number = re.search(r"(\d+)/bin", str(path))
            if number and int(number[1]) >= version and os.access(path, os.X_OK):
                found.append((int(number[1]), str(path)))
    if found:
        return min(found)[1]
    usual = shutil.which(name)
    if not usual:
        raise ExportError(f"{name} is not installed; install the client programs of PostgreSQL {version}")
    return usual


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as a literal of SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in value else f"'{escaped}'"


def elements(setting: str, value: str) -> list[str]:
    """What a setting is set to, as the server keeps it. Lists are kept as they are spelled, names in quotes: as one text they
    would be one name.
    """
    return next(csv.reader([value], skipinitialspace=True)) if setting in _LISTS and value else [value]


def line(error: Exception) -> str:
    """An error of the driver as one line."""
    return " ".join(str(error).split()) or type(error).__name__
