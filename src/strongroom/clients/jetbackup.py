"""JetBackup 5 as a client: its backups are points, one can be started, and one is brought back beside the account.

It is no tool that copies what it is shown, as others are: it backs up the accounts of its panel by its own jobs, keeps them
by its own schedules, and says nothing of attributes. So its points are never complete, and what its API cannot do is
refused in one line. What is in a backup is known from a download of it alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from strongroom.clients import opening
from strongroom.clients.base import Capabilities, Client, Failure, Monitor, RunHead, Task
from strongroom.clients.jetbackup_api import Api, Arguments
from strongroom.clients.jetbackup_archive import Archive, plain
from strongroom.clients.jetbackup_points import Backups, Snapshot
from strongroom.clients.jetbackup_queue import DOWNLOAD, Ended, Ending, Queue
from strongroom.clients.sidecar import sort_key
from strongroom.clients.workroom import Workroom
from strongroom.config import Config
from strongroom.config.identity import server_id
from strongroom.config.values import JetBackup
from strongroom.errors import ClientError, SourceError, UnknownError, UsageError
from strongroom.model import (
    Account,
    Damage,
    Entry,
    FileType,
    Level,
    Point,
    Pruned,
    ReadPlan,
    ReadStep,
    Remark,
    Status,
    Verification,
    text,
)

_ADOPTED = (
    "made by JetBackup and adopted: whether attributes were kept, and whether databases and files are of one moment, "
    "nobody has proven"
)
# A downloaded archive may hold so many times what JetBackup said of the backup's size (it counts what it stores).
_MOST_TIMES = 20
_LEAST_BYTES = 1 << 30
_BYTES_PER_SECOND = 30_000_000
_SECONDS_TO_BEGIN = 30.0


class JetBackupClient:
    """The port `clients.base.Client`."""

    def __init__(self, name: str, settings: JetBackup, server: str, folder: bytes) -> None:
        self.name = name
        self._settings, self._server = settings, server
        self._api = Api(settings.program)
        self._backups = Backups(self._api, folder)
        self._room = Workroom(folder)
        self._opened: dict[str, Archive] = {}
        self._open = contextlib.ExitStack()

    @classmethod
    def open(cls, config: Config, name: str) -> JetBackupClient:
        """The client that a table of the configuration describes. Raise ClientError where it is to be the default one."""
        settings = config.clients[name]
        assert isinstance(settings, JetBackup)  # noqa: S101  (the driver's name says so)
        if config.backup.client == name:
            raise ClientError(
                f"client {name} makes incomplete points only, so it cannot be backup.client; name another one there"
            )
        return cls(name, settings, server_id(config.server), opening.folder_of(config, name))

    def capabilities(self) -> Capabilities:
        """See the port. Each backup is restored by itself; how much is copied for it, JetBackup's own jobs decide."""
        return Capabilities(
            driver="jetbackup",
            version=self._version(),
            levels=(Level.FULL,),
            keeps=(),
            partial=False,
            encrypted=False,
            remote=True,
            in_place=False,
        )

    def _version(self) -> str | None:
        if not self._api.present():
            return None
        if self._api.version is None:
            self._api.call("getInfo")
        return self._api.version or "unknown"

    def unlock(self) -> None:
        """See the port: that it answers."""
        self._api.call("getInfo")

    # --- backing up -----------------------------------------------------------------------------------------------

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        """See the port: one account after another, or all by one run of a job. Databases are dumped by JetBackup itself."""
        for task in tasks:
            if task.only is not None:
                raise UsageError(f"client {self.name}: what a JetBackup backup holds, its job says; leave out --only")
        with self._room.alone("back up"):
            before = set(self._backups.all())
            job = self._settings.job
            ended = self._run("runBackupJobManually", {"_id": job}, {job}, monitor) if job else None
            for task in tasks:
                try:
                    yield self._make(task.account, before, ended, monitor)
                except (ClientError, SourceError) as error:
                    if len(tasks) == 1:
                        raise
                    yield Failure(account=task.account.name, message=str(error))
                finally:
                    if task.exports is not None:
                        task.exports.release()
        for remark in self._api.remarks:
            monitor.note(remark)

    def _make(self, account: Account, before: set[str], ended: Ended | None, monitor: Monitor) -> Point:
        """The new point of an account, from a job that has ended or from a backup on demand."""
        id = self._account_id(account.name)
        if ended is None:
            ended = self._run("createBackupOnDemand", {"account_id": id}, {id, account.name}, monitor)
        new = [each for each in self._backups.all().values() if each.id not in before and each.account_id == id]
        if not new:
            raise ClientError(f"JetBackup says that it backed {account.name} up, and lists no new backup of it")
        return self._point(max(new, key=lambda each: each.created), ended)

    def _run(self, function: str, arguments: Arguments, marks: set[str], monitor: Monitor) -> Ended:
        """Have JetBackup back up, and wait for its end. Raise ClientError where it came to nothing."""
        queue = self._queue(lambda said: monitor.note(f"JetBackup: {said}"))
        known = queue.groups()
        self._api.call(function, arguments)
        ended = queue.wait(queue.started(known, marks))
        self._backups.forget()
        return ended

    def _account_id(self, name: str) -> str:
        for found in self._api.all("listAccounts", "accounts", {"find": {"username": name}}):
            if found.get("username") == name and found.get("_id"):
                return str(found["_id"])
        raise SourceError(f"JetBackup has no account '{name}': it backs up the accounts of its panel, and nothing else")

    def _queue(self, tell: Callable[[str], None]) -> Queue:
        return Queue(self._api, self._settings.timeout, tell)

    # --- points ---------------------------------------------------------------------------------------------------

    def points(self) -> list[Point]:
        """See the port."""
        return [self._point(each) for each in self._backups.all().values()]

    def ids(self) -> set[str]:
        """See the port."""
        return set(self._backups.all())

    def load(self, ids: Iterable[str]) -> list[Point]:
        """See the port."""
        return [self._point(self._snapshot(id)) for id in ids]

    def _snapshot(self, id: str) -> Snapshot:
        found = self._backups.all().get(id)
        if found is None:
            raise UnknownError(f"JetBackup has no backup {id} any more; see: strongroom points")
        return found

    def _point(self, found: Snapshot, ended: Ended | None = None) -> Point:
        said = [_ADOPTED]
        if found.broken:
            said.append(f"it cannot be brought back: {found.broken}")
        if ended is not None and ended.how is Ending.PARTIAL:
            said.append(f"JetBackup did a part of it: {ended.message}")
        return Point(
            id=found.id,
            account=found.account,
            time=found.created,
            level=Level.FULL,
            client=self.name,
            status=Status.INCOMPLETE,
            run=found.id,
            # Clocks are all that JetBackup orders its backups by.
            seq=int(datetime.fromisoformat(found.created).timestamp()),
            server=self._server,
            started=found.created,
            finished=found.created,
            bytes=found.size,
            stored_bytes=found.size,
            warnings=tuple(Remark(path=b"", message=each) for each in said),
        )

    # --- what a backup holds --------------------------------------------------------------------------------------

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        """See the port. Every question about a backup's content needs a download of it."""
        return self._archive(point).lookup(path)

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        """See the port."""
        archive = self._archive(point)
        entry = archive.lookup(path)
        if entry is None or entry.type is not FileType.DIR:
            raise UnknownError(f"the point holds no folder {text(path)!r}")
        return archive.children(path)

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """See the port."""
        archive = self._archive(point)
        walked = b"\0"
        for path in sorted(set(paths), key=sort_key):
            if archive.lookup(path) is None:
                raise UnknownError(f"the point holds no {text(path)!r}")
            if not path.startswith(walked + b"/"):
                walked = path
                yield from archive.below(path)

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port."""
        archive = self._archive(point)
        for number, entry in enumerate(entries):
            for offset, data in archive.content(entry):
                yield number, offset, data

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port: always all of the backup."""
        found = self._snapshot(point.id)
        step = ReadStep(run=found.id, level=Level.FULL, what="a download of the whole backup", bytes=found.size)
        seconds = _SECONDS_TO_BEGIN + found.size / _BYTES_PER_SECOND
        return ReadPlan(reads=(step,), bytes=found.size, seconds=round(seconds, 1))

    def _archive(self, point: Point) -> Archive:
        """A backup, downloaded once in this command."""
        if point.id not in self._opened:
            found = self._snapshot(point.id)
            if found.broken:
                raise ClientError(f"point {found.id} cannot be brought back: {found.broken}")
            downloaded = self._download(found)
            folder = self._open.enter_context(self._room.spare())
            unpacked = os.path.join(folder, b"archive")
            plain(downloaded, unpacked, max(_LEAST_BYTES, found.size * _MOST_TIMES))
            archive = Archive(unpacked)
            self._open.callback(archive.close)
            self._opened[point.id] = archive
        return self._opened[point.id]

    def _download(self, found: Snapshot) -> bytes:
        """Have JetBackup put a backup into its folder of downloads; returns the file. It is JetBackup's, and it removes it."""
        wanted = re.compile(rb"download_%s_\d+_\d+\.tar(\.gz)?" % re.escape(os.fsencode(found.account)))
        before = set(_files(self._settings.downloads, wanted))
        queue = self._queue(lambda said: None)
        ended = queue.wait(queue.add({"type": DOWNLOAD, "snapshot_id": found.id}))
        if ended.how is Ending.PARTIAL:
            raise ClientError(f"JetBackup could download backup {found.id} in part only: {ended.message}")
        new = [path for path in _files(self._settings.downloads, wanted) if path not in before]
        if len(new) != 1:
            raise ClientError(
                f"JetBackup says that backup {found.id} was downloaded, and {text(self._settings.downloads)} has "
                f"{len(new)} new files of {found.account}; set downloads to its folder of downloads"
            )
        return new[0]

    def close(self) -> None:
        """See the port: what was brought here goes."""
        self._open.close()
        self._opened.clear()

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """See the port: its own points stand alone, and it takes none of others."""
        if source is self:
            return point
        raise ClientError(f"client {self.name}: JetBackup makes its backups of live accounts alone; copy to another client")

    # --- care -----------------------------------------------------------------------------------------------------

    def forget(self, ids: Sequence[str]) -> None:
        """See the port: refused, where there is anything to forget."""
        if ids:
            raise ClientError(
                f"client {self.name}: what goes and when, JetBackup's own schedules say; change them there"
            )

    def prune(self, *, dry_run: bool) -> Pruned:
        """See the port: JetBackup frees its room by itself."""
        return Pruned(freed_bytes=0, held_bytes=0, objects=0)

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        """See the port: by JetBackup's own marks; it reads nothing back."""
        if repair:
            raise UsageError("--repair is for the vault; what JetBackup can mend, it mends itself")
        if read_data:
            raise UsageError("--read-data is not for JetBackup: nothing reads its backups back but a download")
        found = self._backups.all(anew=True).values()
        for remark in self._api.remarks:
            monitor.note(remark)
        monitor.note(f"{self.name}: JetBackup's own marks were looked at; it reads nothing back")
        damage = tuple(Damage(object=each.id, message=each.broken, points=(each.id,)) for each in found if each.broken)
        return Verification(objects=len(found), bytes_read=0, damage=damage)


def _files(folder: bytes, wanted: re.Pattern[bytes]) -> Iterator[bytes]:
    """The files of certain names in a folder, and in those directly below it."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        raise ClientError(
            f"{text(folder)}: {error.strerror}; set downloads to JetBackup's folder of downloads"
        ) from None
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError), os.scandir(entry.path) as below:
                yield from (each.path for each in below if wanted.fullmatch(each.name))
        elif wanted.fullmatch(entry.name):
            yield entry.path
