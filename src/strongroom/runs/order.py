"""In which order the points of one account were made.

Within a client sequence numbers say it, which no clock can upset; between clients only times can. Copies stand where their
times are, whenever they were carried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from strongroom.model import Point

# How a point was made, as what tells those of one moment apart, the first to be taken last.
COPIED, BACKED_UP, CONSOLIDATED = range(3)


def rank(point: Point) -> int:
    """How a point was made."""
    if point.origin is None:
        return BACKED_UP
    return CONSOLIDATED if point.origin.client == point.client else COPIED


def newest_first(points: Iterable[Point]) -> list[Point]:
    """The points of one account, the one that was made last first.

    Of those of one moment a chain made into a full one comes first, then what was backed up, then what was copied elsewhere.
    """
    streams: dict[tuple[str, bool], list[Point]] = defaultdict(list)
    for point in points:
        streams[point.client, point.origin is not None].append(point)
    for (_, copied), held in streams.items():
        held.sort(key=_standing if copied else _made)
    ordered = []
    while streams:
        stream, held = max(streams.items(), key=lambda item: _standing(item[1][-1]))
        ordered.append(held.pop())
        if not held:
            del streams[stream]
    return ordered


def _standing(point: Point) -> tuple[datetime, int, str]:
    """By what points of different streams, or copies, are ordered."""
    return _moment(point), rank(point), point.origin.carried if point.origin else ""


def _made(point: Point) -> tuple[int, datetime]:
    """By what the points that one client backed up are ordered."""
    return point.seq, _moment(point)


def _moment(point: Point) -> datetime:
    return datetime.fromisoformat(point.time)
