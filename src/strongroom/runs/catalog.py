"""The catalog: every point that can be restored, in one SQLite file of the state folder.

It is a copy. The clients' own storage is the truth, so that the file may vanish, be damaged or be another machine's
at any time: `Catalog.open` compares its ids with the client's and loads or drops the difference.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec

from strongroom.clients.base import Client
from strongroom.errors import ClientError, UnknownError, UsageError
from strongroom.model import DATABASES, Frozen, Level, Point, text
from strongroom.runs.order import BACKED_UP, newest_first, rank

_NAME = b"catalog.sqlite"
# Raise this number when the tables or `Point` change: a catalog with another one is filled anew.
_VERSION = 3
_TABLES = """
CREATE TABLE points (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, server TEXT NOT NULL, account TEXT NOT NULL, seq INTEGER NOT NULL,
    time TEXT NOT NULL, covers INTEGER NOT NULL, level TEXT NOT NULL, only TEXT, rank INTEGER NOT NULL,
    point BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX points_by_account ON points (server, account, seq);
CREATE TABLE names (
    name TEXT NOT NULL, id TEXT NOT NULL REFERENCES points ON DELETE CASCADE, PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE INDEX names_by_point ON names (id);
"""
_PATIENCE = 30.0
_SHOWN = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Point).decode


class Identity(Frozen):
    """What an account is to the catalog: its name alone would mix up the accounts of two servers that share a vault."""

    server: str
    account: str


class Catalog:
    """Open with `Catalog.open`. Points come newest first, by their sequence numbers; errors name what to do."""

    def __init__(self, database: sqlite3.Connection, path: bytes) -> None:
        self._database = database
        self._path = path

    @classmethod
    def open(cls, state: bytes, note: Callable[[str], None]) -> Catalog:
        """The catalog in a state folder; ``note`` is told once what became of one that cannot be used.

        A damaged file is set aside and begun anew. Where the folder cannot be written, the catalog lives in memory:
        reading from a vault needs no writable disk.
        """
        path = os.path.join(state, _NAME)
        try:
            try:
                return cls(_connect(path), path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                aside = _set_aside(path)
                note(f"{text(path)}: damaged ({error}); set aside as {text(aside)}, and built again from the client")
                return cls(_connect(path), path)
        except (OSError, sqlite3.OperationalError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            note(f"{text(path)}: cannot be written ({why}); the catalog is kept in memory for now")
            return cls(_prepared(sqlite3.connect(":memory:", isolation_level=None)), path)

    def refresh(self, client: Client) -> list[Point]:
        """Make the rows of one client what the client says it holds; returns the points that it holds no more.

        Those were forgotten by another machine, or lost: whoever forgets here drops them as well.
        """
        # In this order: a point that is made meanwhile is new, and none that is gone.
        here = {row[0] for row in self._rows("SELECT id FROM points WHERE client = ?", client.name)}
        there = client.ids()
        if there == here:
            return []
        gone = [point for point in self.all(client=client.name) if point.id not in there] if here - there else []
        new = client.load(sorted(there - here)) if there - here else []
        self._write(new, here - there, client.name)
        return gone

    def record(self, point: Point) -> None:
        """Take in a point that has just been made."""
        self._write([point], (), point.client)

    def drop(self, ids: Iterable[str]) -> None:
        """Remove points that the client has forgotten."""
        self._write([], ids, "")

    def of(self, who: Identity, *, client: str | None = None) -> list[Point]:
        """The points of one account, newest first."""
        return self._of(who, client, "ORDER BY seq DESC, time DESC")

    def all(self, *, client: str | None = None) -> list[Point]:
        """Every point, newest first (by time: sequence numbers of different accounts say nothing about each other)."""
        return self._points("? IS NULL OR client = ? ORDER BY time DESC, server, account, rank DESC, seq DESC", client, client)

    def copies(self, point: Point) -> list[Point]:
        """What the same moment is held by beside a point: what it is a copy of, and all copies of that, oldest first."""
        first = point.origin.point if point.origin else point.id
        same = self.of(Identity(server=point.server, account=point.account))
        return [
            each
            for each in reversed(same)
            if each.id != point.id and first in (each.id, each.origin.point if each.origin else None)
        ]

    def newest(self, who: Identity, *, covering: bool = False, client: str | None = None) -> Point | None:
        """The newest point of an account, or the newest that covers all of it."""
        covers = "AND covers" if covering else ""
        return next(iter(self._of(who, client, f"{covers} ORDER BY seq DESC, time DESC LIMIT 1")), None)

    def last_full(self, who: Identity, client: str) -> Point | None:
        """The newest point of an account for which a client read everything: of copies the server was not read."""
        full = f"AND level = '{Level.FULL.value}' AND only IS NOT '{DATABASES}' AND rank = {BACKED_UP}"
        return next(iter(self._of(who, client, f"{full} ORDER BY seq DESC, time DESC LIMIT 1")), None)

    def _of(self, who: Identity, client: str | None, rest: str) -> list[Point]:
        where = "server = ? AND account = ? AND (? IS NULL OR client = ?)"
        values = (who.server, who.account, client, client)
        # Sequence numbers order what one client backed up; between such streams, newest_first does.
        streams = self._rows(f"SELECT DISTINCT client, rank FROM points WHERE {where}", *values)  # noqa: S608
        each = f"server = ? AND account = ? AND client = ? AND rank = ? {rest}"
        return newest_first(
            point
            for name, how in streams
            for point in self._points(each, who.server, who.account, name, how)
        )

    def point(self, reference: str) -> Point:
        """The point with an id, or with the only id that begins so. Raise UnknownError or UsageError."""
        exact = self._points("id = ?", reference)
        if exact:
            return exact[0]
        matches = self._points("substr(id, 1, length(?)) = ? ORDER BY id", reference, reference) if reference else []
        if not matches:
            raise UnknownError(f"no point '{reference}'; 'strongroom points' lists them")
        if len(matches) > 1:
            shown = ", ".join(f"{point.id} ({point.account}, {point.time})" for point in matches[:_SHOWN])
            more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
            raise UsageError(f"point '{reference}' could be any of {shown}{more}; write more of the id")
        return matches[0]

    def identities(self, name: str | None = None) -> list[Identity]:
        """The accounts that have points: all, or those that have (or had) a name or domain."""
        rows = self._rows(
            "SELECT DISTINCT server, account FROM points "
            "WHERE ? IS NULL OR id IN (SELECT id FROM names WHERE name = ?) ORDER BY account, server",
            name,
            name and name.lower(),
        )
        return [Identity(server=server, account=account) for server, account in rows]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _points(self, where: str, *values: object) -> list[Point]:
        rows = self._rows(f"SELECT point FROM points WHERE {where}", *values)  # noqa: S608  (where is never a user's)
        try:
            return [_decode(row[0]) for row in rows]
        except msgspec.MsgspecError as error:
            raise self._damaged(error) from None

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except UnicodeEncodeError:
            # A user may type bytes that are no text; no name in here has any.
            return []
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def _write(self, new: Iterable[Point], gone: Iterable[str], client: str) -> None:
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("DELETE FROM points WHERE id = ?", [(name,) for name in gone])
                for point in new:
                    self._insert(point, client)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def _insert(self, point: Point, client: str) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                point.id,
                client,
                point.server,
                point.account,
                point.seq if point.origin is None else 0,
                _sortable(point.time),
                point.covers,
                point.level.value,
                point.only,
                rank(point),
                _encode(point),
            ),
        )
        names = {point.account.lower(), *(domain.lower() for domain in point.domains)}
        self._database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", [(name, point.id) for name in names])

    def _damaged(self, error: Exception) -> ClientError:
        return ClientError(f"{text(self._path)}: {error}; make room, or delete this file: it is built again")


def _sortable(time: str) -> str:
    """A point's time in one spelling, so that SQL can order by it."""
    return datetime.fromisoformat(time).astimezone(UTC).isoformat(timespec="microseconds")


def _connect(path: bytes) -> sqlite3.Connection:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    # SQLite would make the file as umask says; the names of accounts and files in warnings are nobody else's business.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(os.fsdecode(path), timeout=_PATIENCE, isolation_level=None)
    try:
        problem = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(" ".join(problem.split()))
        database.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes from a copy, the next refresh brings back.
        database.execute("PRAGMA synchronous = NORMAL")
        return _prepared(database)
    except sqlite3.DatabaseError:
        database.close()
        raise


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """Make the tables where they are missing, or another version's."""
    database.execute("PRAGMA foreign_keys = ON")
    if database.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
        return database
    database.execute("BEGIN IMMEDIATE")
    # Asked again, now that nobody else can be making them.
    if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        for table in ("names", "points"):
            database.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.execute("COMMIT")
    return database


def _set_aside(path: bytes) -> bytes:
    """Rename a damaged catalog with its log, and return its new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    aside = path + b".damaged-" + stamp
    for suffix in (b"-wal", b"-shm", b""):
        try:
            os.rename(path + suffix, aside + suffix)
        except FileNotFoundError:
            pass
    return aside
