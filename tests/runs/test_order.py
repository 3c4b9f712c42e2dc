from __future__ import annotations

from strongroom.model import Origin, Point
from strongroom.runs.order import newest_first
from tests.fakes import FakeClient


def points(*made: tuple[str, int, str]) -> list[Point]:
    client = FakeClient()
    return [client.add("site1", client=name, seq=seq, time=time, id=f"{name}{seq}") for name, seq, time in made]


def test_within_a_client_sequence_numbers_count_and_between_clients_times() -> None:
    made = points(
        ("vault", 7, "2026-11-01T00:00:00Z"),
        ("vault", 8, "2026-11-03T00:00:00Z"),
        ("restic", 1, "2026-11-02T00:00:00Z"),
        ("restic", 2, "2026-11-04T00:00:00Z"),
    )
    assert [point.id for point in newest_first(made)] == ["restic2", "vault8", "restic1", "vault7"]


def test_a_clock_that_went_back_turns_no_client_s_points_around() -> None:
    made = points(
        ("vault", 1, "2026-11-05T00:00:00Z"),
        ("vault", 2, "2026-11-01T00:00:00Z"),
        ("restic", 1, "2026-11-03T00:00:00Z"),
    )
    assert [point.id for point in newest_first(made)] == ["restic1", "vault2", "vault1"]


def test_copies_stand_where_their_times_are() -> None:
    made = points(
        ("vault", 1, "2026-11-01T00:00:00Z"),
        ("sets", 4, "2026-11-02T00:00:00Z"),
        ("sets", 5, "2026-11-03T00:00:00Z"),
    )
    client = FakeClient()
    early, same, whole = (
        client.add("site1", client=name, seq=9, time=time, id=id, origin=Origin(point=of, client=first, carried="later"))
        for name, time, id, of, first in (
            ("sets", "2026-11-01T00:00:00Z", "early", "vault1", "vault"),
            ("vault", "2026-11-03T00:00:00Z", "same", "sets5", "sets"),
            ("sets", "2026-11-03T00:00:00Z", "whole", "sets5", "sets"),
        )
    )
    ordered = [point.id for point in newest_first([*made, early, same, whole])]
    # Of one moment: the chain made into a full one, what was backed up, and what was copied elsewhere.
    assert ordered == ["whole", "sets5", "same", "sets4", "vault1", "early"]
