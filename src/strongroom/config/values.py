"""The configuration as frozen values; the defaults are those that ``docs`` and the commented configuration show.

Server paths are bytes, absolute and normalised. What is a secret is never here: only the path of the file it stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property

import msgspec

from strongroom.model import Frozen

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}


class Days(Frozen):
    """Some days: none, each, one weekday, or one weekday of each month.

    ``phrase`` is as it was written. ``weekday`` counts from Monday, 0; None means any. ``nth`` is which of the month's
    such weekdays, 1 to 4, or -1 for the last; None means each of them.
    """

    phrase: str
    weekday: int | None = None
    nth: int | None = None

    @classmethod
    def parse(cls, phrase: str) -> Days:
        """Read ``never``, ``daily``, ``sunday``, or ``first sunday``; raise ValueError for anything else."""
        words = phrase.lower().split()
        if words in (["never"], ["daily"]):
            return cls(phrase=words[0])
        nth = ORDINALS[words[0]] if len(words) == 2 and words[0] in ORDINALS else None
        if words and words[-1] in WEEKDAYS and len(words) == (1 if nth is None else 2):
            return cls(phrase=" ".join(words), weekday=WEEKDAYS.index(words[-1]), nth=nth)
        raise ValueError(phrase)

    def __contains__(self, day: date) -> bool:
        if self.weekday is None:
            return self.phrase == "daily"
        if day.weekday() != self.weekday:
            return False
        if self.nth == -1:
            return (day + timedelta(days=7)).month != day.month
        return self.nth is None or (day.day - 1) // 7 + 1 == self.nth


class Server(Frozen):
    """Where the server's tree is and how its panel lays accounts out; ``accounts`` are globs, for the plain layout."""

    layout: str = "apiscp"
    root: bytes = b"/"
    state: bytes = b"/var/lib/strongroom"
    accounts: tuple[bytes, ...] = ()

    def below(self, path: bytes) -> bytes:
        """The server path of an absolute path as that server itself would say it."""
        return path if self.root == b"/" else self.root + path.rstrip(b"/")

    def within(self, path: bytes) -> bytes | None:
        """The reverse of `below`: what this server calls a path, or None when it is outside its tree."""
        if self.root == b"/":
            return path
        return path.removeprefix(self.root) if path.startswith(self.root + b"/") else None


class Vault(Frozen):
    """The embedded client: a folder or a store's URL; ``dedup`` says who shares chunks when `init` makes the vault."""

    url: str = "/var/backups/strongroom"
    passphrase_file: bytes = b"/etc/strongroom/passphrase"
    dedup: str = "vault"

    @property
    def folder(self) -> bytes | None:
        """The vault's folder, or None when it is somewhere else than on a file system."""
        return self.url.encode() if self.url.startswith("/") else None


class Backup(Frozen):
    """How backups run: ``workers`` accounts at once (0: one for each core), ``exclude`` gitignore-style patterns."""

    client: str = "vault"
    workers: int = 0
    exclude: tuple[str, ...] = ()
    full: Days = Days(phrase="first sunday", weekday=6, nth=1)
    differential: Days = Days(phrase="sunday", weekday=6)


class Mysql(Frozen):
    """A MariaDB or MySQL server; without ``socket`` and ``host``, where its own tools look."""

    socket: bytes | None = None
    host: str | None = None
    port: int = 3306
    user: str = "root"
    password_file: bytes | None = None
    defaults_file: bytes | None = None


class Postgresql(Frozen):
    """A PostgreSQL server; a ``host`` with a leading slash is the folder of its socket."""

    host: str = "/run/postgresql"
    port: int = 5432
    user: str = "postgres"
    password_file: bytes | None = None


class Databases(Frozen):
    """The database servers here; None where there is no such server."""

    mysql: Mysql | None = None
    postgresql: Postgresql | None = None


