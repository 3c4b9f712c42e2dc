"""PostgreSQL; see `strongroom.exports.base.DatabaseServer`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from strongroom.config import Postgresql
from strongroom.errors import ExportError
from strongroom.exports import (
    gate,
    ownership,
    postgresql_facts,
    postgresql_load,
    postgresql_mail,
    postgresql_run,
    postgresql_users,
)
from strongroom.exports.base import POSTGRESQL, Door, ExportFile, Owned
from strongroom.exports.export import Making, guarded
from strongroom.exports.manifest import Manifest, Reader
from strongroom.exports.names import joined
from strongroom.exports.postgresql_connection import Connection, door, program, system_user, tool_arguments
from strongroom.exports.postgresql_facts import Relation
from strongroom.exports.postgresql_split import CLUSTER_END, END, Data, Definitions, Part, Tail, text
from strongroom.exports.stream import Stream
from strongroom.exports.tool import Tool
from strongroom.model import GLOBALS, MAIL_MAP, MAIL_ROWS, Account, DatabaseCopy, Remark

_CUT = "the dump was cut short: its end mark is missing"
_OPTIONS = (
    "--encoding=UTF8",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--lock-wait-timeout=60000",
)


class PostgresqlServer:
    """One PostgreSQL server. ``command`` is the program that dumps, where it is not the usual one."""

    engine = POSTGRESQL

    def __init__(self, settings: Postgresql, command: str | None = None) -> None:
        self._settings, self._command = settings, command

    def version(self) -> str:
        """The server's version."""
        with Connection(self._settings) as connection:
            return connection.value("SHOW server_version")

    def door(self) -> Door:
        """How other programs come in."""
        return door(self._settings)

    def owned(self, account: Account, everyone: Sequence[Account], asked: Collection[str] = ()) -> Owned:
        """The databases with the account's prefix, and those that its administrator owns."""
        with Connection(self._settings) as connection:
            return ownership.owned(self.engine, account, everyone, postgresql_facts.databases(connection), asked)

    def owned_by_each(self, everyone: Sequence[Account]) -> dict[str, Owned]:
        """The databases of all accounts."""
        with Connection(self._settings) as connection:
            return ownership.of_each(self.engine, everyone, postgresql_facts.databases(connection))

    @contextmanager
    def export(self, database: str, previous: bytes | None = None) -> Iterator[PostgresqlExport]:
        """Open a database's transaction, and export its snapshot for the programs that dump."""
        with Connection(self._settings, database) as connection:
            yield PostgresqlExport(self._settings, self._command, database, connection, previous)

    def dump(self, database: str, *, broken_views: bool = False) -> Iterator[bytes]:
        """The whole database as one SQL text, without owners and privileges, as its owner could have made it. This server lets no
        view break.
        """
        with Connection(self._settings, database) as connection:
            command = self._command or _program(connection)
        options = ["--encoding=UTF8", "--no-owner", "--no-privileges", "--no-tablespaces"]
        try:
            yield from self._dumped([command, *options], database, END)
        except ExportError as error:
            raise ExportError(f"{self.engine}:{database}: {error}") from None

    def fault(self, sql: Iterator[bytes]) -> str:
        """Why a text could not be loaded."""
        tail = Tail(sql, END)
        return postgresql_run.fault(Stream(iter(tail)), lambda: tail.ended)

    def load(
        self, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
    ) -> list[str]:
        """Replace what a database holds by a text that a stranger may have written; where it fails, the live one is as it was."""
        return postgresql_load.load(self._settings, database, sql)

    def load_export(self, database: str, manifest: Manifest, read: Reader) -> list[str]:
        """Replace what a database holds by an export."""
        return postgresql_load.load_export(self._settings, database, manifest, read)

    def load_table(self, database: str, manifest: Manifest, read: Reader, table: str, into: str) -> list[str]:
        """Make one table of an export beside the live ones."""
        return postgresql_load.load_table(self._settings, database, manifest, read, manifest.table(table), into)

    def users(self, account: Account, everyone: Sequence[Account]) -> ExportFile:
        """The account's users, roles and grants on its databases."""
        return self._file(f"{self.engine}/users.sql".encode(), self._users(account, everyone))

    def load_users(self, account: Account, everyone: Sequence[Account], text: Iterator[bytes]) -> list[str]:
        """Make the account's users again."""
        own = partial(ownership.own_user, self.engine, account, everyone)
        databases = self.owned(account, everyone).names
        with Connection(self._settings) as connection:
            return postgresql_users.replay(connection, text, databases, own)

    def whole(self, made_elsewhere: Collection[bytes]) -> Iterator[ExportFile]:
        """All roles of the server, and the panel's map of mail where there is one."""
        if GLOBALS not in made_elsewhere:
            yield self._file(GLOBALS, self._globals())
        if MAIL_MAP not in made_elsewhere and self._maps_mail():
            yield self._file(MAIL_MAP, self._mail_map())

    def may_map_mail(self, account: Account) -> bool:
        """Whether it is an account of a panel."""
        return postgresql_mail.site_of(account) is not None

    def mail_rows(self, account: Account) -> ExportFile | None:
        """The account's domains and addresses of the panel's map of mail."""
        site = postgresql_mail.site_of(account)
        return self._file(MAIL_ROWS, self._mail_rows(site)) if site is not None and self._maps_mail() else None

    def load_mail_rows(self, account: Account, text: Iterator[bytes]) -> list[str]:
        """Put such rows back into the map."""
        site = postgresql_mail.site_of(account)
        if site is None or not self._maps_mail():
            raise ExportError(f"{account.name}: PostgreSQL has no panel's map of mail here that could have it")
        with Connection(self._settings, postgresql_mail.DATABASE) as connection:
            return postgresql_mail.load_rows(connection, site, text)

    def _file(self, path: bytes, pieces: Iterator[bytes]) -> ExportFile:
        file = ExportFile(path, iter(()))
        file.pieces = guarded(file, pieces)
        return file

    def _maps_mail(self) -> bool:
        with Connection(self._settings) as connection:
            return postgresql_mail.is_there(connection)

    def _mail_rows(self, site: int) -> Iterator[bytes]:
        with Connection(self._settings, postgresql_mail.DATABASE) as connection:
            yield from postgresql_mail.rows(connection, site)

    def _globals(self) -> Iterator[bytes]:
        with Connection(self._settings) as connection:
            command = _program(connection, "pg_dumpall")
        yield from self._dumped([command, "--globals-only"], "postgres", CLUSTER_END)

    def _mail_map(self) -> Iterator[bytes]:
        with Connection(self._settings, postgresql_mail.DATABASE) as connection:
            command, missing = self._command or _program(connection), postgresql_mail.missing(connection)
        if missing:
            raise ExportError(f"database {postgresql_mail.DATABASE} has no table {', '.join(missing)}")
        options = ["--encoding=UTF8", "--lock-wait-timeout=60000"]
        options += [f"--table=public.{table}" for table in postgresql_mail.TABLES]
        yield from self._dumped([command, *options], postgresql_mail.DATABASE, END)

    def _dumped(self, command: list[str], database: str, end: bytes) -> Iterator[bytes]:
        """What one of the server's programs writes. Raise ExportError unless all of it came."""
        with tool_arguments(self._settings, database) as (arguments, descriptors):
            with Tool([*command, *arguments], descriptors=descriptors, user=system_user(self._settings)) as tool:
                tail = Tail(tool.blocks(), end)
                yield from tail
                tool.finish()
                if not tail.ended:
                    raise ExportError(_CUT)

    def _users(self, account: Account, everyone: Sequence[Account]) -> Iterator[bytes]:
        own = partial(ownership.own_user, self.engine, account, everyone)
        databases = self.owned(account, everyone).names
        with Connection(self._settings) as connection:
            yield from postgresql_users.users(connection, databases, own)


