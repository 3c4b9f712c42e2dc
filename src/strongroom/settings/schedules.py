"""Schedules of dumps, one for each database that has one, and which dumps they made; in one SQLite file.

A schedule is due when its day has come. One that is new is due at once; changing one leaves its day. The dumps are
written down by name, so that what a schedule removes is what a schedule made, and never what an owner uploaded.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import wraps
from typing import Any, TypeVar

from strongroom.errors import SettingError, UnknownError, UsageError
from strongroom.model import Frozen, text
from strongroom.settings import durable

ENGINES = ("mysql", "postgresql")
EXTENSIONS = ("gz", "bz", "zip", "none")
# A span of more than ten years, or more dumps than a folder should hold, is a slip of the finger.
MOST_DAYS = 3653
MOST_KEPT = 9999

_FILE = b"schedules.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS schedules (
    account TEXT NOT NULL, engine TEXT NOT NULL, database TEXT NOT NULL, span INTEGER NOT NULL,
    preserve INTEGER NOT NULL, extension TEXT NOT NULL, email TEXT NOT NULL, next TEXT NOT NULL,
    PRIMARY KEY (account, engine, database)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dumps (
    account TEXT NOT NULL, engine TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (account, engine, database, name)
) WITHOUT ROWID;
"""
_ONE = "SELECT * FROM schedules WHERE account = ? AND engine = ? AND database = ?"
_MOVE = "UPDATE schedules SET next = ? WHERE account = ? AND engine = ? AND database = ?"
_REMOVE = "DELETE FROM schedules WHERE account = ? AND engine = ? AND database = ?"
_DUMPS = "SELECT name FROM dumps WHERE account = ? AND engine = ? AND database = ? ORDER BY name"
_REMOVE_DUMPS = "DELETE FROM dumps WHERE account = ? AND engine = ? AND database = ?"
_REMOVE_DUMP = "DELETE FROM dumps WHERE account = ? AND engine = ? AND database = ? AND name = ?"
_PATIENCE = 30.0
# No leading dash: an address is an argument of sendmail.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~][\w.!#$%&'*+/=?^`{|}~-]{0,63}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)
_MOST_EMAIL = 254

Function = TypeVar("Function", bound=Callable[..., Any])


class Target(Frozen):
    """One database of one account."""

    account: str
    engine: str
    database: str

    @property
    def name(self) -> str:
        """The database as commands take it: ``mysql:shop``."""
        return f"{self.engine}:{self.database}"


