"""Puts an app back as a snapshot has it: first the database, then the files, through the writing half of a restore.

Everything that can be refused is refused before anything is changed: all contents that will be needed are read and checked
first. What fails half-way is put back as it was, from the snapshot that was taken before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress

import msgspec

from strongroom.clients.base import Monitor
from strongroom.errors import SnapshotError
from strongroom.model import DATABASES, FILES, Account, Entry, FileType, Remark, Status, text
from strongroom.panel.sources import literal
from strongroom.restores.attributes import Keeper, same_attributes, same_flags, same_xattrs
from strongroom.restores.beneath import FOLDER, LOOK, Folder, Folders, open_folder, remove
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import Mode, RestoreCounts, RestoreRequest, RestoreResult
from strongroom.restores.restore import restore
from strongroom.restores.staging import staging_name
from strongroom.settings.schedules import Target
from strongroom.webapps.base import App, Inner, RolledBack
from strongroom.webapps.snapshots import databases
from strongroom.webapps.snapshots.databases import AppDatabases
from strongroom.webapps.snapshots.journal import Begun
from strongroom.webapps.snapshots.lines import path_of
from strongroom.webapps.snapshots.picture import Patterns
from strongroom.webapps.snapshots.place import User, data_of
from strongroom.webapps.snapshots.stored import Source, Stored, only_own

# What two sights of an entry have to have in common for it to need nothing.
_FIELDS = ("type", "mode", "uid", "gid", "mtime", "size", "content", "target", "rdev", "flags", "xattrs", "links")


class Back(msgspec.Struct, frozen=True):
    """What came of it: counts of files, databases that were put back, warnings."""

    files: RestoreCounts = RestoreCounts()
    databases: tuple[str, ...] = ()
    warnings: tuple[Remark, ...] = ()
    incomplete: bool = False
    lost: tuple[bytes, ...] = ()
    stays: tuple[bytes, ...] = ()

    def told(self, begun: Begun) -> RolledBack:
        """It as commands show it."""
        return RolledBack(
            app=begun.app,
            snapshot=begun.snapshot,
            before=begun.before or None,
            status=Status.INCOMPLETE if self.incomplete else Status.COMPLETE,
            files=self.files,
            databases=self.databases,
            warnings=self.warnings,
            lost=self.lost,
            stays=self.stays,
        )


class Rollback:
    """One way back of one app to one snapshot; `check` first, then `run`."""

    def __init__(
        self, account: Account, app: App, user: User, stored: Stored, bases: AppDatabases, only: str | None
    ) -> None:
        self._account, self._app, self._user, self._stored, self._bases = account, app, user, stored, bases
        self._only = only
        self._full = False
        self._lost: list[bytes] = []
        self._stays: list[bytes] = []
        self._remarks = Remarks()
        entries = stored.entries()
        own = (user.uid, user.gid)
        entries = entries if stored.sealed else only_own(entries, account, own, self._remarks)
        self._patterns = patterns_since(stored, app)
        self._entries = [entry for entry in entries if not self._patterns.is_apart(entry)]
        self._targets = [
            Target(account=app.account, engine=copy.engine, database=copy.name) for copy in stored.facts.databases
        ]
        if only == DATABASES and not self._targets:
            raise SnapshotError(f"snapshot {stored.commit.id[:12]} of {app.app} holds no database")

    def check(self, there: Collection[Entry]) -> None:
        """Read all that will be needed; raise SnapshotError where it is missing or damaged. ``there`` is what stands there."""
        if self._only != DATABASES:
            standing = {entry.content for entry in there}
            for blob in {entry.content for entry in self._entries} - standing - {None}:
                self._stored.read(str(blob))
        for target in self._wanted():
            databases.check(target, self._stored.databases, self._stored.read)

    def run(
        self, there: Collection[Entry], before: Stored | None, restore_id: str, monitor: Monitor, *, full: bool
    ) -> Back:
        """Do it. ``before`` is the snapshot of what was there: a database that is as in both needs nothing.

        ``full``: there was no room to keep what was there. What the snapshot has otherwise goes before anything is written.
        """
        back: list[str] = []
        self._full = full
        if full and self._only != DATABASES:
            self._make_room(there)
        for target in self._wanted():
            if not self._same_database(target, before):
                for message in self._bases.load(target, self._stored.databases, self._stored.read):
                    self._remarks.warn(b"", f"{target.name}: {message}", missing=False)
            back.append(target.name)
        if self._only == DATABASES:
            return self._back(RestoreCounts(), back, ())
        result = self._restore(there, restore_id, monitor)
        self._mend_left_out(there)
        return self._back(result.files, back, result.warnings, incomplete=result.status != "complete")

    def _wanted(self) -> list[Target]:
        return [] if self._only == FILES else self._targets

    def _back(
        self, files: RestoreCounts, back: list[str], warnings: tuple[Remark, ...], *, incomplete: bool = False
    ) -> Back:
        return Back(
            files=files,
            databases=tuple(back),
            warnings=(*self._remarks.all(), *warnings),
            incomplete=incomplete or self._remarks.incomplete,
            lost=tuple(self._lost),
            stays=tuple(self._stays),
        )

    def _same_database(self, target: Target, before: Stored | None) -> bool:
        """Whether an export of just now has the same files as the one that would be loaded."""
        if before is None:
            return False
        try:
            now = databases.manifest_of(target, before.databases, before.read)
        except SnapshotError:
            return False
        then = databases.manifest_of(target, self._stored.databases, self._stored.read)
        return sorted(now.files, key=repr) == sorted(then.files, key=repr) and now.attributes == then.attributes

    def _make_room(self, there: Collection[Entry]) -> None:
        """Remove files that the snapshot does not have as they are: it has others in their place, or none."""
        wanted = {entry.path: entry for entry in self._entries}
        patterns = self._patterns
        folders = Folders()
        try:
            root = folders.adopt(Folder(b"data", b"", None), os.open(data_of(self._account) or b"", FOLDER))
            for entry in there:
                if entry.type is not FileType.FILE or patterns.is_upload(entry):
                    continue
                # What is too large to be kept is gone for good, so it goes only where the snapshot has nothing of it.
                old = wanted.get(entry.path)
                if old is None or (entry.content is not None and not _same(old, entry)):
                    with suppress(
                        OSError
                    ):  # what cannot go frees nothing; the restore says so of what it cannot replace
                        at, name = _folder_of(folders, root, entry)
                        if os.stat(name, dir_fd=at, follow_symlinks=False).st_ino == entry.inode:
                            os.unlink(name, dir_fd=at)
        finally:
            folders.close()

    def _restore(self, there: Collection[Entry], restore_id: str, monitor: Monitor) -> RestoreResult:
        source = Source(self._app, self._recognised(there), self._stored)
        patterns = self._patterns
        own = self._account.users | {self._user.uid}
        request = RestoreRequest(
            id=restore_id,
            point=source.point(),
            paths=(self._app.stored,),
            account=self._account,
            targets={"data": data_of(self._account) or b""},
            mode=Mode.MIRROR,
            users=own,
            groups=frozenset({self._user.gid}),
            excludes=(*patterns.left, *patterns.uploads, *_left_out(self._entries), *self._came_since(there)),
        )
        return restore(request, source, monitor)

    def _came_since(self, there: Collection[Entry]) -> Iterator[str]:
        """Patterns for files that came since, and that no snapshot keeps: taken away, they would be lost. So are uploads."""
        wanted = {entry.path for entry in self._entries}
        for entry in there:
            if entry.path in wanted:
                continue
            if self._patterns.is_upload(entry):
                self._stays += [entry.path] if entry.type is FileType.FILE else []
            elif not self._full:
                for pattern in _left_out([entry]):
                    self._stays.append(entry.path)
                    self._remarks.warn(entry.path, "came since, and is too large to be kept: it stays", missing=False)
                    yield pattern

    def _recognised(self, there: Collection[Entry]) -> Iterator[Entry]:
        """The entries, those that stand there as they are told by their inode, so that nothing of them is read again."""
        standing = {entry.path: entry for entry in there}
        for entry in self._entries:
            now = standing.get(entry.path)
            if now is not None and entry.type is not FileType.DIR and _same(entry, now):
                entry = msgspec.structs.replace(entry, inode=now.inode, ctime=now.ctime)
            yield entry

    def _mend_left_out(self, there: Collection[Entry]) -> None:
        """Files whose content is not kept get their attributes back where they are the same files, and are named else."""
        standing = {entry.path: entry for entry in there}
        folders = Folders()
        try:
            root = folders.adopt(Folder(b"data", b"", None), os.open(data_of(self._account) or b"", FOLDER))
            for entry in self._entries:
                if entry.type is FileType.FILE and entry.size and not entry.stored:
                    now = standing.get(entry.path)
                    if now is None or (now.size, now.mtime) != (entry.size, entry.mtime):
                        message = "not there any more as it was, and snapshots do not keep its content; see the account's points"
                        self._remarks.warn(entry.path, message, missing=False)
                        self._lost.append(entry.path)
                    elif not _same(entry, now):
                        self._mend(folders, root, entry)
        finally:
            folders.close()

    def _mend(self, folders: Folders, root: Folder, entry: Entry) -> None:
        """Put attributes back, or say that they are not."""
        try:
            at, name = _folder_of(folders, root, entry)
            fd = os.open(name, LOOK, dir_fd=at)
        except OSError as error:
            self._remarks.warn(entry.path, f"its mode, owner and attributes are not put back: {error.strerror}")
            return
        try:
            status = os.fstat(fd)
            # One name alone, and in this account: it is nobody else's file.
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size != entry.size:
                message = (
                    "its mode, owner and attributes are not put back: it has other names too, or changed meanwhile"
                )
                self._remarks.warn(entry.path, message)
            elif not (same_attributes(status, entry) and same_xattrs(fd, entry) and same_flags(fd, entry)):
                Keeper(self._remarks).mend_folder(fd, entry)
        finally:
            os.close(fd)


def among_others(app: App, stored: Stored) -> App:
    """The app for a way back to a snapshot: of the apps below it those count that were there then, and those that have
    snapshots of their own. Another one may be what an update brought, and goes with it.
    """
    then = [path_of(path) for path in stored.facts.apart] if stored.sealed else []
    apart = {*then, *(inner.path for inner in app.inner if inner.snapshots)}
    return msgspec.structs.replace(app, inner=tuple(Inner(path=path) for path in sorted(apart)))


def patterns_since(stored: Stored, app: App) -> Patterns:
    """What is left alone: what was left out of a snapshot, and what would be now."""
    then = stored.facts if stored.sealed else app
    apart = [inner.path for inner in app.inner]
    return Patterns(app, (*then.caches, *app.caches), (*then.uploads, *app.uploads), apart)


def _folder_of(folders: Folders, root: Folder, entry: Entry) -> tuple[int, bytes]:
    """The open folder that an entry is in, reached from the account's data, and its name there. Raise OSError."""
    folder = root
    *above, name = entry.path.split(b"/")[1:]
    for part in above:
        folder = folders.open(Folder(folder.path + b"/" + part, part, folder))
    return folders.fd(folder), name


def clear_staging(account: Account, restore_id: str) -> None:
    """Remove what a killed rollback left beside the account: all of it is in the snapshot that was taken before."""
    name = staging_name(account.name, restore_id)
    above = os.open(os.path.dirname(data_of(account) or b"/"), FOLDER & ~os.O_NOFOLLOW)
    try:
        fd = open_folder(above, name)
    except OSError:
        os.close(above)
        return
    try:
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700:
            for each in os.listdir(fd):
                remove(fd, os.fsencode(each))
            os.rmdir(name, dir_fd=above)
    finally:
        os.close(fd)
        os.close(above)


def _same(one: Entry, other: Entry) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in _FIELDS)


def _left_out(entries: Collection[Entry]) -> Iterator[str]:
    """Patterns for the files whose content is not kept: a rollback does not take them for extra ones."""
    for entry in entries:
        if entry.type is FileType.FILE and entry.size and not entry.stored:
            yield text(literal(entry.path.partition(b"/")[2]))
