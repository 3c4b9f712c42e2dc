"""All databases of one account, and what else servers have of it, as one sequence of files: what a run reads, and what
came of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from strongroom.config import Config
from strongroom.errors import ExportError
from strongroom.exports import ownership
from strongroom.exports.base import DatabaseServer, Export, ExportFile
from strongroom.exports.export import remark
from strongroom.exports.manifest import NAME
from strongroom.exports.names import file_name
from strongroom.model import MAIL_ROWS, Account, DatabaseCopy, Exported, Remark, Status

Previous = Callable[[str, str], bytes | None]
# Transactions of one account that are open at once while its folders are frozen; with more databases there is no freeze.
_MOST_AT_ONCE = 16


class Freezer(Protocol):
    """What can hold an account's folders still."""

    def possible(self) -> bool:
        """Whether it can, for all of them."""

    def take(self) -> Mapping[str, bytes]:
        """Freeze; returns where to read instead, by tree, or nothing where it failed."""

    def release(self) -> None:
        """Let go, in whatever state it is."""


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
    complete export's manifest of a database, by engine and name; ``held`` are those that the last point has, by both: of
    one that is nowhere any more there is a warning, and where a server cannot be
    asked they are missed. Read `files` to the end, then ask for `result`.
    ``mapped`` says, where the server that could have the panel's map of mail is silent, whether the account may have rows in
    it.

    Where the account's folders can be frozen, all transactions are opened first, the freeze is taken while they are, and
    ``roots`` says where to read the folders.
    """

    def __init__(
        self,
        account: Account,
        everyone: Sequence[Account],
        servers: Sequence[DatabaseServer],
        previous: Previous,
        freezer: Freezer | None = None,
        held: Collection[tuple[str, str]] = (),
        mapped: Callable[[], bool] = lambda: True,
    ) -> None:
        self._account, self._everyone, self._servers, self._previous = account, everyone, servers, previous
        self._freezer, self._held, self._mapped = freezer, held, mapped
        self._copies: list[DatabaseCopy] = []
        self._remarks: list[Remark] = []
        self._silent: set[str] = set()
        self._started: float | None = None
        self._incomplete = False
        self._frozen: float | None = None
        self.opened: float | None = None
        self.roots: Mapping[str, bytes] = {}

    def files(self) -> Iterator[ExportFile]:
        """Each file, to be read to its end before the next is asked for."""
        mapping = [server for server in self._servers if server.may_map_mail(self._account)]
        if not self._account.claims and not mapping:
            return
        self._started = time.time()
        if self._account.claims:
            yield from self._databases()
        for server in mapping:
            yield from self._mail_rows(server)

    def _databases(self) -> Iterator[ExportFile]:
        """The databases, and their users."""
        wanted = [(server, name) for server in self._servers for name in self._owned(server)]
        if self._freezer and 0 < len(wanted) <= _MOST_AT_ONCE and self._freezer.possible():
            yield from self._together(wanted, self._freezer.take)
        else:
            for each in wanted:
                yield from self._together([each], dict)
        for server in dict.fromkeys(server for server, _ in wanted):
            yield from self._users(server)
        self._unserved()
        self._gone()

    def _unserved(self) -> None:
        """Databases of servers that the configuration does not have."""
        for engine in sorted(
            {claim.engine for claim in self._account.claims} - {server.engine for server in self._servers}
        ):
            for name in ownership.known(engine, self._account):
                self._lost(engine, name, f"there is no [databases.{engine}] in the configuration")

    def _gone(self) -> None:
        """What an owner dropped, or somebody else did: nothing is wrong with the point, but somebody should know."""
        asked = {server.engine for server in self._servers} - self._silent
        for engine, name in sorted(set(self._held) - {(copy.engine, copy.name) for copy in self._copies}):
            if engine in asked:
                self._remarks.append(remark(engine, name, "it was in the point before, and the server has it no more"))

    def result(self) -> Exported:
        """What came of it all."""
        return Exported(
            databases=tuple(self._copies),
            opened=self.opened,
            started=self._started,
            frozen=self._frozen,
            remarks=tuple(self._remarks),
            incomplete=self._incomplete,
        )

    def release(self) -> None:
        """Let go of frozen folders."""
        if self._freezer:
            self._freezer.release()

    def _owned(self, server: DatabaseServer) -> tuple[str, ...]:
        """The account's databases on a server; of those that should be there and are not, a remark."""
        if not any(claim.engine == server.engine for claim in self._account.claims):
            return ()
        try:
            owned = server.owned(self._account, self._everyone)
        except ExportError as error:
            self._unreachable(server.engine, str(error))
            return ()
        for name, why in owned.contested.items():
            self._lost(server.engine, name, why)
        for name in sorted({*ownership.named(server.engine, self._account)} - {*owned.names, *owned.contested}):
            self._lost(server.engine, name, "the server has no database of that name")
        return owned.names

    def _together(
        self, wanted: Sequence[tuple[DatabaseServer, str]], freeze: Callable[[], Mapping[str, bytes]]
    ) -> Iterator[ExportFile]:
        """Open the transactions of some databases, freeze the folders, then read one database after the other."""
        try:
            with ExitStack() as stack:
                opened = [(self._open(stack, server, name), server, name) for server, name in wanted]
                if roots := freeze():
                    self.roots, self._frozen = roots, time.time()
                for export, server, name in opened:
                    if export:
                        yield from self._read(export, server, name)
        except ExportError as error:  # what a program said when it was let go
            for server, name in wanted:
                self._lost(server.engine, name, str(error))

    def _open(self, stack: ExitStack, server: DatabaseServer, name: str) -> Export | None:
        """Open one database's transaction, to be closed with the others; None, and a remark, where that fails."""
        try:
            export = stack.enter_context(server.export(name, self._previous(server.engine, name)))
        except ExportError as error:
            self._lost(server.engine, name, str(error))
            return None
        self.opened = export.opened if self.opened is None else min(self.opened, export.opened)
        return export

    def _read(self, export: Export, server: DatabaseServer, name: str) -> Iterator[ExportFile]:
        try:
            yield from export.files()
            copy, remarks = export.result()
        except ExportError as error:
            self._lost(server.engine, name, str(error))
            return
        self._copies.append(copy)
        self._remarks += remarks
        self._incomplete |= copy.status is not Status.COMPLETE

    def _users(self, server: DatabaseServer) -> Iterator[ExportFile]:
        yield from self._watched(server.users(self._account, self._everyone), f"users of {server.engine}")

    def _mail_rows(self, server: DatabaseServer) -> Iterator[ExportFile]:
        """The account's rows of the panel's map of mail, where there is one."""
        what = "the account's domains and addresses in the panel's map of mail"
        try:
            file = server.mail_rows(self._account)
        except ExportError as error:
            missed = self._mapped()
            self._incomplete |= missed
            problem = "are missing" if missed else "were not looked for, and the last complete point has none"
            self._remarks.append(Remark(path=MAIL_ROWS, message=f"{what} {problem}: {error}"))
            return
        if file:
            yield from self._watched(file, what)

    def _watched(self, file: ExportFile, what: str) -> Iterator[ExportFile]:
        yield file
        if file.failure:
            self._incomplete = True
            self._remarks.append(Remark(path=file.path, message=f"{what} are not whole: {file.failure}"))

    def _unreachable(self, engine: str, why: str) -> None:
        self._silent.add(engine)
        known = {*ownership.known(engine, self._account), *(name for held, name in self._held if held == engine)}
        for name in sorted(known):
            self._lost(engine, name, why)
        if not known:
            self._incomplete = True
            self._remarks.append(Remark(path=engine.encode(), message=f"databases of {engine} are missing: {why}"))

    def _lost(self, engine: str, name: str, why: str) -> None:
        self._incomplete = True
        self._copies = [copy for copy in self._copies if (copy.engine, copy.name) != (engine, name)]
        self._copies.append(DatabaseCopy(engine=engine, name=name, status=Status.INCOMPLETE))
        self._remarks.append(remark(engine, name, f"incomplete: {why}"))


def manifest_path(engine: str, database: str) -> bytes:
    """Where the manifest of a database's export stands, below the account's databases."""
    return f"{engine}/{file_name(database)}/{NAME}".encode()


def no_previous(engine: str, database: str) -> bytes | None:
    """For a first export there is nothing to compare with."""
    return None