class PostgresqlExport:
    """One database with its transaction open; see `strongroom.exports.base.Export`."""

    def __init__(
        self, settings: Postgresql, command: str | None, database: str, connection: Connection, previous: bytes | None
    ) -> None:
        self._settings, self._database, self._connection = settings, database, connection
        self._command = command or _program(connection)
        self.opened = time.time()
        connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((self._snapshot, position),) = connection.rows(
            "SELECT pg_export_snapshot(), "
            "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
        )
        self._making = Making(POSTGRESQL, database, self.opened, previous)
        self._making.position = position or ""
        self._privileges: list[bytes] = []

    @property
    def position(self) -> str:
        """The LSN."""
        return self._making.position

    def files(self) -> Iterator[ExportFile]:
        """What stands before the rows, the rows, what stands after them, the manifest."""
        try:
            yield from self._files()
        except ExportError as error:
            self._making.fail(str(error))

    def result(self) -> tuple[DatabaseCopy, tuple[Remark, ...]]:
        """The truth gate's verdict."""
        return self._making.result()

    def _files(self) -> Iterator[ExportFile]:
        making = self._making
        relations = postgresql_facts.relations(self._connection)
        # Each reads the whole catalog before it writes a word: all of them at once, and the rows wait in their pipe.
        with self._tool("data") as tool, self._tool("pre-data") as first, self._tool("post-data") as last:
            before, after = self._definitions(first), self._definitions(last)
            yield from making.offer("before.sql", [text(before.statements)])
            data = Data(tool.blocks())
            try:
                reasons = yield from self._rows(data, relations)
            except ExportError:
                tool.finish()
                raise
            tool.finish()
        if not data.ended:
            raise ExportError(_CUT)
        for reason in reasons:
            making.fail(reason)
        yield from making.offer("after.sql", [text(data.rest + after.statements)])
        yield from making.offer("privileges.sql", [text(self._privileges)])
        if before.large_objects != postgresql_facts.large_objects(self._connection):
            making.fail(f"{before.large_objects} large objects were exported, and the server has another number")
        yield from making.manifest(self._facts(making.facts(), relations))

    def _rows(self, data: Data, relations: tuple[Relation, ...]) -> Generator[ExportFile, None, list[str]]:
        """Offer the rows and large objects; return which tables are missing."""
        known = {relation.identity: relation for relation in relations if relation.kind == "r"}
        read: set[str] = set()
        larges = 0
        for part in data.parts():
            relation = known.get(part.identity)
            if part.identity and relation:
                path = f"tables/{joined(*relation.parts)}.sql"
                yield from self._making.offer(path, _whole(part, data))
                self._making.table(relation.name, relation.identity, path, data.rows)
            elif part.identity:
                yield from self._making.offer(f"tables/{joined(part.identity)}.sql", _whole(part, data))
            else:
                larges += 1
                name = "large-objects.sql" if larges == 1 else f"large-objects-{larges}.sql"
                yield from self._making.offer(name, _whole(part, data))
            read.add(part.identity)
        return gate.missing(known, read - {""})

    def _definitions(self, tool: Tool) -> Definitions:
        found = Definitions(tool.blocks())
        tool.finish()
        if not found.ended:
            raise ExportError(_CUT)
        self._privileges += found.privileges
        return found

    @contextmanager
    def _tool(self, section: str) -> Iterator[Tool]:
        options = [*_OPTIONS, f"--section={section}", f"--snapshot={self._snapshot}"]
        with tool_arguments(self._settings, self._database) as (arguments, descriptors):
            command = [self._command, *options, *arguments]
            with Tool(command, descriptors=descriptors, user=system_user(self._settings)) as tool:
                yield tool

    def _facts(self, known: Manifest, relations: tuple[Relation, ...]) -> Manifest:
        connection = self._connection
        return msgspec.structs.replace(
            known,
            server=connection.value("SHOW server_version"),
            attributes=postgresql_facts.attributes(connection, self._database),
            views=tuple(relation.name for relation in relations if relation.kind in "vm"),
            foreign_keys=postgresql_facts.foreign_keys(connection),
            extensions=postgresql_facts.extensions(connection),
            superusers=postgresql_facts.superusers(connection),
        )


def _program(connection: Connection, name: str = "pg_dump") -> str:
    return program(name, int(connection.value("SHOW server_version_num")) // 10000)


def _whole(part: Part, data: Data) -> Iterator[bytes]:
    yield from part.pieces
    if data.cut:
        raise ExportError(_CUT + (f", in table {part.identity}" if part.identity else ", in the large objects"))
