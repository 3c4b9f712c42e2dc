"""Phrases for days mean the days a calendar shows."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from strongroom.config import Days, Server

NOVEMBER = [date(2026, 11, 1) + timedelta(days=number) for number in range(30)]


@pytest.mark.parametrize(
    ("phrase", "days"),
    [
        ("first sunday", [1]),
        ("second Sunday", [8]),
        ("fourth monday", [23]),
        ("last monday", [30]),
        ("last sunday", [29]),
        ("  sunday ", [1, 8, 15, 22, 29]),
        ("never", []),
        ("daily", list(range(1, 31))),
    ],
)
def test_a_phrase_means_these_days_of_november_2026(phrase: str, days: list[int]) -> None:
    meant = Days.parse(phrase)
    assert [day.day for day in NOVEMBER if day in meant] == days


@pytest.mark.parametrize(
    "phrase", ["", "first", "sunday first", "first daily", "sun", "first first sunday", "every sunday"]
)
def test_other_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match=f"^{phrase}$"):
        Days.parse(phrase)


def test_a_path_of_the_server_is_found_below_its_root_and_back() -> None:
    server = Server(root=b"/tmp/server")
    assert server.below(b"/etc/passwd") == b"/tmp/server/etc/passwd"
    assert server.within(b"/tmp/server/etc/passwd") == b"/etc/passwd"
    assert server.within(b"/tmp/serverless/etc") is None
    assert Server().below(b"/etc") == b"/etc" == Server().within(b"/etc")
