"""What becomes of many files when the content of one, or of all of them, does not come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from strongroom.clients.base import Readable
from strongroom.errors import AwayError, ClientError
from strongroom.model import Entry, FileType, Point, Time
from strongroom.restores.contents import deliver

POINT = cast(Point, None)


class _Taker:
    """Takes a file of one byte."""

    def __init__(self, number: int) -> None:
        at = Time(seconds=0, nanoseconds=0)
        self.entry = Entry(
            path=b"data/%d" % number, type=FileType.FILE, mode=0, uid=0, gid=0, mtime=at, ctime=at, size=1, stored=1
        )
        self.got, self.why = b"", ""

    def take(self, offset: int, data: bytes) -> None:
        self.got += data

    @property
    def done(self) -> bool:
        return bool(self.got or self.why)

    def restart(self) -> None:
        self.got = b""

    def fail(self, why: str) -> None:
        self.why = why


class _Source:
    """Brings all that is asked for, or nothing."""

    def __init__(self, broken: set[bytes], error: ClientError) -> None:
        self.broken, self.error, self.asked = broken, error, 0

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        self.asked += 1
        if any(entry.path in self.broken for entry in entries):
            raise self.error
        yield from ((number, 0, b"x") for number in range(len(entries)))


def _delivered(source: _Source, count: int) -> list[_Taker]:
    takers = [_Taker(number) for number in range(count)]
    deliver(cast(Readable, source), POINT, cast(Any, takers))
    return takers


def test_a_broken_file_is_found_by_halves() -> None:
    source = _Source({b"data/700"}, ClientError("broken"))
    takers = _delivered(source, 1024)
    assert [taker.entry.path for taker in takers if taker.why] == [b"data/700"]
    assert sum(taker.got == b"x" for taker in takers) == 1023
    assert source.asked <= 2 * 10 + 1


def test_storage_that_is_away_is_asked_once() -> None:
    source = _Source({b"data/0"}, AwayError("out of reach"))
    with pytest.raises(AwayError):
        _delivered(source, 100)
    assert source.asked == 1