class Retention(Frozen):
    """How many points of each kind an account keeps; 0 keeps none of that kind."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 7
    keep_weekly: int = 4
    keep_monthly: int = 6
    keep_yearly: int = 0


class Webapps(Frozen):
    """When an update of a web app counts as failed, how its pages are looked at, and how many snapshots of it stay.

    ``assurance_drift`` is by how much of its text a page may grow or shrink, ``assurance_structure`` how much of what it is
    made of must be there again, both in percent. A page is too slow when it takes longer than ``slow_seconds`` and
    ``slow_factor`` times as long as before. ``settle_seconds`` pass between a change and the look at it, so that PHP sees
    the new files. ``browser`` is ``auto`` or ``never``. ``keep_snapshots`` are kept of each app (0: all).
    """

    assurance_drift: int = 50
    assurance_structure: int = 60
    slow_seconds: int = 10
    slow_factor: int = 4
    pages: int = 6
    page_seconds: int = 30
    settle_seconds: int = 3
    command_seconds: int = 1800
    browser: str = "auto"
    keep_snapshots: int = 30


class Repository(Frozen):
    """A client with a repository of its own: duplicity, restic, borg.

    ``hosts`` are those whose snapshots of others are adopted, by restic and borg (None: this one's).
    """

    driver: str
    url: str
    passphrase_file: bytes | None = None
    hosts: tuple[str, ...] | None = None


class Bacula(Frozen):
    """A Bacula director, reached through its console; ``include`` is the folder of its configuration that is ours.

    ``next_pool`` is where virtual full jobs go (None: none are made). ``address``, ``port`` and ``password_file`` are the file
    daemon's, for a director that is told of it by `strongroom clients --configure`.
    """

    driver: str
    console: bytes
    include: bytes
    client: str
    storage: str
    pool: str
    next_pool: str | None = None
    address: str | None = None
    port: int = 9102
    password_file: bytes | None = None


class Command(Frozen):
    """A client of commands; each a list of arguments with ``{point}``, ``{sources}``, ``{target}``, ``{since}``.

    ``list`` prints a point a line; ``forget`` takes one away.
    """

    driver: str
    backup: tuple[str, ...]
    restore: tuple[str, ...]
    list: tuple[str, ...] | None = None
    forget: tuple[str, ...] | None = None


class JetBackup(Frozen):
    """JetBackup 5 through its API; ``job`` is the id of the job that a backup runs (None: a backup on demand).

    ``downloads`` is where it puts what was asked back; work that takes longer than ``timeout`` seconds is stopped.
    """

    driver: str
    program: str = "/usr/bin/jetbackup5api"
    job: str | None = None
    downloads: bytes = b"/usr/local/jetapps/usr/jetbackup5/downloads"
    timeout: int = 21600


class Foreign(Frozen):
    """A client whose driver another distribution brings; it checks its own ``options``."""

    driver: str
    options: Mapping[str, object]


ClientSettings = Repository | Bacula | Command | JetBackup | Foreign


class AccountSettings(Frozen):
    """What a plain layout cannot see by itself: the account's databases, as ``mysql:NAME`` or ``postgresql:NAME``."""

    databases: tuple[str, ...] = ()


class Config(Frozen, dict=True):
    """One configuration file, read and checked; ``path`` is the absolute path it came from."""

    path: bytes
    server: Server = Server()
    vault: Vault = Vault()
    backup: Backup = Backup()
    databases: Databases = Databases()
    retention: Retention = Retention()
    webapps: Webapps = Webapps()
    clients: Mapping[str, ClientSettings] = msgspec.field(default_factory=dict)
    accounts: Mapping[str, AccountSettings] = msgspec.field(default_factory=dict)

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """Every file that the configuration names as holding a secret."""
        tables = (self.vault, self.databases.mysql, self.databases.postgresql, *self.clients.values())
        keys = ("passphrase_file", "password_file", "defaults_file")
        found = (getattr(table, key, None) for table in tables for key in keys)
        return tuple(sorted({path for path in found if path}))
