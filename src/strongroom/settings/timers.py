"""The nightly job in the server's own clockwork: a systemd timer, or a script in ``cron.daily`` for anacron.

Everything is written below the server's ``etc``, and only there is it looked for.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from strongroom.config import Config
from strongroom.errors import SettingError
from strongroom.model import Frozen, text
from strongroom.settings import durable, units
from strongroom.settings.nightly import last_night, own_program
from strongroom.settings.panel_programs import panel_exports
from strongroom.settings.scopes import START_RANGE, Scopes, hours

NAME = "strongroom-nightly"

_UNITS = b"/etc/systemd/system"
_SERVICE = _UNITS + b"/strongroom-nightly.service"
_TIMER = _UNITS + b"/strongroom-nightly.timer"
_WANTED = _UNITS + b"/timers.target.wants/strongroom-nightly.timer"
_SCRIPT = b"/etc/cron.daily/strongroom"
# There as long as systemd is what started this machine: sd_booted(3).
_BOOTED = b"/run/systemd/system"
_CRONS = (b"/usr/sbin/anacron", b"/usr/sbin/cron", b"/usr/sbin/crond", b"/etc/cron.hourly/0anacron")


class How(StrEnum):
    """Which clockwork starts the job."""

    SYSTEMD = "systemd"
    CRON = "cron"


class State(Frozen):
    """The nightly job as it stands. Times are ISO 8601 in UTC; ``next`` is the earliest, before any random delay."""

    name: str
    enabled: bool
    how: How | None
    next: str | None
    last: str | None
    result: str | None


class Timers:
    """The nightly job of one server."""

    def __init__(self, config: Config, scopes: Scopes) -> None:
        self._config = config
        self._server = config.server
        self._scopes = scopes

    def choose(self) -> How:
        """What suits this server.

        Where the panel dumps databases from ``cron.daily``, the job belongs behind it in the same place: a timer of its
        own could come before.
        """
        booted = os.path.isdir(self._server.below(_BOOTED))
        return How.SYSTEMD if booted and not panel_exports(self._server) else How.CRON

    def install(self, how: How) -> list[str]:
        """Write the job, and take away the other kind; give back what the administrator should know.

        Raise SettingError when it cannot be written, or a file of somebody else's is in its place.
        """
        self._refuse_foreign()
        self._remove(*((_SCRIPT,) if how is How.SYSTEMD else (_WANTED, _TIMER, _SERVICE)))
        if how is How.CRON:
            self._write(_SCRIPT, units.script(self._command("--quiet", "nightly")), 0o755)
        else:
            self._write(_SERVICE, units.service(self._config, self._command("nightly", "--notify")), 0o644)
            self._write(_TIMER, units.timer(hours(self._scopes.get(START_RANGE))), 0o644)
            self._link()
        return self._advice(how)

    def remove(self) -> list[bytes]:
        """Take the job away, whichever kind; the files that were removed."""
        self._refuse_foreign()
        return self._remove(_WANTED, _TIMER, _SERVICE, _SCRIPT)

    def installed(self) -> How | None:
        """Which kind is installed and enabled."""
        if self._exists(_TIMER) and self._exists(_WANTED):
            return How.SYSTEMD
        path = self._server.below(_SCRIPT)
        return How.CRON if os.path.isfile(path) and os.access(path, os.X_OK) else None

    def show(self, now: datetime) -> State:
        """The job as it stands; ``now`` is local time."""
        record = last_night(self._server.state)
        how = self.installed()
        began = datetime.fromisoformat(record.started) if record else None
        return State(
            name=NAME,
            enabled=how is not None,
            how=how,
            next=_iso(next_start(how, self._first_hour, now, began)) if how else None,
            last=record.started if record else None,
            result=record.result if record else None,
        )

    @property
    def _first_hour(self) -> int:
        return hours(self._scopes.get(START_RANGE))[0]

    def _command(self, *arguments: str) -> list[str]:
        return [*own_program(), "--config", text(self._config.path), *arguments]

    def _advice(self, how: How) -> list[str]:
        panel = panel_exports(self._server)
        if how is How.SYSTEMD and panel:
            return [f"{text(panel)} may dump databases after this timer: install with --cron to come behind it"]
        if how is How.CRON and not any(os.path.exists(self._server.below(path)) for path in _CRONS):
            return ["nothing on this server runs /etc/cron.daily yet: install anacron"]
        return []

    def _write(self, path: bytes, content: str, mode: int) -> None:
        place = self._server.below(path)
        try:
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        except OSError as error:
            raise _unwritable(place, error) from None
        durable.replace(place, content.encode("utf-8", "surrogateescape"), mode)

    def _link(self) -> None:
        """Enable the timer, as ``systemctl enable`` does."""
        place = self._server.below(_WANTED)
        try:
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
            with suppress(FileExistsError):
                os.symlink(b"../" + os.path.basename(_TIMER), place)
            durable.sync_folder(os.path.dirname(place))
        except OSError as error:
            raise _unwritable(place, error) from None

    def _remove(self, *paths: bytes) -> list[bytes]:
        places = [self._server.below(path) for path in paths if self._exists(path)]
        for place in places:
            try:
                os.unlink(place)
                durable.sync_folder(os.path.dirname(place))
            except OSError as error:
                raise _unwritable(place, error) from None
        return places

    def _refuse_foreign(self) -> None:
        """Raise SettingError for a file in the job's place that is not the job's."""
        for path in (_SERVICE, _TIMER, _SCRIPT):
            place = self._server.below(path)
            if not self._exists(path):
                continue
            ours = stat.S_ISREG(os.lstat(place).st_mode) and units.MARK.encode() in (durable.read(place) or b"")
            if not ours:
                raise SettingError(f"{text(place)} is not of strongroom timers install; move it away first")

    def _exists(self, path: bytes) -> bool:
        return os.path.lexists(self._server.below(path))


def is_running_systemd(config: Config) -> bool:
    """Whether the server's tree is this machine's own, and systemd started it."""
    return config.server.root == b"/" and os.path.isdir(_BOOTED)


def tell_systemd(*commands: Sequence[str]) -> None:
    """Let the running systemd know of what was written; raise SettingError when it does not take it."""
    program = shutil.which("systemctl") or "systemctl"
    for arguments in commands:
        try:
            done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", check=False)
        except OSError as error:
            raise SettingError(f"{program}: {error.strerror}; run it yourself: {' '.join(arguments)}") from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise SettingError(f"{program} {' '.join(arguments)}: {said}")


def next_start(how: How, hour: int, now: datetime, last: datetime | None) -> datetime:
    """When the job begins next at the earliest.

    A timer goes off at its hour. ``cron.daily`` is done once on each day, and on this one still if it was not yet.
    """
    today = _at(now, hour)
    tomorrow = _at(now + timedelta(days=1), hour)
    if how is How.SYSTEMD:
        return today if now < today else tomorrow
    done = last is not None and last.astimezone(now.tzinfo).date() == now.date()
    return tomorrow if done else max(now, today)


def _at(day: datetime, hour: int) -> datetime:
    return datetime.combine(day.date(), time(hour)).astimezone()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _unwritable(place: bytes, error: OSError) -> SettingError:
    return SettingError(f"{text(place)}: cannot be written or removed ({error.strerror}); run as root")
