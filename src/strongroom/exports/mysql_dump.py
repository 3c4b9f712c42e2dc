"""One `mariadb-dump` at work: what it is asked for, when its transaction opened, and locks for what has no transactions."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports.mysql_connection import Connection, quoted, tool_arguments
from strongroom.exports.tool import Tool

# Told on standard error, which no buffer holds back: before the transaction is opened, and after.
_OPENING = b"-- Starting transaction"
_OPEN = b"-- Setting savepoint"
_TABLE = b"-- Retrieving table structure for table "
_READ = b"-- Releasing savepoint"

_ATTEMPTS = 3
_LOCK_SECONDS = 60
_COMMON = (
    # Said aloud, since a defaults_file may say otherwise.
    "--opt",
    "--skip-lock-tables",
    "--single-transaction",
    "--quick",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--tz-utc",
    "--skip-add-locks",
    "--skip-dump-date",
    "--comments",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
    "--verbose",
)
# A line for each row: what has not changed is the same bytes, wherever other rows come and go.
_ROW_BY_ROW = ("--skip-extended-insert",)

_OTHERS_DATA = ("MRG_MYISAM", "MRG_ISAM", "MERGE", "FEDERATED")


class Item(NamedTuple):
    """Something in a database that stands in the dump's list of tables.

    ``kind`` is ``table``, ``view`` or ``sequence``; ``transactional`` whether its rows belong to the transaction; ``rows``
    whether it has any of its own; ``broken`` why the server cannot use it (a view on what is gone);
    ``history`` whether it keeps old rows.
    """

    name: str
    kind: str
    transactional: bool = True
    rows: bool = True
    broken: str = ""
    history: bool = False


class Dump(NamedTuple):
    """A dump whose transaction is open since ``opened`` (seconds since 1970, never later than it was).

    ``located`` is False where the server has a binary log and could not say where it stood.
    """

    blocks: Iterator[bytes]
    items: tuple[Item, ...]
    opened: float
    tool: Tool
    located: bool = True


def program() -> str:
    """The program that dumps: MariaDB's own name for it, else the older one."""
    found = shutil.which("mariadb-dump") or shutil.which("mysqldump")
    if not found:
        raise ExportError("neither mariadb-dump nor mysqldump is installed; install the MariaDB client programs")
    return found


def items(connection: Connection, database: str) -> tuple[Item, ...]:
    """What the server has in a database now: first what is without transactions, then the rest, views last."""
    found = connection.rows(
        "SELECT t.TABLE_NAME, t.TABLE_TYPE, COALESCE(e.TRANSACTIONS, 'NO'), COALESCE(t.ENGINE, '') "
        "FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE "
        "WHERE t.TABLE_SCHEMA = %s",
        database,
    )
    known = (_item(connection, *row) for row in found)
    return tuple(sorted(known, key=lambda item: (item.kind == "view", item.transactional, item.name)))


def _item(connection: Connection, name: str, kind: str, transactions: str, engine: str) -> Item:
    if kind.endswith("VIEW"):
        return Item(name, "view", broken=_broken(connection, name))
    if kind == "SEQUENCE":
        return Item(name, "sequence")
    return Item(
        name, "table", transactions == "YES", engine.upper() not in _OTHERS_DATA, history=kind == "SYSTEM VERSIONED"
    )


def _broken(connection: Connection, view: str) -> str:
    """Why the server cannot use a view; empty when it can."""
    try:
        connection.rows(f"SHOW FIELDS FROM {quoted(view)}")
    except ExportError as error:
        return str(error)
    return ""


@contextmanager
def opened(settings: Mysql, database: str, command: str, *, row_by_row: bool) -> Iterator[Dump]:
    """Open a database's transaction. Tables of engines without transactions stay locked against writers until they are read.

    Raise ExportError when the server or the program does not do its part, or tables come and go too fast.
    """
    located = True
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack:
            connection = stack.enter_context(Connection(settings, database=database))
            before = items(connection, database)
            lock = _Lock(settings, database, before)
            stack.callback(lock.release)
            start = stack.enter_context(
                _start(settings, connection, database, command, before, lock, row_by_row=row_by_row, located=located)
            )
            if located and row_by_row and start.tool.crashed:
                # It asks where the log stands, and does not survive that the server cannot say: an event in the log is
                # longer than `max_allowed_packet` is now.
                located = False
                continue
            if items(connection, database) == before:
                yield Dump(start.tool.blocks(), before, start.opening, start.tool, located)
                return
    raise ExportError(
        f"tables of mysql:{database} came or went during each of {_ATTEMPTS} attempts to begin its export"
    )


class _Start:
    """What is heard of the program."""

    def __init__(self, lock: _Lock) -> None:
        self.tool: Tool
        self.opening = time.time()
        self.open = threading.Event()
        self._lock = lock

    def hear(self, line: bytes) -> None:
        if line.startswith(_OPENING):
            self.opening = time.time()
        elif line.startswith(_OPEN):
            self.open.set()
        elif line.startswith(_READ):
            self._lock.release()
        elif line.startswith(_TABLE):
            self._lock.release_at(line[len(_TABLE) :].rstrip(b".\n"))


@contextmanager
def _start(
    settings: Mysql,
    connection: Connection,
    database: str,
    command: str,
    found: Sequence[Item],
    lock: _Lock,
    *,
    row_by_row: bool,
    located: bool,
) -> Iterator[_Start]:
    options = [*_COMMON, *(_ROW_BY_ROW if row_by_row else ())]
    if row_by_row and located and connection.value("SELECT @@log_bin") == "1":
        options += ["--master-data=2", "--gtid"]
    names = [item.name for item in found if not item.broken]
    if not names:
        # Without names the program takes all there is.
        options += [f"--ignore-table={database}.{item.name}" for item in found]
    # A name could look like an option.
    arguments = ["--", database, *names]
    start = _Start(lock)
    with tool_arguments(settings) as (first, descriptors):
        with Tool([command, *first, *options, *arguments], descriptors=descriptors, heard=start.hear) as tool:
            start.tool = tool
            tool.wait_for(start.open)
            yield start


class _Lock:
    """Tables of engines without transactions, locked against writers by a session of its own; no other table is."""

    def __init__(self, settings: Mysql, database: str, found: Sequence[Item]) -> None:
        self._names = [item.name for item in found if item.kind == "table" and not item.transactional]
        self._bytes = {name.encode() for name in self._names}
        self._connection: Connection | None = None
        if self._names:
            self._connection = Connection(settings, database=database)
            self._connection.run(f"SET lock_wait_timeout = {_LOCK_SECONDS}")
            self._connection.run("LOCK TABLES " + ", ".join(f"{quoted(name)} READ" for name in self._names))

    def release_at(self, table: bytes) -> None:
        """The dump has come to this table; those that are locked come first."""
        if table not in self._bytes:
            self.release()

    def release(self) -> None:
        """Let the writers go on."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()
