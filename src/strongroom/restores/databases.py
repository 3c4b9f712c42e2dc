"""Databases back from a point: in place, beside the live one, or one table of one.

Everything that can be refused is refused before anything is changed: a server that is not there, a database of another
account, a name that is taken. What a database is replaced by is a stranger's text, which the server's driver loads as a user
who may touch that database alone; what stood there is dumped first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from strongroom.clients.base import Client
from strongroom.errors import ExportError, RestoreError, UnknownError, UsageError
from strongroom.exports import manifest as manifests
from strongroom.exports.base import MYSQL, POSTGRESQL, DatabaseServer
from strongroom.exports.manifest import Manifest
from strongroom.exports.names import file_name
from strongroom.model import DATABASES, MAIL_ROWS, Account, DatabaseCopy, Point, Status
from strongroom.restores.request import DatabaseBack, DatabaseWish
from strongroom.restores.stream import stream

ENGINES = (MYSQL, POSTGRESQL)
_MOST_MANIFEST = 64 << 20

# Dumps a live database somewhere before it is replaced, and says where: engine, name, the dump's pieces.
Keep = Callable[[str, str, Iterator[bytes]], str]


def parse(text: str, table: str | None = None, into: str | None = None) -> DatabaseWish:
    """Read ``ENGINE:NAME``. Raise UsageError."""
    engine, colon, name = text.partition(":")
    if not colon or not name or engine not in ENGINES:
        raise UsageError(f"database '{text}': write it as ENGINE:NAME, with the engine {' or '.join(ENGINES)}")
    if table is not None and into is None:
        raise UsageError(f"--table {table}: say --into NAME too; one table comes back beside the live one")
    return DatabaseWish(engine=engine, name=name, table=table, into=into)


def folder_of(engine: str, name: str) -> bytes:
    """The stored path of a database's export."""
    return f"{DATABASES}/{engine}/{file_name(name)}".encode()


def table_file(client: Client, point: Point, wish: DatabaseWish) -> bytes:
    """The stored path of one table's rows. Raise ExportError when the export has no such table."""
    table = manifest_of(client, point, wish).table(wish.table or "")
    return folder_of(wish.engine, wish.name) + b"/" + table.file.encode()


def manifest_of(client: Client, point: Point, wish: DatabaseWish) -> Manifest:
    """The manifest of a database's export. Raise UnknownError or RestoreError where there is none to rely on."""
    path = folder_of(wish.engine, wish.name)
    if all((copy.engine, copy.name) != (wish.engine, wish.name) for copy in point.databases):
        there = ", ".join(f"{copy.engine}:{copy.name}" for copy in point.databases) or "no database"
        raise UnknownError(f"no {wish.shown} in point {point.id}; it has {there}")
    entry = client.lookup(point, path + b"/" + manifests.NAME.encode())
    if entry is None or entry.defect or entry.size > _MOST_MANIFEST:
        raise RestoreError(f"{wish.shown} was not exported whole in point {point.id}; take another point")
    return manifests.decode(b"".join(stream(client, point, entry)))


def held(client: Client, point: Point) -> list[DatabaseCopy]:
    """The databases of a point that have an export in it, whole or not."""
    return [copy for copy in point.databases if client.lookup(point, folder_of(copy.engine, copy.name)) is not None]


