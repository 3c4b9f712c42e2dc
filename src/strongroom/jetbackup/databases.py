"""An account's databases and their users, as JetBackup asks for them one kind of server at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from strongroom.errors import ExportError
from strongroom.exports.base import MYSQL, POSTGRESQL, DatabaseServer, ExportFile
from strongroom.jetbackup import people
from strongroom.jetbackup.people import Person
from strongroom.jetbackup.questions import ENGINES, AddDatabase, AddUser
from strongroom.model import Account

Document = dict[str, Any]

_MYSQL, _MARIADB, _POSTGRESQL = 1, 2, 4
_VERSION = re.compile(r"\d+(?:\.\d+)*")
# Where a server's package keeps its data: JetBackup asks, and Strongroom never copies it.
_DATA = {MYSQL: "/var/lib/mysql", POSTGRESQL: "/var/lib/pgsql"}


class Databases:
    """The database servers of the configuration. What is asked of one that is not there is nothing; errors are ExportError."""

    def __init__(self, servers: Sequence[DatabaseServer], everyone: Sequence[Account]) -> None:
        self._servers = {server.engine: server for server in servers}
        self._everyone = everyone

    def door(self, number: int) -> Document | None:
        """How JetBackup comes in: as Strongroom does."""
        server = self._server(number)
        if server is None:
            return None
        door = server.door()
        return {
            "host": door.host,
            "port": door.port,
            "socket": door.socket or None,
            "user": door.user,
            "password": door.password,
            "library": _DATA[server.engine],
            "local": bool(door.socket) or door.host in ("localhost", "127.0.0.1", "::1"),
        }

    def held(self, account: Account, number: int) -> list[Document]:
        """An account's databases. Raise ExportError also where one is another account's as well."""
        server = self._server(number)
        if server is None:
            return []
        owned = server.owned(account, self._everyone)
        for name, why in owned.contested.items():
            raise ExportError(f"{server.engine}:{name} {why}")
        if not owned.names:
            return []
        said = server.version()
        version = _VERSION.match(said)
        kind = _POSTGRESQL if server.engine == POSTGRESQL else _MARIADB if "mariadb" in said.lower() else _MYSQL
        return [
            {"name": name, "engine": number, "engine_name": kind, "version": version[0] if version else said}
            for name in owned.names
        ]

    def users(self, account: Account, number: int) -> list[Document]:
        """An account's users of a server, with their words on its databases."""
        server = self._server(number)
        return [] if server is None else [_document(person, number) for person in self._people(server, account)]

    def add(self, account: Account, asked: AddDatabase) -> Document:
        """See to it that there is a database; one that is there stays as it is."""
        server = self._needed(asked.engine)
        owned = server.owned(account, self._everyone, [asked.name])
        if asked.name in owned.contested:
            raise ExportError(f"{server.engine}:{asked.name} {owned.contested[asked.name]}")
        if asked.name not in owned.names and asked.name not in owned.free:
            raise ExportError(f"{server.engine}:{asked.name} would not be {account.name}'s: its name begins otherwise")
        if asked.name not in owned.names:
            server.load(asked.name, iter(()))
        return next(found for found in self.held(account, asked.engine) if found["name"] == asked.name)

    def add_user(self, account: Account, asked: AddUser) -> Document:
        """Make or change a user. What is not the account's own is left out, and named; the user itself has to be there."""
        server = self._needed(asked.engine)
        text = asked.statements or people.statements(server.engine, asked)
        said = server.load_users(account, self._everyone, iter([text.encode("utf-8", "surrogateescape")]))
        wanted = {asked.name, f"{asked.name}@localhost"}
        found = next((person for person in self._people(server, account) if person.name in wanted), None)
        if found is None:
            why = said[0] if said else "the server does not say that it has rights on the account's databases"
            raise ExportError(f"{server.engine}: there is no user {asked.name!r} of {account.name} afterwards: {why}")
        return _document(found, asked.engine) | {"notes": said}

    def texts(self, account: Account) -> dict[str, bytes]:
        """What the servers hold of an account beside its databases: users with grants, and its rows of the map of mail."""
        texts = {}
        for engine, server in self._servers.items():
            if any(claim.engine == engine for claim in account.claims):
                texts[f"{engine}.users.sql"] = self._users(server, account)
            if server.may_map_mail(account):
                file = server.mail_rows(account)
                if file is not None:
                    texts[f"{engine}.mail.sql"] = _drawn(file)
        return texts

    def bring(self, account: Account, texts: dict[str, bytes]) -> list[str]:
        """Bring such texts back, as far as they are the account's own; returns what was left out."""
        said: list[str] = []
        for engine, server in self._servers.items():
            users, mail = texts.get(f"{engine}.users.sql"), texts.get(f"{engine}.mail.sql")
            if users is not None:
                said += server.load_users(account, self._everyone, iter([users]))
            if mail is not None and server.may_map_mail(account):
                said += server.load_mail_rows(account, iter([mail]))
        return said

    def names(self) -> list[str]:
        """The names that such texts can have."""
        return [f"{engine}.{what}.sql" for engine in self._servers for what in ("users", "mail")]

    def _server(self, number: int) -> DatabaseServer | None:
        return self._servers.get(ENGINES.get(number, ""))

    def _needed(self, number: int) -> DatabaseServer:
        server = self._server(number)
        if server is None:
            name = ENGINES.get(number, "any server of JetBackup's kind " + str(number))
            raise ExportError(f"there is no [databases.{name}] in Strongroom's configuration; add it")
        return server

    def _people(self, server: DatabaseServer, account: Account) -> list[Person]:
        if not any(claim.engine == server.engine for claim in account.claims):
            return []
        return people.people(server.engine, self._users(server, account))

    def _users(self, server: DatabaseServer, account: Account) -> bytes:
        return _drawn(server.users(account, self._everyone))


def _drawn(file: ExportFile) -> bytes:
    text = b"".join(file.pieces)
    if file.failure:
        raise ExportError(file.failure)
    return text


def _document(person: Person, number: int) -> Document:
    return {
        "name": person.name,
        "password": person.password,
        "engine": number,
        "privileges": [{"database": name, "grants": words} for name, words in person.privileges.items()],
        "statements": person.statements,
    }
