"""Scopes: the settings of the panel that concern backups, by the names its administrators know.

Where the panel has a scope, it is read and set through the panel's own program, and nothing is kept here. All others
are in the state folder; only what differs from the default is written down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Protocol

import msgspec

from strongroom.config import Days, Server
from strongroom.errors import SettingError, UnknownError, UsageError
from strongroom.model import Frozen, text
from strongroom.settings import durable

Value = bool | str

EXPORTS = "backups.automatic-database-exports"
PRUNE = "backups.prune"
TIME_LIMIT = "backups.time-limit"
NOTIFY = "cron.notify"
START_RANGE = "cron.start-range"

_FILE = b"scopes.json"
_LOCK = b"scopes"
_RANGE = re.compile(r"([0-9]{1,2})-([0-9]{1,2})", re.ASCII)
# No leading dash: an address is an argument of sendmail.
_ADDRESS = re.compile(r"[\w.+][\w.+-]{0,63}(@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,8})?", re.ASCII)
_MOST_HOURS = 168
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")


class PanelPort(Protocol):
    """How the panel's own scopes are reached: `strongroom.settings.panel_programs.PanelScopes`, or a test's own."""

    def knows(self, name: str) -> bool:
        """Whether the panel has a scope of this name."""

    def get(self, name: str) -> object:
        """A scope's value."""

    def set(self, name: str, value: str) -> None:
        """Set a scope."""


class Scope(Frozen):
    """One setting: what it does (``info``), what it takes (``settings``), and how that is read from a word."""

    name: str
    info: str
    settings: str
    default: Value
    parse: Callable[[str], Value]


class Described(Frozen):
    """All there is to know of a scope."""

    name: str
    info: str
    value: Value
    default: Value
    settings: str


def hours(value: Value) -> tuple[int, int]:
    """The first and last hour of a ``cron.start-range``, 0 to 24; raise ValueError with what it takes."""
    match = _RANGE.fullmatch(str(value))
    first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
    if not 0 <= first < last <= 24:
        raise ValueError("two hours as H-H, the first before the second, up to 24")
    return first, last


def limit_seconds(value: Value) -> int:
    """How long a part of the night may take by a ``backups.time-limit``, in seconds; raise ValueError with what it takes."""
    word = str(value)
    if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= _MOST_HOURS):
        raise ValueError(f"whole hours, from 1 to {_MOST_HOURS}")
    return int(word) * 3600


def _time_limit(word: str) -> str:
    return str(limit_seconds(word) // 3600)


def _boolean(word: str) -> bool:
    if word.lower() not in (*_TRUE, *_FALSE[:-1]):
        raise ValueError("true or false")
    return word.lower() in _TRUE


def _start_range(word: str) -> str:
    return "{}-{}".format(*hours(word))


def _days(word: str) -> str:
    try:
        return Days.parse(word).phrase
    except ValueError:
        raise ValueError("'never', 'daily', a weekday, or one of the month such as 'first sunday'") from None


def _address(word: str) -> str:
    if word and not _ADDRESS.fullmatch(word):
        raise ValueError("an address of mail, a user of this machine, or '' for nobody")
    return word


REGISTRY = {
    scope.name: scope
    for scope in (
        Scope(
            name=EXPORTS,
            info="Dump the accounts' databases to their owners' folders in the nightly job, as they are scheduled.",
            settings="true or false",
            default=True,
            parse=_boolean,
        ),
        Scope(
            name=PRUNE,
            info="On which days the nightly job frees the room that no restore point needs any more.",
            settings="never, daily, a weekday, or one of the month such as 'first sunday'",
            default="sunday",
            parse=_days,
        ),
        Scope(
            name=TIME_LIMIT,
            info="How long each part of the nightly job may take; one that takes longer is ended, and the next begins.",
            settings="whole hours, from 1 to 168",
            default="20",
            parse=_time_limit,
        ),
        Scope(
            name=NOTIFY,
            info="Who gets mail when something failed in the nightly job; '' is nobody.",
            settings="an address of mail, or a user of this machine",
            default="root",
            parse=_address,
        ),
        Scope(
            name=START_RANGE,
            info="From which hour to which the nightly job may begin; it does so soon after the first.",
            settings="H-H, hours of the day",
            default="3-22",
            parse=_start_range,
        ),
    )
}


class Scopes:
    """The scopes of one server. Unknown names raise UnknownError, values that are none UsageError."""

    def __init__(self, server: Server, panel: PanelPort | None = None) -> None:
        """``panel`` is the panel's own program, where one is installed."""
        self._server = server
        self._panel = panel

    def names(self, glob: str = "*") -> list[str]:
        """The names that a shell glob matches, sorted."""
        return sorted(name for name in REGISTRY if fnmatchcase(name, glob))

    def get(self, name: str) -> Value:
        """A scope's value."""
        scope = _scope(name)
        if self._panel and self._panel.knows(name):
            return self._of_panel(scope, self._panel.get(name))
        return self._kept().get(name, scope.default)

    def set(self, name: str, word: str) -> bool:
        """Set a scope to what a word says; whether that was a change. What is set already is not written again."""
        scope = _scope(name)
        try:
            value = scope.parse(word.strip())
        except ValueError as error:
            raise UsageError(f"{name}: {word!r} is not possible: it takes {error}") from None
        if self._panel and self._panel.knows(name):
            if self._of_panel(scope, self._panel.get(name)) == value:
                return False
            self._panel.set(name, str(value).lower() if isinstance(value, bool) else value)
            return True
        with durable.alone(self._server.state, _LOCK):
            return self._keep(scope, value)

    def describe(self, name: str) -> Described:
        """All there is to know of a scope."""
        scope = _scope(name)
        return Described(
            name=name, info=scope.info, value=self.get(name), default=scope.default, settings=scope.settings
        )

    def described(self, glob: str = "*") -> Iterator[Described]:
        """The same of every scope that a glob matches."""
        return map(self.describe, self.names(glob))

    def _keep(self, scope: Scope, value: Value) -> bool:
        kept = self._kept()
        if kept.get(scope.name, scope.default) == value:
            return False
        others = {name: other for name, other in kept.items() if name != scope.name}
        changed = others if value == scope.default else {**others, scope.name: value}
        durable.replace(self._path, msgspec.json.format(msgspec.json.encode(changed, order="sorted")) + b"\n")
        return True

    @property
    def _path(self) -> bytes:
        return durable.settings_path(self._server.state, _FILE)

    def _kept(self) -> dict[str, Value]:
        """What differs from the defaults; names that this version does not know are kept as they are."""
        path = self._server.state + b"/settings/" + _FILE
        content = durable.read(path)
        if content is None:
            return {}
        try:
            kept = msgspec.json.decode(content, type=dict[str, Value])
            for name in kept.keys() & REGISTRY.keys():
                REGISTRY[name].parse(str(kept[name]))
        except (msgspec.MsgspecError, ValueError) as error:
            raise SettingError(f"{text(path)}: damaged ({error}); remove it, and set the scopes again") from None
        return kept

    def _of_panel(self, scope: Scope, found: object) -> Value:
        """The panel's value as ours: PHP has several words for a boolean."""
        word = "" if found is None else str(found)
        if isinstance(scope.default, bool) and word.lower() in _FALSE:
            return False
        try:
            return scope.parse(word)
        except ValueError as error:
            raise SettingError(f"{scope.name}: the panel says {word[:80]!r}, and it takes {error}") from None


def _scope(name: str) -> Scope:
    if name not in REGISTRY:
        raise UnknownError(f"no scope {name!r}; there are {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]
