from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import BusyError, ClientError
from strongroom.model import Level, Status
from strongroom.runs.catalog import Catalog, Identity
from strongroom.runs.copying import Copied, copy
from strongroom.runs.locks import Locks
from tests.fakes import FakeClient, Notes

HERE = Identity(server="", account="site1")


class Pair:
    """Two clients, and a catalog that knows both."""

    def __init__(self, folder: Path) -> None:
        self.state = os.fsencode(folder)
        self.first, self.other = FakeClient(), FakeClient()
        self.other.name = "other"
        self.catalog = Catalog.open(self.state, Notes().note)
        self.points = [self.first.add("site1") for _ in range(3)]
        self.other.add("site1", id="others")
        self.catalog.refresh(self.first)
        self.catalog.refresh(self.other)

    def copy(self, number: int, **more: float) -> Copied:
        return copy(self.points[number], self.first, self.other, self.catalog, self.state, Notes(), **more)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_copy_is_in_the_one_history_and_knows_what_it_is_of(pair: Pair) -> None:
    made = pair.copy(1)
    assert made.made
    assert (made.point.client, made.point.time, made.point.level) == ("other", pair.points[1].time, Level.FULL)
    ordered = [point.id for point in pair.catalog.of(HERE)]
    assert ordered.index(made.point.id) == ordered.index(pair.points[1].id) + 1
    assert [point.id for point in pair.catalog.copies(pair.points[1])] == [made.point.id]
    assert [point.id for point in pair.catalog.copies(made.point)] == [pair.points[1].id]
    assert pair.catalog.copies(pair.points[0]) == []


def test_what_is_there_is_not_carried_again(pair: Pair) -> None:
    made = pair.copy(1)
    assert pair.copy(1) == Copied(point=made.point, made=False)
    back = copy(made.point, pair.other, pair.first, pair.catalog, pair.state, Notes())
    assert back == Copied(point=pair.points[1], made=False)
    own = copy(pair.points[1], pair.first, pair.first, pair.catalog, pair.state, Notes())
    assert own == Copied(point=pair.points[1], made=False)


def test_an_incomplete_copy_of_a_complete_point_is_no_reason_not_to_copy(pair: Pair) -> None:
    first = pair.copy(1).point
    pair.other.held[first.id] = worse = msgspec.structs.replace(first, status=Status.INCOMPLETE)
    pair.catalog.record(worse)
    assert pair.copy(1).made


def test_the_last_reading_of_the_server_is_no_copy(pair: Pair) -> None:
    before = pair.catalog.last_full(HERE, "other")
    pair.copy(2)
    assert pair.catalog.last_full(HERE, "other") == before
    newest = pair.catalog.newest(HERE, client="other")
    assert newest is not None and newest.origin is not None


def test_an_account_that_is_being_backed_up_there_is_waited_for_and_then_refused(pair: Pair) -> None:
    with Locks(pair.state) as locks:
        assert locks.take(["other/site1"], 0, lambda _: None) == []
        with pytest.raises(BusyError, match="another run is at work on site1"):
            pair.copy(0, patience=0.0)


def test_a_client_that_cannot_take_it_leaves_nothing_in_the_catalog(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ClientError("no room")

    monkeypatch.setattr(pair.other, "carry", refuse)
    with pytest.raises(ClientError, match="no room"):
        pair.copy(0)
    assert pair.catalog.copies(pair.points[0]) == []
