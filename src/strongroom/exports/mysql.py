"""MariaDB and MySQL; see `strongroom.exports.base.DatabaseServer`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports import gate, mysql_facts, mysql_fault, mysql_grants, mysql_load, mysql_users, ownership
from strongroom.exports.base import MYSQL, Door, ExportFile, Owned
from strongroom.exports.export import Making, guarded
from strongroom.exports.manifest import Manifest, Reader
from strongroom.exports.mysql_connection import Connection, door, quoted
from strongroom.exports.mysql_dump import Dump, Item, opened, program
from strongroom.exports.mysql_split import END, MODE, Rows, Split
from strongroom.exports.names import file_name
from strongroom.exports.stream import Stream
from strongroom.model import GRANTS, Account, DatabaseCopy, Remark

_CUT = "the dump was cut short: its end mark is missing"
_SANDBOX = b"/*M!999999\\-"
_HEAD_LINES = 20
_TOOLS_MODE = b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"


class MysqlServer:
    """One MariaDB or MySQL server. ``command`` is the program that dumps, where it is not the usual one."""

    engine = MYSQL

    def __init__(self, settings: Mysql, command: str | None = None) -> None:
        self._settings, self._command = settings, command

    def version(self) -> str:
        """The server's version."""
        with Connection(self._settings) as connection:
            return connection.value("SELECT VERSION()")

    def door(self) -> Door:
        """How other programs come in."""
        return door(self._settings)

    def owned(self, account: Account, everyone: Sequence[Account], asked: Collection[str] = ()) -> Owned:
        """The databases with the account's prefix, and those granted to its administrator."""
        with Connection(self._settings) as connection:
            return ownership.owned(self.engine, account, everyone, mysql_facts.databases(connection), asked)

    def owned_by_each(self, everyone: Sequence[Account]) -> dict[str, Owned]:
        """The databases of all accounts."""
        with Connection(self._settings) as connection:
            return ownership.of_each(self.engine, everyone, mysql_facts.databases(connection))

    @contextmanager
    def export(self, database: str, previous: bytes | None = None) -> Iterator[MysqlExport]:
        """Open a database's transaction."""
        command = self._command or program()
        with opened(self._settings, database, command, row_by_row=True) as dump:
            yield MysqlExport(self._settings, database, dump, previous)

    def dump(self, database: str, *, broken_views: bool = False) -> Iterator[bytes]:
        """The whole database as one SQL text."""
        with opened(self._settings, database, self._command or program(), row_by_row=False) as dump:
            broken = [item.name for item in dump.items if item.broken]
            stream = Stream(dump.blocks)
            for _ in range(_HEAD_LINES):
                line = stream.line()
                # Clients other than MariaDB's newer ones do not know the first line, and take it for an error.
                if not line.startswith(_SANDBOX):
                    yield line.replace(_TOOLS_MODE, b"SQL_MODE=" + MODE)
            tail = b""
            for piece in stream.rest():
                tail = (tail + piece)[-200:]
                yield piece
            dump.tool.finish()
            if END not in tail:
                raise ExportError(f"{self.engine}:{database}: {_CUT}")
            if broken and not broken_views:
                raise ExportError(f"{self.engine}:{database}: views that the server cannot use: {', '.join(broken)}")
            if broken:
                yield from self._as_comments(database, dump)

    def _as_comments(self, database: str, dump: Dump) -> Iterator[bytes]:
        with Connection(self._settings, database=database) as connection:
            found = mysql_facts.unloadable(connection, dump.items)
        for definition in found.values():
            yield f"-- A view that the server could not use: {' '.join(definition.split())}\n".encode()

    def fault(self, sql: Iterator[bytes]) -> str:
        """Why a text could not be loaded."""
        return mysql_fault.fault(sql)

    def load(
        self, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
    ) -> list[str]:
        """Replace what a database holds by a text that a stranger may have written."""
        return mysql_load.load(self._settings, database, sql, before)

    def load_export(self, database: str, manifest: Manifest, read: Reader) -> list[str]:
        """Replace what a database holds by an export."""
        return mysql_load.load_export(self._settings, database, manifest, read)

    def load_table(self, database: str, manifest: Manifest, read: Reader, table: str, into: str) -> list[str]:
        """Make one table of an export beside the live ones."""
        return mysql_load.load_table(self._settings, database, manifest, read, manifest.table(table), into)

    def users(self, account: Account, everyone: Sequence[Account]) -> ExportFile:
        """The account's users, roles and grants on its databases."""
        file = ExportFile(f"{self.engine}/users.sql".encode(), iter(()))
        file.pieces = guarded(file, self._users(account, everyone))
        return file

    def load_users(self, account: Account, everyone: Sequence[Account], text: Iterator[bytes]) -> list[str]:
        """Make the account's users again."""
        own = partial(ownership.own_user, self.engine, account, everyone)
        databases = self.owned(account, everyone).names
        with Connection(self._settings) as connection:
            return mysql_users.replay(connection, text, databases, own)

    def whole(self, made_elsewhere: Collection[bytes]) -> Iterator[ExportFile]:
        """All users, roles and grants of the server."""
        if GRANTS not in made_elsewhere:
            file = ExportFile(GRANTS, iter(()))
            file.pieces = guarded(file, self._grants())
            yield file

    def may_map_mail(self, account: Account) -> bool:
        """The panel keeps its map of mail in PostgreSQL."""
        return False

    def mail_rows(self, account: Account) -> ExportFile | None:
        """None: the panel keeps its map of mail in PostgreSQL."""
        return None

    def load_mail_rows(self, account: Account, text: Iterator[bytes]) -> list[str]:
        """Refused."""
        raise ExportError("a panel's map of mail is in PostgreSQL, not in MySQL")

    def _grants(self) -> Iterator[bytes]:
        with Connection(self._settings) as connection:
            yield from mysql_grants.grants(connection)

    def _users(self, account: Account, everyone: Sequence[Account]) -> Iterator[bytes]:
        own = partial(ownership.own_user, self.engine, account, everyone)
        databases = self.owned(account, everyone).names
        with Connection(self._settings) as connection:
            yield from mysql_users.users(connection, databases, own)