class Schedule(Frozen):
    """How one database is dumped: every ``span`` days, the newest ``preserve`` kept (0: all), ``next`` the day."""

    target: Target
    next: date
    span: int = 5
    preserve: int = 0
    extension: str = "gz"
    email: str = ""

    def after(self, today: date) -> date:
        """The day it is due when it was done today; its rhythm stays, however many turns were missed."""
        missed = max(0, (today - self.next).days // self.span)
        return self.next + timedelta(days=self.span * (missed + 1)) if self.next <= today else self.next


def target(account: str, reference: str) -> Target:
    """The database that ``ENGINE:NAME`` means; raise UsageError."""
    engine, colon, database = reference.partition(":")
    if engine not in ENGINES or not colon or not database:
        raise UsageError(f"{reference!r} is no database: write mysql:NAME or postgresql:NAME")
    return Target(account=account, engine=engine, database=database)


def is_address(email: str) -> bool:
    """Whether a text is an address that mail can be sent to."""
    return len(email) <= _MOST_EMAIL and _EMAIL.fullmatch(email) is not None


def check(*, span: int | None, preserve: int | None, email: str | None) -> None:
    """Raise UsageError for a number or an address that a schedule cannot have."""
    if span is not None and not 1 <= span <= MOST_DAYS:
        raise UsageError(f"--span {span}: a schedule's days are 1 to {MOST_DAYS}")
    if preserve is not None and not 0 <= preserve <= MOST_KEPT:
        raise UsageError(f"--preserve {preserve}: a schedule keeps 0 (all) to {MOST_KEPT} dumps")
    if email and not is_address(email):
        raise UsageError(f"--email {email!r}: no address of mail")


def _told(method: Function) -> Function:
    """A method whose database errors are one line of ours."""

    @wraps(method)
    def with_line(self: Schedules, *arguments: Any, **more: Any) -> Any:
        try:
            return method(self, *arguments, **more)
        except sqlite3.Error as error:
            raise SettingError(f"{text(self.path)}: {error}; schedules cannot be read or changed") from None

    return with_line  # type: ignore[return-value]


class Schedules:
    """The schedules of one server, in its state folder; what a method returns without error is on disk."""

    def __init__(self, state: bytes) -> None:
        """Raise ConfigError when the state folder cannot be written."""
        self.path = durable.settings_path(state, _FILE)

    @_told
    def all(self) -> list[Schedule]:
        """Every schedule, in order of accounts and databases."""
        with self._open() as database:
            rows = database.execute("SELECT * FROM schedules ORDER BY account, engine, database").fetchall()
        return [_schedule(row) for row in rows]

    def of(self, account: str) -> list[Schedule]:
        """The schedules of one account."""
        return [schedule for schedule in self.all() if schedule.target.account == account]

    @_told
    def set(
        self,
        target: Target,
        today: date,
        *,
        span: int | None = None,
        preserve: int | None = None,
        extension: str | None = None,
        email: str | None = None,
    ) -> Schedule:
        """Make a schedule that is due today, or change what is given of one that is there."""
        check(span=span, preserve=preserve, email=email)
        given = {"span": span, "preserve": preserve, "extension": extension, "email": email}
        with self._open() as database:
            found = database.execute(_ONE, _key(target)).fetchone()
            was = _schedule(found) if found else Schedule(target=target, next=today)
            fields = {name: getattr(was, name) for name in ("span", "preserve", "extension", "email", "next")}
            changed = {name: value for name, value in given.items() if value is not None}
            now = Schedule(target=target, **(fields | changed))
            database.execute(
                "INSERT OR REPLACE INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*_key(target), now.span, now.preserve, now.extension, now.email, now.next.isoformat()),
            )
        return now

    @_told
    def remove(self, target: Target) -> None:
        """Take a schedule away; the dumps that it made stay, and are nobody's to remove. Raise UnknownError."""
        with self._open() as database:
            gone = database.execute(_REMOVE, _key(target)).rowcount
            database.execute(_REMOVE_DUMPS, _key(target))
        if not gone:
            raise UnknownError(f"{target.name} of {target.account} has no schedule")

    @_told
    def done(self, schedule: Schedule, today: date) -> None:
        """A due schedule was carried out: its day moves on."""
        with self._open() as database:
            database.execute(_MOVE, (schedule.after(today).isoformat(), *_key(schedule.target)))

    @_told
    def remember(self, target: Target, name: str) -> None:
        """Write down a dump that a schedule makes, before it gets its name."""
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO dumps VALUES (?, ?, ?, ?)", (*_key(target), name))

    @_told
    def made(self, target: Target) -> list[str]:
        """The dumps that a schedule made, whether or not they are still there."""
        with self._open() as database:
            return [row[0] for row in database.execute(_DUMPS, _key(target))]

    @_told
    def forget(self, target: Target, names: list[str]) -> None:
        """Strike out dumps that are gone."""
        with self._open() as database:
            database.executemany(_REMOVE_DUMP, [(*_key(target), name) for name in names])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it on disk at the end, or nothing."""
        if not os.path.exists(self.path):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(os.fsdecode(self.path), isolation_level=None, timeout=_PATIENCE)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_TABLES)
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()


def _key(target: Target) -> tuple[str, str, str]:
    return target.account, target.engine, target.database


def _schedule(row: tuple[Any, ...]) -> Schedule:
    account, engine, database, span, preserve, extension, email, day = row
    return Schedule(
        target=Target(account=account, engine=engine, database=database),
        span=span,
        preserve=preserve,
        extension=extension,
        email=email,
        next=date.fromisoformat(day),
    )
