"""Which points stay and which go: facts in, a verdict out; nothing is deleted here.

The rules, for each account of each server by itself:

1. Points are ordered by their sequence number, and copies among them by their time (`order.newest_first`); a clock only
   says which hour, day, week, month or year a point belongs to. A copy has the time of what it is a copy of, and fills
   the place that this would. Where a chain was made into a new full point, that one takes the place of the chain's last.
2. ``keep_daily = N`` keeps the newest point of each of the N newest days that *have* a point, and so on: an account
   that is no longer backed up loses nothing more. ``keep_last = N`` keeps the N newest.
3. Incomplete points fill places of their own by the same numbers, and never take a complete point's. A point of files
   alone, or of databases alone, counts as incomplete.
4. The newest complete point always stays, and so does an incomplete one that is the newest of all: it is ``latest``.
   With every ``keep_*`` at 0 the newest complete point alone stays (all rules but this one and the next count for
   nothing).
5. Pinned points, and points whose time lies in the future or (copies apart) before that of a point made earlier, stay
   and fill no place.
6. What another server made is that server's to forget.

Naming a point forgets it whatever these rules say; that is the caller's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from strongroom.model import Frozen, Point
from strongroom.runs.order import newest_first

NEWEST = "newest complete point"
LATEST = "newest point, though incomplete"
PINNED = "pinned"
FUTURE = "its time lies in the future"
BACKWARD = "its time lies before that of an earlier point"
ELSEWHERE = "made by another server"


class Keep(Protocol):
    """How many places of each kind there are; the configuration's ``[retention]``."""

    @property
    def keep_last(self) -> int: ...  # noqa: D102
    @property
    def keep_hourly(self) -> int: ...  # noqa: D102
    @property
    def keep_daily(self) -> int: ...  # noqa: D102
    @property
    def keep_weekly(self) -> int: ...  # noqa: D102
    @property
    def keep_monthly(self) -> int: ...  # noqa: D102
    @property
    def keep_yearly(self) -> int: ...  # noqa: D102


class Kept(Frozen):
    """A point that stays, and because of what."""

    id: str
    because: str


class Verdict(Frozen):
    """Ids of the points to forget, and the points that stay, each newest first within an account."""

    forget: tuple[str, ...]
    kept: tuple[Kept, ...]


def judge(points: Iterable[Point], keep: Keep, *, server: str, now: datetime, zone: tzinfo | None = None) -> Verdict:
    """Apply the rules to all points; ``now`` is aware, and days begin at midnight in ``zone`` (None: the system's)."""
    accounts: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        accounts[point.server, point.account].append(point)
    forget: list[str] = []
    kept: list[Kept] = []
    for (home, _), owned in sorted(accounts.items()):
        owned = newest_first(owned)
        reasons = _reasons(owned, keep, now, zone) if home == server else {point.id: [ELSEWHERE] for point in owned}
        for point in owned:
            if point.id in reasons:
                kept.append(Kept(id=point.id, because=", ".join(reasons[point.id])))
            else:
                forget.append(point.id)
    return Verdict(forget=tuple(forget), kept=tuple(kept))


def _reasons(points: Sequence[Point], keep: Keep, now: datetime, zone: tzinfo | None) -> dict[str, list[str]]:
    """Why points of one account stay, by id; what is not in it goes. ``points`` are newest first."""
    reasons: dict[str, list[str]] = defaultdict(list)
    odd = _odd_times(points, now)
    for point in points:
        if point.pinned:
            reasons[point.id].append(PINNED)
        if point.id in odd:
            reasons[point.id].append(odd[point.id])
    complete = [point for point in points if point.covers]
    if complete:
        reasons[complete[0].id].append(NEWEST)
    slots = _slots(keep)
    if not points[0].covers and (slots or not complete):
        reasons[points[0].id].append(LATEST)
    incomplete = [point for point in points if not point.covers]
    for group in (complete, incomplete):
        ordinary = [point for point in group if not point.pinned and point.id not in odd]
        for name, count, period in slots:
            for point in _newest_of_each(ordinary, count, period, zone):
                reasons[point.id].append(name)
    return reasons


def _odd_times(points: Sequence[Point], now: datetime) -> dict[str, str]:
    """Points whose clock cannot be believed, and why. Those of the future say nothing about the others."""
    odd: dict[str, str] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for point in reversed(points):
        if point.pinned:
            continue
        time = datetime.fromisoformat(point.time)
        if time > now:
            odd[point.id] = FUTURE
        elif point.origin is not None:
            continue
        elif time < latest:
            odd[point.id] = BACKWARD
        else:
            latest = time
    return odd


Period = Callable[[datetime], object]


def _slots(keep: Keep) -> list[tuple[str, int, Period | None]]:
    """The kinds of places that there are: name, how many, and what makes two times share one (None: nothing does)."""
    kinds: list[tuple[str, int, Period | None]] = [
        ("last", keep.keep_last, None),
        ("hourly", keep.keep_hourly, lambda time: (time.date(), time.hour, time.fold)),
        ("daily", keep.keep_daily, lambda time: time.date()),
        ("weekly", keep.keep_weekly, lambda time: time.isocalendar()[:2]),
        ("monthly", keep.keep_monthly, lambda time: (time.year, time.month)),
        ("yearly", keep.keep_yearly, lambda time: time.year),
    ]
    return [kind for kind in kinds if kind[1]]


def _newest_of_each(points: Iterable[Point], count: int, period: Period | None, zone: tzinfo | None) -> list[Point]:
    """The newest point of each of the ``count`` newest periods that have one."""
    chosen: dict[object, Point] = {}
    for point in points:
        key = period(datetime.fromisoformat(point.time).astimezone(zone)) if period else point.id
        if key not in chosen and len(chosen) < count:
            chosen[key] = point
    return list(chosen.values())
