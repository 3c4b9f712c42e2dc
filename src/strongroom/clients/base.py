"""The contract between Strongroom and the software that copies the bytes.

A *client* is one such software, set up by one table of the configuration. The rest of the program knows it only through
`Client`; which one it is shows in no other place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import stat_result
from typing import Protocol

from strongroom.model import (
    Account,
    Entry,
    Exported,
    FileCounts,
    Frozen,
    Level,
    Point,
    Pruned,
    ReadPlan,
    Verification,
)


class ExportFile(Protocol):
    """One file of an export, made while it is read.

    ``path`` is relative to the point's tree of databases. ``pieces`` is read once, to its end; then ``failure`` says why the
    file must not be relied on (empty: it is whole).
    """

    path: bytes
    pieces: Iterator[bytes]
    failure: str


class Exports(Protocol):
    """An account's databases as files that are made while they are copied.

    A client draws them once, before it copies the account's folders, in the process that copies. ``opened`` (seconds since
    1970, None: no database) and ``roots`` are read after `files` ended: the moment that the files stand for, and where to
    read folders instead (frozen ones), by tree.
    """

    opened: float | None
    roots: Mapping[str, bytes]

    def files(self) -> Iterator[ExportFile]:
        """The files, each read to its end before the next is asked for."""

    def result(self) -> Exported:
        """After the last file: what came of it."""

    def release(self) -> None:
        """The folders were copied: let go of what held them still. Harmless where nothing is held."""


class Copy(Protocol):
    """One file's copy in the making: ``pieces`` is read once, to its end; then ``failure`` says why it is none (empty: whole)."""

    pieces: Iterator[bytes]
    failure: str


class Substitute(Protocol):
    """Copies files whose bytes alone may be torn (databases in accounts' folders), where a client can hand them over.

    ``suffixes`` end the names of a file's companions (logs, journals), whose content its copy holds: they are left out then.
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is added to a file's name for its companions'."""

    def wants(self, begins: bytes) -> bool:
        """Whether a file that begins so is to be copied, not read."""

    def copy(self, folder: int, name: bytes, status: stat_result) -> Copy:
        """Begin to copy a file of an open folder, the one with this status. Never raises."""


class Task(Frozen):
    """One account to back up at one level (a client makes a point a full one when it has nothing to compare with).

    ``exports`` are its databases (None: it has none, or they are not asked for); ``only`` says what alone was asked for.
    """

    account: Account
    level: Level
    exports: Exports | None = None
    only: str | None = None


class RunHead(Frozen):
    """What all points of one run share.

    ``excludes`` are the administrator's gitignore-style patterns; ``substitute`` copies what it wants of the accounts' files.
    """

    id: str
    started: str
    server: str
    workers: int
    excludes: tuple[str, ...] = ()
    substitute: Substitute | None = None


class Failure(Frozen):
    """An account that has no point from this run, and why."""

    account: str
    message: str


# What a client may keep, as words for people and for `strongroom clients`.
KEEPS = ("acl", "xattr", "hardlinks", "holes", "nanoseconds", "devices", "flags", "odd names")


class Capabilities(Frozen):
    """What a client can do. ``version`` is None where its software is not installed.

    ``keeps`` are words of `KEEPS` that come back, ``sidecar`` those of them that the software itself loses and that come from
    the metadata stored beside its data. ``scheduled``: a full point is worth a day of its own, not only the first one.
    ``partial``: single files are brought back without the rest being read. ``divisible``: several processes, forked from the
    one that opened the client, may ask for contents at the same time. ``in_place``: what it brings back has all attributes, so
    that it may be written over what stands there.
    """

    driver: str
    version: str | None
    levels: tuple[Level, ...]
    keeps: tuple[str, ...] = KEEPS
    sidecar: tuple[str, ...] = ()
    scheduled: bool = True
    partial: bool = True
    divisible: bool = False
    encrypted: bool = True
    remote: bool = False
    in_place: bool = True


class Monitor(Protocol):
    """Is told how work goes on. Calls are cheap and frequent (a few per second); implementations must not block."""

    def progress(self, *, accounts: str, done: FileCounts, expected_entries: int) -> None:
        """Say which accounts are at work, what has been done in all, and how many entries last time had (0: unknown)."""

    def read_back(self, done: int, expected: int) -> None:
        """Say how many bytes of how many a check has read back."""

    def note(self, message: str) -> None:
        """Say one thing a user should read now, such as an attribute that cannot be kept without root."""


class Readable(Protocol):
    """What a restore needs of whatever holds a point."""

    name: str

    def capabilities(self) -> Capabilities:
        """What it can do, and whether its software is there."""

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        """The entry at a stored path, or None."""

    def walk(self, point: Point, paths: Sequence[bytes]) -> Iterator[Entry]:
        """The entries at and below stored paths: folders before what they hold, siblings sorted; no entry twice."""

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """The content of files as ``(number in entries, offset, bytes)`` pieces, in the order cheapest to read.

        Exactly ``entry.stored`` bytes come for each file; what is a hole does not come. Raise ClientError when a piece
        cannot be read or is not what was stored.
        """


class Client(Readable, Protocol):
    """What every client can do. Errors are `strongroom.errors`; an unreadable file is never one, but a remark."""

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        """Back up accounts, several at once where the client can, and yield each one's outcome once it is durable."""

    def unlock(self) -> None:
        """Prove that what this client keeps can be read: raise ClientError for a wrong passphrase."""

    def points(self) -> list[Point]:
        """All points that can be restored, in no particular order."""

    def ids(self) -> set[str]:
        """The ids of `points()`, without reading them: what tells a catalog that it is up to date."""

    def load(self, ids: Iterable[str]) -> list[Point]:
        """The points with these ids."""

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        """What a folder holds, sorted by name; raise UnknownError when the path is not a folder of the point."""

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """The entries at and below stored paths, as `Readable` has them.

        For a ``listing`` names, kinds, sizes, owners and times are enough: a client that would have to read content to know
        more leaves attributes and links' targets out.
        """

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """What restoring these stored paths would read."""

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """Make a full point here that holds all that a point of another client does, and stands for the same moment.

        Where ``source`` is this client itself, the point's chain is made into a full one, on which later ones are built; what
        stands alone already is returned as it is. Raise ClientError or SourceError where there is no such point afterwards.
        """

    def forget(self, ids: Sequence[str]) -> None:
        """Make points unrestorable; their room is freed by `prune`."""

    def prune(self, *, dry_run: bool) -> Pruned:
        """Free what no point needs."""

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        """Check the storage; ``read_data`` is the share of the content to read back (0.0 to 1.0)."""

    def close(self) -> None:
        """Let go of whatever was made for this command alone."""