class DatabaseRestorer:
    """Brings databases of one point back to the servers of this machine, for one account."""

    def __init__(
        self,
        client: Client,
        point: Point,
        account: Account,
        everyone: Sequence[Account],
        servers: Sequence[DatabaseServer],
        keep: Keep,
    ) -> None:
        self._client, self._point, self._keep = client, point, keep
        self._account, self._everyone = account, everyone
        self._servers = {server.engine: server for server in servers}

    # --- before ---------------------------------------------------------------------------------------------------

    def forecast(self, wish: DatabaseWish) -> DatabaseBack:
        """What bringing one back would do. Raise UnknownError, RestoreError or ExportError where it would be refused."""
        server, manifest = self._server(wish.engine), manifest_of(self._client, self._point, wish)
        live = self._live(server, wish.target)
        if wish.table is not None:
            table = manifest.table(wish.table)
            if not live:
                raise RestoreError(
                    f"there is no live {wish.shown} that table {wish.table} could stand in; restore it whole"
                )
            return DatabaseBack(
                wish=wish, status=manifest.status, bytes=table.bytes, messages=tuple(manifest.keys_of(wish.table))
            )
        if wish.into and live:
            raise RestoreError(f"{wish.engine}:{wish.into} is there already; take another name for --into")
        return DatabaseBack(
            wish=wish, status=manifest.status, replaces=live, bytes=manifest.size, messages=manifest.reasons
        )

    def _server(self, engine: str) -> DatabaseServer:
        server = self._servers.get(engine)
        if server is None:
            raise UnknownError(
                f"no [databases.{engine}] in the configuration; add it, or bring the files back with --to DIR"
            )
        return server

    def _live(self, server: DatabaseServer, name: str) -> bool:
        """Whether a database is there; raise RestoreError where it is, or by its name would be, not this account's alone."""
        owned = server.owned(self._account, self._everyone, {name})
        if name in owned.contested:
            raise RestoreError(f"{server.engine}:{name} {owned.contested[name]}")
        if name not in owned.names and name not in owned.free:
            raise RestoreError(
                f"{server.engine}:{name} is not a database of {self._account.name}; take a name of its own"
            )
        return name in owned.names

    # --- doing it -------------------------------------------------------------------------------------------------

    def bring_back(self, wish: DatabaseWish) -> DatabaseBack:
        """Do it. A database that fails is told as failed; raises what `forecast` raises."""
        expected = self.forecast(wish)
        server, manifest = self._server(wish.engine), manifest_of(self._client, self._point, wish)
        kept = None
        try:
            if expected.replaces:
                # What is broken in it is no reason to leave it broken.
                kept = self._keep(wish.engine, wish.name, server.dump(wish.name, broken_views=True))
            if wish.table is not None:
                assert wish.into is not None  # noqa: S101 - `parse` saw to it
                said = server.load_table(wish.name, manifest, self._reader(wish), wish.table, wish.into)
            else:
                said = server.load_export(wish.target, manifest, self._reader(wish))
        except ExportError as error:
            why = (
                f"not replaced: it cannot be dumped first: {error}"
                if expected.replaces and kept is None
                else str(error)
            )
            return DatabaseBack(wish=wish, status=Status.FAILED, kept=kept, messages=(why,))
        # One table comes back as what it can be by itself; of a whole database, nothing may be missing.
        whole = wish.table is not None or not said
        return DatabaseBack(
            wish=wish,
            status=manifest.status if whole else Status.INCOMPLETE,
            replaces=expected.replaces,
            bytes=expected.bytes,
            kept=kept,
            messages=(*manifest.reasons, *said),
        )

    def _reader(self, wish: DatabaseWish) -> Callable[[str], Iterator[bytes]]:
        folder = folder_of(wish.engine, wish.name)

        def read(path: str) -> Iterator[bytes]:
            entry = self._client.lookup(self._point, folder + b"/" + path.encode())
            if entry is None or entry.defect:
                raise ExportError(f"{path} of {wish.shown} is not whole in point {self._point.id}; take another point")
            yield from stream(self._client, self._point, entry)

        return read

    def users(self) -> list[str]:
        """Make the account's users and grants again, on every server that the point has them of; what was left out."""
        said: list[str] = []
        for engine in self.engines:
            entry = self._client.lookup(self._point, f"{DATABASES}/{engine}/users.sql".encode())
            if entry is None or entry.defect:
                said.append(f"users of {engine} are not in point {self._point.id}")
                continue
            text = stream(self._client, self._point, entry)
            try:
                said += self._server(engine).load_users(self._account, self._everyone, text)
            except ExportError as error:
                said.append(f"users of {engine} were not made again: {error}")
        return said

    def mail_rows(self) -> list[str]:
        """Put the account's rows back into the panel's mail maps; what was left out."""
        entry = self._client.lookup(self._point, DATABASES.encode() + b"/" + MAIL_ROWS)
        if entry is None or entry.defect:
            return []
        try:
            return self._server(POSTGRESQL).load_mail_rows(self._account, stream(self._client, self._point, entry))
        except ExportError as error:
            return [f"the account's mail addresses were not put back into the panel's maps: {error}"]

    @cached_property
    def engines(self) -> list[str]:
        """The engines that the point has databases of."""
        return sorted({copy.engine for copy in held(self._client, self._point)})
