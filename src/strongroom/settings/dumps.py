"""Dumps for the owners: what is due is written to their folders, what is too old is removed, who asked is told.

One failing database stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Protocol

from strongroom.errors import StrongroomError
from strongroom.model import Account, Frozen, Status
from strongroom.settings.databases import Databases
from strongroom.settings.dump_folder import DumpFolder, dump_folder
from strongroom.settings.dumping import free_name, pour
from strongroom.settings.naming import is_scheduled, stamp
from strongroom.settings.schedules import Schedule, Schedules, Target


class Dump(Frozen):
    """What came of one database; ``path`` is the owner's name of the file, empty when there is none."""

    target: Target
    status: Status
    path: str = ""
    bytes: int = 0
    message: str = ""


class Restorable(Frozen):
    """A file in an owner's folder that can be loaded back; ``stamp`` are the digits of its name, YYYYMMDDHHMMSS."""

    path: str
    name: str
    stamp: str
    bytes: int
    snapshot: bool


class Mailer(Protocol):
    """How notices leave: `strongroom.settings.notices.Mail`, or a test's own."""

    def send(self, to: str, subject: str, body: str) -> None:
        """Send one; raise SettingError."""


class Dumper:
    """Carries out schedules. ``note`` is told what is no failure and yet has to be known."""

    def __init__(
        self,
        databases: Databases,
        schedules: Schedules,
        mail: Mailer | None,
        note: Callable[[str], None],
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        """``mail`` is None where there is no way to send; ``clock`` gives local time, the owner's calendar."""
        self._databases = databases
        self._schedules = schedules
        self._mail = mail
        self._note = note
        self._clock = clock
        self._warned = False

    def due(self) -> Iterator[Dump]:
        """Dump what is due. A schedule moves on once it was carried out; the task of a dropped database goes away."""
        today = self._clock().date()
        for schedule in self._schedules.all():
            if schedule.next <= today:
                dump = self._scheduled(schedule)
                if dump:
                    yield dump

    def everything(self) -> Iterator[Dump]:
        """Dump every database of every account, due or not, and those without a schedule too."""
        schedules = {schedule.target: schedule for schedule in self._schedules.all()}
        for account, engine in product(self._databases.accounts, self._databases.servers):
            try:
                targets = self._databases.of(account, engine)
            except StrongroomError as error:
                yield _failed(Target(account=account, engine=engine, database="*"), error)
                continue
            for target in targets:
                yield self._dump(target, schedules.get(target))

    def _scheduled(self, schedule: Schedule) -> Dump | None:
        target = schedule.target
        try:
            if self._databases.holds(target):
                return self._dump(target, schedule)
            self._schedules.remove(target)
        except StrongroomError as error:
            return _failed(target, error)
        self._note(f"{target.account} {target.name}: there is no such database any more; its schedule is removed")
        return None

    def _dump(self, target: Target, schedule: Schedule | None) -> Dump:
        try:
            self._databases.holds(target)
            dump = self._written(target, schedule)
            if schedule:
                self._schedules.done(schedule, self._clock().date())
        except (StrongroomError, OSError) as error:
            dump = _failed(target, error)
        if schedule and schedule.email:
            self._tell(schedule, dump)
        return dump

    def _written(self, target: Target, schedule: Schedule | None) -> Dump:
        extension = schedule.extension if schedule else "gz"
        with dump_folder(self._databases.accounts[target.account], target.engine, make=True) as folder:
            folder.clear_drafts()
            moment = self._clock()
            name = free_name(folder, target.database, moment, extension)
            if schedule:
                self._schedules.remember(target, name)
            with folder.draft(name) as file:
                pour(self._databases.servers[target.engine], target.database, file, extension, name, moment)
            if schedule:
                self._remove_old(folder, schedule)
            size = next((status.st_size for each, status in folder.files() if each == name), 0)
            return Dump(target=target, status=Status.COMPLETE, path=f"{folder.path}/{name}", bytes=size)

    def _remove_old(self, folder: DumpFolder, schedule: Schedule) -> None:
        """Keep as many of the schedule's own dumps as it says; whatever else is in the folder is the owner's."""
        target = schedule.target
        there = {name for name, _ in folder.files()}
        made = self._schedules.made(target)
        kept = sorted(name for name in made if name in there and is_scheduled(name, target.database))
        surplus = kept[: -schedule.preserve] if schedule.preserve else []
        folder.remove(surplus)
        self._schedules.forget(target, [name for name in made if name not in there or name in surplus])

    def _tell(self, schedule: Schedule, dump: Dump) -> None:
        if self._mail is None:
            if not self._warned:
                self._note("notices by mail are not sent: there is no sendmail on this machine")
            self._warned = True
            return
        good = dump.status is Status.COMPLETE
        subject = f"Backup of {dump.target.database}: {'done' if good else 'FAILED'}"
        body = f"{dump.path}, {dump.bytes:,} bytes\n" if good else f"{dump.message}\n"
        try:
            self._mail.send(schedule.email, subject, f"{dump.target.account} {dump.target.name}\n{body}")
        except StrongroomError as error:
            self._note(str(error))


def restorable(account: Account, engine: str, database: str) -> list[Restorable]:
    """What could be loaded back into a database from its owner's folder, newest first: dumps, snapshots, uploads."""
    try:
        with dump_folder(account, engine, make=False) as folder:
            found = [
                Restorable(
                    path=f"{folder.path}/{name}",
                    name=name,
                    stamp=digits,
                    bytes=status.st_size,
                    snapshot="-snapshot." in name,
                )
                for name, status in folder.files()
                if (digits := stamp(name, database))
            ]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda each: (each.stamp, each.name), reverse=True)


def exit_status(dumps: Sequence[Dump]) -> int:
    """0 when all went well, 1 when some did, 2 when none did."""
    good = [dump for dump in dumps if dump.status is Status.COMPLETE]
    return 0 if len(good) == len(dumps) else 1 if good else 2


def _failed(target: Target, error: StrongroomError | OSError) -> Dump:
    message = str(error) if isinstance(error, StrongroomError) else f"{error.strerror or error}"
    return Dump(target=target, status=Status.FAILED, message=message)