class MysqlExport:
    """One database with its transaction open; see `strongroom.exports.base.Export`."""

    def __init__(self, settings: Mysql, database: str, dump: Dump, previous: bytes | None) -> None:
        self._settings, self._database, self._dump = settings, database, dump
        self._making = Making(MYSQL, database, dump.opened, previous)
        self.opened = dump.opened

    @property
    def position(self) -> str:
        """The binary log's file and position, and the GTID; known once all was read, empty without a binary log."""
        return self._making.position

    def files(self) -> Iterator[ExportFile]:
        """Rows, then what stands before and after them, then the manifest."""
        try:
            yield from self._files()
        except ExportError as error:
            self._making.fail(self._reason(error))

    def result(self) -> tuple[DatabaseCopy, tuple[Remark, ...]]:
        """The truth gate's verdict."""
        return self._making.result()

    def _files(self) -> Iterator[ExportFile]:
        split, making = Split(self._dump.blocks), self._making
        read = []
        for table in split.tables():
            path = f"tables/{file_name(table.name)}.sql"
            yield from making.offer(path, self._whole(table, split))
            making.table(table.name, quoted(table.name), path, split.rows)
            read.append(table.name)
        self._dump.tool.finish()
        if not split.ended:
            raise ExportError(_CUT)
        making.position = split.position
        if not self._dump.located:
            making.warn("the server could not say where its binary log stood, so that no position is known")
        yield from making.offer("before.sql", [split.before])
        yield from making.offer("after.sql", [split.after])
        for reason in _differences(self._dump.items, read, split):
            making.fail(reason)
        for item in self._dump.items:
            if item.history:
                making.warn(
                    f"table {item.name} keeps a history of its rows, which is not exported; its rows of now are"
                )
        yield from making.manifest(self._facts(making.facts()))

    def _whole(self, table: Rows, split: Split) -> Iterator[bytes]:
        yield from table.pieces
        if split.cut:
            raise ExportError(f"{_CUT}, in table {table.name}")

    def _reason(self, error: ExportError) -> str:
        """What the program said of its end tells more than that its text has none."""
        try:
            self._dump.tool.finish()
        except ExportError as said:
            return str(said)
        return str(error)

    def _facts(self, known: Manifest) -> Manifest:
        with Connection(self._settings, database=self._database) as connection:
            for table in mysql_facts.rounded(connection, self._database):
                self._making.warn(
                    f"table {table} has values of type FLOAT with more than the six digits that the server writes of them"
                )
            return msgspec.structs.replace(
                known,
                server=connection.value("SELECT VERSION()"),
                attributes=mysql_facts.attributes(connection, self._database),
                views=tuple(item.name for item in self._dump.items if item.kind == "view" and not item.broken),
                foreign_keys=mysql_facts.foreign_keys(connection, self._database),
                definers=mysql_facts.definers(connection, self._database),
                unloadable=mysql_facts.unloadable(connection, self._dump.items),
            )


def _differences(items: tuple[Item, ...], read: list[str], split: Split) -> Iterator[str]:
    """Why a dump that ended well does not hold what the server had when its transaction was opened."""
    yield from (f"view {item.name}: {item.broken}" for item in items if item.broken)
    tables = {item.name for item in items if item.kind != "view"}
    yield from gate.missing(tables, split.created)
    rows = {item.name for item in items if item.kind == "table" and item.rows}
    yield from gate.missing(rows & split.created, split.created.intersection(read), "rows of tables")
    yield from gate.missing(
        (item.name for item in items if item.kind == "view" and not item.broken), split.views, "views"
    )
