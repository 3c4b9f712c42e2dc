"""A file as a stream, whatever order its pieces come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Point, Time
from strongroom.restores.stream import stream
from tests.fakes import FakeClient

CONTENT = bytes(range(256)) * 40_000  # more than is kept in memory


class Shuffling(FakeClient):
    """Gives pieces in any order."""

    def __init__(self, order: Sequence[int], size: int) -> None:
        super().__init__()
        self.order, self.size = order, size

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        for number in self.order:
            at = number * self.size
            yield 0, at, CONTENT[at : at + self.size]


def read(order: Sequence[int], size: int) -> bytes:
    client = Shuffling(order, size)
    entry = Entry(path=b"databases/a", type=FileType.FILE, mode=0o600, uid=0, gid=0, mtime=Time(0), size=len(CONTENT))
    return b"".join(stream(client, client.add("site1"), entry))


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1), (0, 5, 1, 9, 2, 3, 4, 6, 8, 7)])
def test_pieces_come_out_in_the_order_of_the_file(order: Sequence[int]) -> None:
    assert read(order, len(CONTENT) // 10) == CONTENT


def test_what_is_missing_at_the_end_or_between_is_an_error() -> None:
    for order in (range(9), (0, 1, 3, 4, 5, 6, 7, 8, 9)):
        with pytest.raises(ClientError, match="less of it came"):
            read(order, len(CONTENT) // 10)
