"""The words of Strongroom as frozen values.

Rules of this file: it imports nothing of ours, does no I/O, and holds what several rooms speak of. What one room alone
needs stays in that room.

Paths are bytes, everywhere. Two spellings exist, and no third:

* a *server path*, absolute, as root sees it on this machine: ``b"/home/virtual/site1/shadow/var"``;
* a *stored path*, as a point holds it: ``b"data/var/www"`` or ``b"info/current/siteinfo"``: the tree's name, then the path
  below it, no leading slash; ``b"data"`` alone is the tree's own folder. What an owner types (``/var/www``,
  ``info:/current``) becomes a stored path at the command line and nowhere else.
"""

from __future__ import annotations

import stat
from enum import StrEnum
from typing import dataclass_transform

import msgspec


class Level(StrEnum):
    """How much of last time's knowledge a run may trust."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    INCREMENTAL = "incremental"


class Status(StrEnum):
    """What a point or a run may be relied on for."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class FileType(StrEnum):
    """The kinds of things a folder can hold."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    CHAR = "char"
    BLOCK = "block"
    SOCKET = "socket"

    @classmethod
    def of(cls, mode: int) -> FileType:
        """The kind of thing that a st_mode tells of. What is none of them is like a socket: nobody can keep it."""
        return _TYPES.get(stat.S_IFMT(mode), cls.SOCKET)


_TYPES = {
    stat.S_IFREG: FileType.FILE,
    stat.S_IFDIR: FileType.DIR,
    stat.S_IFLNK: FileType.SYMLINK,
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFCHR: FileType.CHAR,
    stat.S_IFBLK: FileType.BLOCK,
    stat.S_IFSOCK: FileType.SOCKET,
}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of every value here: immutable, compared by content, made by keyword."""


class Time(msgspec.Struct, frozen=True, order=True):
    """A moment as a file system keeps it: whole seconds since 1970 (negative before) and nanoseconds 0..999,999,999.

    Not one integer of nanoseconds: file systems hold seconds that do not fit 63 bits of nanoseconds.
    """

    seconds: int
    nanoseconds: int = 0


class Exclusion(Frozen):
    """Something a location leaves out: a gitignore-style pattern relative to the location's folder, and the reason shown."""

    pattern: bytes
    reason: str


class Selection(Frozen):
    """Something a location takes where it does not take all: a pattern of ``Location.select``, and the reason shown.

    ``export`` is the file of a point's databases that is made instead where the server itself makes none, or an old one.
    """

    pattern: bytes
    reason: str
    required: bool = True
    export: bytes = b""


class Location(Frozen):
    """A folder of the server to back up, and why.

    ``tree`` is the name it has inside a point (``data``, ``info``). ``select`` is None for all of it, else patterns of
    absolute shell globs below ``path`` of what to take (``/var/log/mailer_table*``); folders on the way are kept as such.
    ``selections`` say why each pattern of ``select`` is taken.
    """

    tree: str
    path: bytes
    why: str
    required: bool = True
    select: tuple[bytes, ...] | None = None
    selections: tuple[Selection, ...] = ()
    exclude: tuple[Exclusion, ...] = ()


class DatabaseClaim(Frozen):
    """What makes databases of one engine an account's: a name with ``prefix``, an owner ``user``, or being in ``names``."""

    engine: str
    prefix: str = ""
    user: str = ""
    names: tuple[str, ...] = ()


class DocumentRoot(Frozen):
    """A folder that is served, as the account's owner sees it, and the hosts it is served as, the best known first."""

    path: bytes
    hosts: tuple[str, ...] = ()


class Account(Frozen):
    """An account of the server: who it is and where its data lie.

    ``name`` is ``siteN`` (or ``server``); ``domains`` has the primary domain first, then addon domains; ``owner`` is the
    administrator's user name; ``users`` the numeric ids of its own users (from its ``etc/passwd``): a file with several
    links that belongs to anyone else is another's. ``suspended`` is the reason, or None. ``databases`` and ``mailboxes`` are
    names for display (``mysql:shop_wp``, ``me@example.com``).
    ``email`` and ``plan`` are the panel's word for whom to write to and what was bought (empty: it has none).
    ``claims`` say which databases are its own. ``absent`` are the server paths by tree of what every such account has and
    this one has lost.
    """

    name: str
    domains: tuple[str, ...] = ()
    owner: str = ""
    email: str = ""
    plan: str = ""
    suspended: str | None = None
    users: frozenset[int] = frozenset()
    databases: tuple[str, ...] = ()
    claims: tuple[DatabaseClaim, ...] = ()
    mailboxes: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    absent: tuple[tuple[str, bytes], ...] = ()


class Remark(Frozen):
    """A warning about one path of a point (empty path: about the point as a whole)."""

    path: bytes
    message: str


class FileCounts(Frozen):
    """What a run saw of one account's files; ``bytes_read`` counts content, not metadata."""

    seen: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    bytes_read: int = 0


