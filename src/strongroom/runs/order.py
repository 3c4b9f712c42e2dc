"""In which order the points of one account were made.

Within a client sequence numbers say it, which no clock can upset; between clients only times can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from strongroom.model import Point


def newest_first(points: Iterable[Point]) -> list[Point]:
    """The points of one account, the one that was made last first."""
    by_client: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_client[point.client].append(point)
    for held in by_client.values():
        held.sort(key=lambda point: (point.seq, _moment(point)))
    ordered = []
    while by_client:
        client, held = max(by_client.items(), key=lambda item: _moment(item[1][-1]))
        ordered.append(held.pop())
        if not held:
            del by_client[client]
    return ordered


def _moment(point: Point) -> datetime:
    return datetime.fromisoformat(point.time)
