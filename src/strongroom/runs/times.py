"""Moments as users type them and as JSON shows them.

A TIME names a span: a date a whole day, ``14:30`` a minute, ``2026-11-22T14:30:05`` a second. Whoever asks for the
state *at* a TIME means its end, whoever asks for what came *since* a TIME means its beginning; so a point's own time,
cut to seconds by a screen, still finds that point.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum

from strongroom.counting import counted
from strongroom.errors import UsageError
from strongroom.model import Time

_NANOSECONDS = 1_000_000_000
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGO = re.compile(r"(\d{1,6}|an?) (second|minute|hour|day|week|month|year)s? ago")
_UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": _DAY,
    "week": 7 * _DAY,
    "month": 30 * _DAY,
    "year": 365 * _DAY,
}
_DAYS_BACK = {"today": 0, "yesterday": 1}
# ISO 8601 as people and programs write it: with signs in date and clock ("extended"), or without ("basic").
_ISO = [
    re.compile(rf"(?P<date>{date})(?:[T ]{clock})? ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?", re.I | re.A)
    for date, clock in (
        (r"\d{4}-\d\d-\d\d", r"(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"),
        (r"\d{8}", r"(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"),
    )
]


class Edge(Enum):
    """Which end of the span that a TIME names is meant."""

    BEGINNING = "beginning"
    END = "end"


def parse(text: str, now: datetime, edge: Edge) -> Time:
    """A TIME of the command line as a moment.

    ISO 8601 with or without a zone (local time when none), a date, ``today``, ``yesterday``, ``now``, or ``3 days
    ago`` (a month is 30 days, a year 365). ``now`` is aware; its zone is the local one. Raise UsageError when it is
    none of these.
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return of(now)
    if words in _DAYS_BACK:
        return _edge((now - timedelta(days=_DAYS_BACK[words])).strftime("%Y-%m-%d"), now, edge)
    if ago := _AGO.fullmatch(words):
        count = 1 if ago[1] in ("a", "an") else int(ago[1])
        moment = of(now)
        return Time(moment.seconds - count * _UNITS[ago[2]], moment.nanoseconds)
    return _edge(text.strip(), now, edge)


def _edge(text: str, now: datetime, edge: Edge) -> Time:
    """One end of the span that an ISO 8601 text names."""
    match = next(filter(None, (form.fullmatch(text) for form in _ISO)), None)
    if match is None:
        raise UsageError(f"'{text}' is no time: write 2026-11-22, 2026-11-22T14:30:05Z or '3 days ago'")
    clock = f"{match['hour'] or '00'}:{match['minute'] or '00'}:{match['second'] or '00'}"
    try:
        start = datetime.fromisoformat(f"{match['date']}T{clock}{(match['zone'] or '').upper()}")
    except ValueError:
        raise UsageError(f"'{text}' is no time: that day or hour does not exist") from None
    # A zone-less time is on the clock of the wall: astimezone knows that day's summer time, now's offset does not.
    start = start if start.tzinfo else _local(start, now)
    beginning = Time(_whole_seconds(start), int((match["fraction"] or "").ljust(9, "0")))
    if edge is Edge.BEGINNING:
        return beginning
    if match["fraction"]:
        return _later(beginning, 10 ** (9 - len(match["fraction"])) - 1)
    if match["hour"]:
        return _later(beginning, (1 if match["second"] else 60 if match["minute"] else 3600) * _NANOSECONDS - 1)
    return _later(_midnight_after(start, now, local=not match["zone"]), -1)


def _midnight_after(start: datetime, now: datetime, *, local: bool) -> Time:
    """When the day that begins at ``start`` ends."""
    try:
        tomorrow = start.replace(tzinfo=None) + timedelta(days=1)
    except OverflowError:
        return Time(_whole_seconds(start) + _DAY)  # the last day that datetime knows
    return Time(_whole_seconds(_local(tomorrow, now) if local else tomorrow.replace(tzinfo=start.tzinfo)))


def _local(naive: datetime, now: datetime) -> datetime:
    """A wall-clock time in now's zone; the system's rules for that day where now's zone is the system's."""
    if now.utcoffset() == now.astimezone().utcoffset():
        with suppress(OverflowError, ValueError):  # a year that the system has no rules for
            return naive.astimezone()
    return naive.replace(tzinfo=now.tzinfo)


def _whole_seconds(moment: datetime) -> int:
    """Seconds since 1970, exact where datetime.timestamp's float is not."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def _later(time: Time, nanoseconds: int) -> Time:
    seconds, rest = divmod(time.nanoseconds + nanoseconds, _NANOSECONDS)
    return Time(time.seconds + seconds, rest)


def of(moment: datetime) -> Time:
    """An aware datetime as a Time."""
    return Time(_whole_seconds(moment), moment.microsecond * 1000)


def read(text: str) -> Time:
    """A time as points carry it (ISO 8601 with a zone) as a Time. Raise UsageError when it is none."""
    return parse(text, _EPOCH, Edge.BEGINNING)


def iso(time: Time, digits: int = 9) -> str:
    """ISO 8601 in UTC with so many digits of a second, for any year: datetime ends at 9999, file systems do not.

    Years beyond four digits carry a sign, as ISO 8601 asks: ``+10000-01-01T00:00:00.000000000Z``.
    """
    days, second = divmod(time.seconds, _DAY)
    year, month, day = _civil(days)
    fraction = f".{time.nanoseconds:09d}"[: digits + 1] if digits else ""
    date = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    clock = f"{second // 3600:02d}:{second % 3600 // 60:02d}:{second % 60:02d}"
    return f"{date}-{month:02d}-{day:02d}T{clock}{fraction}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1970, in the proleptic Gregorian calendar.

    400 years are 146,097 days; shifting whole such cycles brings any day into datetime's range.
    """
    cycles, rest = divmod(days, 146_097)
    date = _EPOCH + timedelta(days=rest)
    return date.year + 400 * cycles, date.month, date.day


def ago(seconds: float) -> str:
    """A length of time in one or two words: ``5 minutes``, ``3 days``."""
    for unit, length in (("day", _DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return counted(int(seconds // length), unit)
    return counted(max(0, int(seconds)), "second")