FILES = "files"
DATABASES = "databases"

# What the servers have of their own, and an account's rows of the panel's mail map, below a point's databases.
GRANTS = b"mysql/grants.sql"
GLOBALS = b"postgresql/globals.sql"
MAIL_MAP = b"postgresql/mailer_table.sql"
MAIL_ROWS = b"postgresql/mailer_rows.sql"


class DatabaseCopy(Frozen):
    """One database's export in a point."""

    engine: str
    name: str
    status: Status
    bytes: int = 0
    tables: int = 0
    position: str = ""


class Exported(Frozen):
    """What came of an account's exports. Times are seconds since 1970, None where there was nothing.

    ``opened`` is when the first transaction was open (files that changed later are younger than the databases), ``started``
    when exporting began, ``frozen`` when the folders were frozen. ``incomplete`` says that something is missing that has to
    be there, of which a remark tells: no point with it is complete. Remarks' paths are relative to the databases' tree.
    """

    databases: tuple[DatabaseCopy, ...] = ()
    opened: float | None = None
    started: float | None = None
    frozen: float | None = None
    incomplete: bool = False
    remarks: tuple[Remark, ...] = ()


class Synchrony(Frozen):
    """How far apart a point's databases and files are. Times are ISO 8601 in UTC, or None where there was nothing."""

    method: str = "sequence"
    transaction_opened: str | None = None
    exports_started: str | None = None
    files_started: str | None = None
    files_finished: str | None = None
    gap_seconds: float = 0.0
    changed_in_gap: int = 0
    changed_paths: tuple[bytes, ...] = ()


class Origin(Frozen):
    """What a copied point was made of: the point that was backed up first, its client, and when it was carried (ISO 8601).

    What was backed up itself has none. A copy of a copy names the first.
    """

    point: str
    client: str
    carried: str


class Point(Frozen):
    """A restore point: one account at one time, as the catalog and the vault's snapshots know it.

    ``seq`` orders the points of an account (clocks do not); ``parent`` is the id of the point it was compared with.
    ``entries`` and ``bytes`` say what a restore of all of it writes. ``only`` is what alone was asked for, files or
    databases, of an account that has both; None for all of it. A copy has an ``origin``, and the time of that.
    """

    id: str
    account: str
    time: str
    level: Level
    client: str
    status: Status
    run: str
    seq: int
    domains: tuple[str, ...] = ()
    server: str = ""
    parent: str | None = None
    started: str = ""
    finished: str = ""
    files: FileCounts = FileCounts()
    entries: int = 0
    bytes: int = 0
    stored_bytes: int = 0
    databases: tuple[DatabaseCopy, ...] = ()
    synchrony: Synchrony = Synchrony()
    warnings: tuple[Remark, ...] = ()
    pinned: bool = False
    only: str | None = None
    origin: Origin | None = None

    @property
    def covers(self) -> bool:
        """Whether all of the account can be brought back from it."""
        return self.status is Status.COMPLETE and self.only is None


class Entry(Frozen):
    """One thing a point holds, with every attribute; ``content`` is the client's own and means nothing elsewhere.

    ``mode`` is permission bits with set-id and sticky (0..0o7777). ``size`` is the logical size in bytes; ``stored`` how
    many of them are not holes, i.e. how many the client will deliver. ``links`` is the link count seen; names of one point
    with equal ``link_group`` (not empty) are hard links of one inode. ``flags`` are inode flags as FS_IOC_GETFLAGS gives
    them. ``defect`` says why content is missing or suspect (``None``: nothing wrong).
    """

    path: bytes
    type: FileType
    mode: int
    uid: int
    gid: int
    mtime: Time
    ctime: Time = Time(0, 0)
    size: int = 0
    stored: int = 0
    inode: int = 0
    links: int = 1
    link_group: bytes = b""
    target: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    flags: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    defect: str | None = None
    content: object = None


class ReadStep(Frozen):
    """One thing a restore must read: the run it belongs to, that run's level, what it is, and bytes."""

    run: str
    level: Level
    what: str
    bytes: int


class ReadPlan(Frozen):
    """What a restore reads, oldest first, and how long that is expected to take."""

    reads: tuple[ReadStep, ...]
    bytes: int
    seconds: float


class Damage(Frozen):
    """Something in a client's storage that cannot be read back, and what it hurts."""

    object: str
    message: str
    points: tuple[str, ...] = ()
    paths: tuple[bytes, ...] = ()


class Verification(Frozen):
    """What ``check`` found: ``objects`` looked at, content bytes read, and the damage (empty: clean)."""

    objects: int
    bytes_read: int
    damage: tuple[Damage, ...] = ()


class Pruned(Frozen):
    """What ``prune`` freed, and what is still held by a run under way."""

    freed_bytes: int
    held_bytes: int
    objects: int


def text(path: bytes) -> str:
    """Bytes of a path as text, undecodable ones as lone surrogates (PEP 383)."""
    return path.decode("utf-8", "surrogateescape")
