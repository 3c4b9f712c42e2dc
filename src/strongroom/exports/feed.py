"""All databases of one account as one sequence of files: what a run reads, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from strongroom.config import Config
from strongroom.errors import ExportError
from strongroom.exports import ownership
from strongroom.exports.base import DatabaseServer, ExportFile
from strongroom.exports.export import remark
from strongroom.exports.manifest import NAME
from strongroom.exports.names import file_name
from strongroom.model import Account, DatabaseCopy, Exported, Remark, Status

Previous = Callable[[str, str], bytes | None]


def servers(config: Config) -> list[DatabaseServer]:
    """The database servers that the configuration has; their drivers are loaded only where there is one."""
    found: list[DatabaseServer] = []
    if config.databases.mysql:
        from strongroom.exports.mysql import MysqlServer

        found.append(MysqlServer(config.databases.mysql))
    if config.databases.postgresql:
        from strongroom.exports.postgresql import PostgresqlServer

        found.append(PostgresqlServer(config.databases.postgresql))
    return found


class AccountExports:
    """The exports of one account's databases, one after the other; one that fails stops no other.

    ``everyone`` are all accounts of the server, by whose prefixes it is known whose a database is. ``previous`` gives the last
    complete export's manifest of a database, by engine and name. Read `files` to the end, then ask for `result`.
    """

    def __init__(
        self, account: Account, everyone: Sequence[Account], servers: Sequence[DatabaseServer], previous: Previous
    ) -> None:
        self._account, self._everyone, self._servers, self._previous = account, everyone, servers, previous
        self._copies: list[DatabaseCopy] = []
        self._remarks: list[Remark] = []
        self._started: float | None = None
        self._complete = True
        self.opened: float | None = None

    def files(self) -> Iterator[ExportFile]:
        """Each file, to be read to its end before the next is asked for."""
        if not self._account.claims:
            return
        self._started = time.time()
        for server in self._servers:
            yield from self._engine(server)
        for engine in sorted(
            {claim.engine for claim in self._account.claims} - {server.engine for server in self._servers}
        ):
            for name in ownership.known(engine, self._account):
                self._lost(engine, name, f"there is no [databases.{engine}] in the configuration")

    def result(self) -> Exported:
        """What came of it all."""
        return Exported(
            databases=tuple(self._copies),
            opened=self.opened,
            started=self._started,
            remarks=tuple(self._remarks),
            complete=self._complete,
        )

    def _engine(self, server: DatabaseServer) -> Iterator[ExportFile]:
        if not any(claim.engine == server.engine for claim in self._account.claims):
            return
        try:
            owned = server.owned(self._account, self._everyone)
        except ExportError as error:
            self._unreachable(server.engine, str(error))
            return
        for name, why in owned.contested.items():
            self._lost(server.engine, name, why)
        for name in sorted({*ownership.named(server.engine, self._account)} - {*owned.names, *owned.contested}):
            self._lost(server.engine, name, "the server has no database of that name")
        for name in owned.names:
            yield from self._database(server, name)
        if owned.names:
            yield from self._users(server)

    def _database(self, server: DatabaseServer, name: str) -> Iterator[ExportFile]:
        try:
            with server.export(name, self._previous(server.engine, name)) as export:
                self.opened = export.opened if self.opened is None else min(self.opened, export.opened)
                yield from export.files()
                copy, remarks = export.result()
        except ExportError as error:
            self._lost(server.engine, name, str(error))
            return
        self._copies.append(copy)
        self._remarks += remarks
        self._complete &= copy.status is Status.COMPLETE

    def _users(self, server: DatabaseServer) -> Iterator[ExportFile]:
        file = server.users(self._account, self._everyone)
        yield file
        if file.failure:
            self._complete = False
            self._remarks.append(
                Remark(path=file.path, message=f"users of {server.engine} are not whole: {file.failure}")
            )

    def _unreachable(self, engine: str, why: str) -> None:
        known = ownership.known(engine, self._account)
        for name in known:
            self._lost(engine, name, why)
        if not known:
            self._complete = False
            self._remarks.append(Remark(path=engine.encode(), message=f"databases of {engine} are missing: {why}"))

    def _lost(self, engine: str, name: str, why: str) -> None:
        self._complete = False
        self._copies.append(DatabaseCopy(engine=engine, name=name, status=Status.INCOMPLETE))
        self._remarks.append(remark(engine, name, f"incomplete: {why}"))


def manifest_path(engine: str, database: str) -> bytes:
    """Where the manifest of a database's export stands, below the account's databases."""
    return f"{engine}/{file_name(database)}/{NAME}".encode()


def no_previous(engine: str, database: str) -> bytes | None:
    """For a first export there is nothing to compare with."""
    return None
