"""Connections to a MariaDB or MySQL server, and what its programs need to come in by the same door."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports.base import Door
from strongroom.exports.mysql_options import options
from strongroom.exports.tool import secret, secret_file

_CONNECT_SECONDS = 15
# Whatever a server's defaults are: names are quoted in the one way that is read here, and no session ends, or loses its locks,
# since it waits for another.
_SESSION = (
    "SET sql_mode = '', sql_quote_show_create = 1, sql_select_limit = 18446744073709551615, "
    "wait_timeout = 86400, net_read_timeout = 3600, net_write_timeout = 3600 /*M!, max_statement_time = 0 */"
)


class Connection:
    """One session. Every error of the server is an ExportError of one line."""

    def __init__(self, settings: Mysql, *, database: str | None = None, user: tuple[str, str] | None = None) -> None:
        """Come in as the configured user, or as ``user`` with that password."""
        try:
            self._connection = pymysql.connect(
                **_place(settings),
                **_credentials(settings, user),
                database=database,
                charset="utf8mb4",
                autocommit=True,
                init_command=_SESSION,
                connect_timeout=_CONNECT_SECONDS,
                # One statement at a time, and no file of ours for a server that asks for one.
                client_flag=CLIENT.MULTI_RESULTS,
                local_infile=False,
                max_allowed_packet=1 << 30,
            )
        except (pymysql.MySQLError, OSError, RuntimeError) as error:
            raise ExportError(f"MySQL server at {where(settings)} cannot be reached: {_line(error)}") from None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and with it its locks; once is enough."""
        try:
            self._connection.close()
        except (pymysql.MySQLError, OSError):
            pass

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return list(cursor.fetchall())
        except (pymysql.MySQLError, OSError) as error:
            raise ExportError(f"MySQL server: {_line(error)}") from None

    def value(self, query: str, *values: object) -> str:
        """The first value of the first row as text; empty for none."""
        found = self.rows(query, *values)
        return str(found[0][0]) if found and found[0][0] is not None else ""

    def comment(self, statement: str, comment: str) -> None:
        """Run a statement that ends with a comment: it takes a literal alone, which is spelled by what the session's mode says of
        backslashes.
        """
        self.rows(statement.replace("%", "%%") + " COMMENT %s", comment)

    def run(self, statement: str | bytes) -> None:
        """Run one statement, and read and forget whatever it gives."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                while cursor.nextset():
                    pass
        except (pymysql.MySQLError, OSError) as error:
            raise ExportError(f"MySQL server: {_line(error)}") from None

    def drop(self, kind: str, name: str) -> None:
        """Drop what there is of this kind (``TABLE``, ``VIEW`` …) and name, which is quoted."""
        if not kind.startswith("PACKAGE"):
            self.run(f"DROP {kind} IF EXISTS {name}")
            return
        # Packages are known in Oracle's mode alone.
        mode = self.value("SELECT @@sql_mode")
        self.run("SET sql_mode = 'ORACLE'")
        self.run(f"DROP {kind} IF EXISTS {name}")
        self.run(f"SET sql_mode = {literal(mode)}")


def where(settings: Mysql) -> str:
    """The server's address in messages."""
    if settings.host:
        return f"{settings.host}:{settings.port}"
    return os.fsdecode(settings.socket) if settings.socket else "its usual socket"


@contextmanager
def tool_arguments(settings: Mysql) -> Iterator[tuple[list[str], list[int]]]:
    """The first arguments of one of the server's programs, and the descriptors it must inherit.

    A password is in neither: it is in a file of memory alone, which only that program inherits.
    """
    if settings.defaults_file:
        yield [f"--defaults-file={os.fsdecode(settings.defaults_file)}", *_address(settings)], []
        return
    if not settings.password_file:
        yield ["--no-defaults", f"--user={settings.user}", *_address(settings)], []
        return
    password = secret(settings.password_file).replace("\\", "\\\\").replace('"', '\\"')
    with secret_file(f'[client]\nuser="{settings.user}"\npassword="{password}"\n'.encode()) as (descriptor, path):
        yield [f"--defaults-file={path}", *_address(settings)], [descriptor]


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """A text as a literal of SQL, whatever the session's mode says of backslashes."""
    return f"CONVERT(0x{value.encode().hex()} USING utf8mb4)" if "\\" in value else "'" + value.replace("'", "''") + "'"


def account(user: str, host: str) -> str:
    """A user of the server as SQL spells it: both parts are identifiers."""
    return f"{quoted(user)}@{quoted(host)}"


def pattern(database: str) -> str:
    """A database's name as a grant spells it, where ``_`` and ``%`` would be wildcards."""
    return quoted(database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


def _place(settings: Mysql) -> dict[str, Any]:
    if settings.host:
        return {"host": settings.host, "port": settings.port}
    if settings.socket:
        return {"unix_socket": os.fsdecode(settings.socket)}
    told = options(settings.defaults_file) if settings.defaults_file else {}
    if told.get("host", "localhost") != "localhost":
        return {"host": told["host"], "port": int(told.get("port", "3306"))}
    usual = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108  (as its tools do)
    return {"unix_socket": told.get("socket") or next((path for path in usual if os.path.exists(path)), usual[0])}


def _address(settings: Mysql) -> Sequence[str]:
    if settings.host:
        return [f"--host={settings.host}", f"--port={settings.port}", "--protocol=tcp"]
    return [f"--socket={os.fsdecode(settings.socket)}"] if settings.socket else []


def _credentials(settings: Mysql, user: tuple[str, str] | None) -> dict[str, Any]:
    if user:
        name, password = user
    elif settings.defaults_file:
        told = options(settings.defaults_file)
        name, password = told.get("user", settings.user), told.get("password", "")
    else:
        name, password = settings.user, secret(settings.password_file) if settings.password_file else ""
    # As bytes: of a text the driver would make Latin-1.
    return {"user": name, "password": password.encode()}


def door(settings: Mysql) -> Door:
    """How other programs come to the server."""
    place, known = _place(settings), _credentials(settings, None)
    return Door(
        user=known["user"],
        password=known["password"].decode(),
        host=place.get("host", "localhost"),
        port=place.get("port", settings.port),
        socket=place.get("unix_socket", ""),
    )


def _line(error: Exception) -> str:
    """An error of the driver as one line: what the server said, then its number."""
    if len(error.args) == 2 and isinstance(error.args[0], int):
        return f"{' '.join(str(error.args[1]).split())} ({error.args[0]})"
    return " ".join(str(error).split()) or type(error).__name__
