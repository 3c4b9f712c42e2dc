"""The contract between what is known of each kind of web app, the snapshots, and the updates that are assured.

A *kind* knows one web application: by which files it is known, where its settings stand, which of its folders are caches.
An *app* is one installation of a kind in one account. A *snapshot* is one git commit of an app's files with an export of
its database of the same moment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from strongroom.model import DATABASES, FILES, Frozen, Remark, Status
from strongroom.panel.folder import Folder
from strongroom.restores.request import RestoreCounts

__all__ = ["DATABASES", "FILES"]

# The folder of an owner's home that has the reports of updates.
REPORTS = b"webapp_reports"


class Lock(StrEnum):
    """Which updates an app takes: all, those of its major version, those of its minor version."""

    NONE = "none"
    MAJOR = "major"
    MINOR = "minor"


class Login(Frozen):
    """A database as an app's own settings name it: what a stranger wrote, which says nothing of whose it is.

    ``engine`` is ``mysql``, ``postgresql`` or ``sqlite``; ``name`` the database, for SQLite its path as the owner sees it.
    ``host`` is as the app writes it (``localhost:/run/mysqld/mysqld.sock``), ``prefix`` what its tables begin with.
    """

    engine: str
    name: str
    user: str = ""
    password: str = ""
    host: str = ""
    prefix: str = ""

    @property
    def shown(self) -> str:
        """The database as commands name it: ``mysql:shop_wp``."""
        return f"{self.engine}:{self.name}"

    def __repr__(self) -> str:
        return f"Login({self.shown})"


class Found(Frozen):
    """What a kind read in one folder. Empty: not to be known. ``url`` is only what the app's settings say themselves.

    The rest is for a kind whose apps say it themselves (an ad hoc manifest); None: as the kind has it.
    """

    version: str = ""
    login: Login | None = None
    url: str = ""
    title: str | None = None
    caches: tuple[str, ...] | None = None
    uploads: tuple[str, ...] | None = None
    writable: Mapping[str, tuple[bytes, ...]] | None = None
    upgrade: tuple[str, ...] | None = None


class Kind(ABC):
    """One web application, found by the entry point ``strongroom.webapps``; without state.

    Patterns are gitignore's, paths are bytes, both relative to the app's folder. ``caches`` are neither kept nor touched by
    a rollback; ``uploads`` are what visitors and editors brought: their attributes are kept and their content is not.
    ``writable`` has for each mode of Fortification (``max``, ``min``) what the web server may write. ``document_root`` is
    the folder that is served (empty: the app's own). ``upgrade`` is the command that brings the app's database up to the
    version of its files, run as the account in the app's folder (empty: there is none). ``tried`` says whether the tests
    have the real application; what was never tried is recognised all the same, and told so.
    """

    name: str
    title: str
    marks: tuple[bytes, ...]
    tried: bool = False
    caches: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    writable: Mapping[str, tuple[bytes, ...]] = {}
    document_root: bytes = b""
    upgrade: tuple[str, ...] = ()

    @abstractmethod
    def recognise(self, folder: Folder) -> Found | None:
        """What is in a folder that has all of ``marks``; None when it is not this kind after all.

        Whatever is read there is a stranger's: it is parsed within bounds and never executed. Never raises.
        """


class AppState(Frozen):
    """What is kept of one app beside the app itself.

    ``kind`` is what it was when its snapshots were turned on, so that it is still known when an update took away what it is
    known by. ``assurance`` counts while it has snapshots. ``failed`` is why its last update failed, empty when it did not;
    ``updated`` when one was last confirmed (ISO 8601 in UTC), empty for never.
    """

    kind: str = ""
    assurance: bool = True
    locked: Lock = Lock.NONE
    failed: str = ""
    updated: str = ""


class Inner(Frozen):
    """An app below another one's folder: its path from there, and whether it has snapshots of its own."""

    path: bytes
    snapshots: bool = False


class App(Frozen):
    """One app. ``app`` is its id, ``ACCOUNT:PATH``; ``path`` its folder as the owner sees it (``/var/www/html``).

    ``stored`` is the folder's stored path (``data/var/www/html``), ``place`` its server path: for messages alone, since what
    stands there is a stranger's. ``url`` is empty where nobody knows it. ``snapshots`` says whether they are on.
    ``document_root`` is the served folder as the owner sees it. ``title``, ``caches``, ``uploads``, ``writable``, ``upgrade``
    and ``tried`` are its kind's, or what the app says of itself. ``inner`` are the apps below its folder, which are none of
    its own.
    """

    app: str
    account: str
    kind: str
    version: str
    path: bytes
    stored: bytes
    place: bytes
    document_root: bytes
    url: str = ""
    login: Login | None = None
    title: str = ""
    caches: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    writable: Mapping[str, tuple[bytes, ...]] = {}
    upgrade: tuple[str, ...] = ()
    snapshots: bool = False
    tried: bool = True
    inner: tuple[Inner, ...] = ()
    state: AppState = AppState()

    @property
    def database(self) -> str:
        """The app's database as commands name it, empty where it has none."""
        return self.login.shown if self.login else ""

    @property
    def assurance(self) -> bool:
        """Whether updates are probed and rolled back."""
        return self.snapshots and self.state.assurance


class Snapshot(Frozen):
    """One snapshot. ``id`` is its commit, ``time`` ISO 8601 in UTC, ``label`` one line.

    ``status`` is incomplete when something of files or database is not in it that should be; the warnings name it.
    ``sealed`` says whether it is as Strongroom made it for this app on this server: what is not brings no owner back that
    is not the account's own.
    """

    id: str
    time: str
    label: str
    version: str = ""
    files: int = 0
    bytes: int = 0
    databases: tuple[str, ...] = ()
    gap_seconds: float = 0.0
    status: Status = Status.COMPLETE
    warnings: tuple[Remark, ...] = ()
    sealed: bool = True


class Change(Frozen):
    """One difference, as ``diff`` tells it: ``change`` is ``added``, ``removed`` or ``changed``.

    ``path`` is relative to the app's folder; a table of a database is ``databases:/mysql/shop/posts``.
    """

    path: bytes
    change: str
    what: tuple[str, ...] = ()


class RolledBack(Frozen):
    """What a rollback did. ``before`` is the snapshot of what was there, which takes it back; None: there was no room for it.

    ``lost`` are files (stored paths) whose content snapshots do not keep, and which are not there any more as they were;
    ``stays`` are such files that came since, and were not taken away.
    """

    app: str
    snapshot: str
    before: str | None
    status: Status
    files: RestoreCounts = RestoreCounts()
    databases: tuple[str, ...] = ()
    warnings: tuple[Remark, ...] = ()
    lost: tuple[bytes, ...] = ()
    stays: tuple[bytes, ...] = ()


class Snapshots(Protocol):
    """An app's snapshots. Errors are `strongroom.errors.SnapshotError`, and BusyError while another works on the app.

    Each call first ends what an earlier one left half done, so that the app is as before it or as after it.
    """

    def enable(self, app: App) -> Snapshot:
        """Make the repository in the app's folder, and the first snapshot; assurance is on from then."""

    def disable(self, app: App) -> None:
        """Remove the repository with all snapshots."""

    def take(self, app: App, label: str) -> Snapshot:
        """Keep files and database as they are now."""

    def list(self, app: App) -> list[Snapshot]:
        """All of them, newest first."""

    def find(self, app: App, reference: str = "latest") -> Snapshot:
        """The one that a unique prefix of an id means, or ``latest``, the newest that no rollback took; raise UnknownError."""

    def holds(self, app: App, reference: str) -> bool:
        """Whether a snapshot is there with all that belongs to it."""

    def diff(self, app: App, one: str, other: str | None = None) -> Sequence[Change]:
        """What changed from one snapshot to another, or to what is there now."""

    def rollback(self, app: App, reference: str = "latest", *, only: str | None = None) -> RolledBack:
        """Put files and database back as a snapshot has them; ``only`` is ``files`` or ``databases``.

        What is there now is kept in a snapshot first. Caches, uploads and apps below this one stay as they are.
        """
