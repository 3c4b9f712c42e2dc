"""The contract between Strongroom and the database servers whose databases it exports.

An export is a logical dump of one database in one consistent transaction, laid out as files, so that one table is one file:

    before.sql            what must stand before any row: types, functions, empty tables
    tables/NAME.sql       one table's rows, a line each (PostgreSQL: SCHEMA.NAME.sql)
    large-objects.sql     PostgreSQL alone, where there are any
    after.sql             what comes after the rows: indexes, constraints, triggers, views, routines, events
    privileges.sql        PostgreSQL alone: owners and privileges of what is in the database
    manifest.json         last: every file with size and hash, every table with its rows, position, versions

The files come in the order in which the server gives them; only the manifest's place is promised. Names are those of
`strongroom.exports.names`.

Below ``ENGINE/`` of an account stands also ``users.sql``: its users, roles and grants on its own databases, with password
hashes, and nothing of anybody else. Below ``postgresql/`` of an account of a panel that keeps its map of mail there,
``mailer_rows.sql``: its domains and addresses. The account ``server`` has ``mysql/grants.sql``, ``postgresql/globals.sql`` and
``postgresql/mailer_table.sql`` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from strongroom.exports.manifest import Manifest, Reader
from strongroom.model import Account, DatabaseCopy, Frozen, Remark

MYSQL = "mysql"
POSTGRESQL = "postgresql"


class ExportFile:
    """One file of an export, made while it is read.

    ``path`` is relative to the account's databases (``mysql/shop/tables/posts.sql``). ``pieces`` is read once, to its end;
    then ``failure`` says why the file must not be relied on (empty: it is whole).
    """

    def __init__(self, path: bytes, pieces: Iterator[bytes]) -> None:
        self.path, self.pieces = path, pieces
        self.failure = ""


class Owned(Frozen):
    """The databases of an account, sorted, and those that another account has as well: the message names both.

    ``free`` are those of the names asked about that are not on the server, and would be nobody else's if they were.
    """

    names: tuple[str, ...] = ()
    contested: dict[str, str] = {}
    free: tuple[str, ...] = ()


class Door(Frozen):
    """How programs of others come to a server as the configured user. ``socket`` is a path (PostgreSQL: the folder of its
    socket), or empty where the server is reached at ``host`` and ``port`` alone. ``password`` is empty where none is needed.
    """

    user: str
    password: str = ""
    host: str = "localhost"
    port: int = 0
    socket: str = ""


class Export(Protocol):
    """One database with its transaction open.

    ``opened`` is seconds since 1970, never later than the transaction was opened; ``position`` is known once all files
    were read.
    """

    opened: float

    @property
    def position(self) -> str:
        """Where the server's log stood when the transaction was opened; empty where it keeps none."""

    def files(self) -> Iterator[ExportFile]:
        """The files, each read to its end before the next is asked for; the manifest is last."""

    def result(self) -> tuple[DatabaseCopy, tuple[Remark, ...]]:
        """After the last file: the truth gate's verdict, and why, where it is not complete."""


class DatabaseServer(Protocol):
    """One database server, set up by one table of the configuration. Errors are `strongroom.errors.ExportError`."""

    engine: str

    def version(self) -> str:
        """The server's version as it says it itself: ``10.11.6-MariaDB-…``, ``15.5``."""

    def door(self) -> Door:
        """How other programs come in; asks nobody."""

    def owned(self, account: Account, everyone: Sequence[Account], asked: Collection[str] = ()) -> Owned:
        """The databases that are this account's; ``everyone`` are all accounts, whose prefixes may be longer.

        ``asked`` are further names, of databases that may be to come.
        """

    def owned_by_each(self, everyone: Sequence[Account]) -> dict[str, Owned]:
        """The databases of all accounts, by account's name, asked of the server once."""

    def export(self, database: str, previous: bytes | None) -> AbstractContextManager[Export]:
        """Open a database's transaction. ``previous`` is the last complete export's manifest, to compare with."""

    def users(self, account: Account, everyone: Sequence[Account]) -> ExportFile:
        """The account's users, roles and grants on its databases, as statements, with passwords as the server keeps them."""

    def load_users(self, account: Account, everyone: Sequence[Account], text: Iterator[bytes]) -> list[str]:
        """Make the account's users again from such statements, as far as they are its own; return what was left out.

        After its databases are there again, so that grants and owners have what they are about.
        """

    def whole(self, made_elsewhere: Collection[bytes]) -> Iterator[ExportFile]:
        """What belongs to no account, but for the paths that are made elsewhere: all users and grants with password hashes, and
        the panel's map of mail where there is one. Raise ExportError.
        """

    def may_map_mail(self, account: Account) -> bool:
        """Whether the panel's map of mail, if it is on this server, could have rows of an account; asks nobody."""

    def mail_rows(self, account: Account) -> ExportFile | None:
        """The account's domains and addresses of the panel's map of mail, None where there is no map. Raise ExportError."""

    def load_mail_rows(self, account: Account, text: Iterator[bytes]) -> list[str]:
        """Put such rows back into the map, all or none; return what was left out, and why.

        Of the domains in the text, the account has then the addresses in the text; its other domains stay as they are, and
        those that are another account's by now stay that one's. Raise ExportError, also where there is no map.
        """

    def dump(self, database: str, *, broken_views: bool = False) -> Iterator[bytes]:
        """The whole database as one SQL text without CREATE DATABASE and USE. Raise ExportError if it is not whole.

        With ``broken_views``, views that the server itself cannot use are comments in it, and no error.
        """

    def fault(self, sql: Iterator[bytes]) -> str:
        """Why an SQL text could not be loaded, as far as reading it to its end shows: it holds several databases, or none,
        or what is no SQL. Empty where nothing is seen; asks no server. Raise ExportError for what is no text.
        """

    def load(
        self, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
    ) -> list[str]:
        """Replace what a database holds by an SQL text that a stranger may have written; make it if it is not there.

        ``before`` is such a text of what it holds, put back where loading fails and has changed the database. Runs as a
        temporary user who may touch this database alone, without any client program. Returns what had to be left out, and
        why. Raise ExportError, also for a text that holds several databases.
        """

    def load_export(self, database: str, manifest: Manifest, read: Reader) -> list[str]:
        """Replace what a database holds by an export, into this database or another; as `load` otherwise.

        ``read`` opens a file of the export by its path below the database's folder.
        """

    def load_table(self, database: str, manifest: Manifest, read: Reader, table: str, into: str) -> list[str]:
        """Make one table of an export beside the live ones under a new name, without its foreign keys, which are returned.

        `Manifest.keys_of` says before which foreign keys a table has to do with. Raise ExportError.
        """
