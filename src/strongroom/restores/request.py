"""What is asked of a restore, and what it answers."""

from __future__ import annotations

from enum import StrEnum

from strongroom.model import Account, Frozen, Point, Remark, Status

# A field below is called `bytes`.
Paths = tuple[bytes, ...]


class Mode(StrEnum):
    """What becomes of things that stand in a target folder and are not in the point."""

    MERGE = "merge"
    MIRROR = "mirror"


class RestoreRequest(Frozen, frozen=True):
    """A restore of stored paths from a point.

    ``paths`` are stored paths (``b"data"``, ``b"data/var/www"``, ``b"info"``). With ``to``, an absolute server path,
    each tree lands in a folder of its name below it. Without, ``targets`` says which server path each tree belongs to;
    the caller knows it even for an account that is not on this server any more. ``account`` is the account as found
    here, or None. ``users`` and ``groups`` are the account's own numeric ids, for set-id bits in place; None: those of
    ``account`` and of the point's ``etc/passwd`` and ``etc/group``. ``excludes`` are the administrator's
    gitignore-style patterns: what they match is in no point, so a mirror must not take it away. ``mode`` None means
    merge into the account, and nothing but an empty folder for ``to``. ``id`` names the restore.
    """

    id: str
    point: Point
    paths: tuple[bytes, ...]
    account: Account | None = None
    targets: dict[str, bytes] = {}
    to: bytes | None = None
    mode: Mode | None = None
    devices: bool = False
    dry_run: bool = False
    users: frozenset[int] | None = None
    groups: frozenset[int] | None = None
    excludes: tuple[str, ...] = ()

    @property
    def mirrors(self) -> bool:
        """Whether extra files go; those of the server itself never do."""
        return self.mode is Mode.MIRROR and self.point.account != "server"


class RestoreCounts(Frozen, frozen=True):
    """Entries made or replaced, found as they should be, and taken away; ``bytes`` counts the content written."""

    written: int = 0
    unchanged: int = 0
    deleted: int = 0
    bytes: int = 0


class RestoreForecast(Frozen, frozen=True):
    """What a restore would do, counted in entries; the lists hold the first stored paths of each kind, not all."""

    written: int = 0
    replaced: int = 0
    deleted: int = 0
    unchanged: int = 0
    bytes: int = 0
    writes: Paths = ()
    replaces: Paths = ()
    deletes: Paths = ()


class DatabaseWish(Frozen):
    """A database to bring back: into its own name, or ``into`` another; with ``table``, one table under the name ``into``."""

    engine: str
    name: str
    table: str | None = None
    into: str | None = None

    @property
    def shown(self) -> str:
        """The database as a user writes it."""
        return f"{self.engine}:{self.name}"

    @property
    def target(self) -> str:
        """The database that is written to."""
        return self.into if self.into and not self.table else self.name


class DatabaseBack(Frozen):
    """What came of one, or (in a dry run) would: ``kept`` is where the live one was dumped,
    ``replaces`` None where it cannot be known before the account is back.
    """

    wish: DatabaseWish
    status: Status
    replaces: bool | None = False
    bytes: int = 0
    kept: str | None = None
    messages: tuple[str, ...] = ()


class RestoreResult(Frozen, frozen=True):
    """What a restore did. ``undo`` is None until there is an undo; ``forecast`` is what a dry run says instead.

    ``databases`` is what came, or in a dry run would come, of the databases.
    """

    id: str
    status: Status
    account: str
    point: str
    files: RestoreCounts
    warnings: tuple[Remark, ...] = ()
    databases: tuple[DatabaseBack, ...] = ()
    undo: str | None = None
    forecast: RestoreForecast | None = None
