"""Patches first, then minors by the smallest step, then majors; a lock ends the climb."""

from __future__ import annotations

import pytest

from strongroom.webapps.assurance.ladder import allowed, climb, number
from strongroom.webapps.base import Lock

OFFERED = ["6.1.7", "6.1.9", "6.1.10", "6.1.11", "6.2", "6.2.3", "6.4.1", "7.0", "7.0.1", "7.1", "8.0-beta1"]


@pytest.mark.parametrize(
    ("lock", "steps"),
    [
        (Lock.NONE, ["6.1.11", "6.2.3", "6.4.1", "7.0.1", "7.1", "8.0-beta1"]),
        (Lock.MAJOR, ["6.1.11", "6.2.3", "6.4.1"]),
        (Lock.MINOR, ["6.1.11"]),
    ],
)
def test_the_climb(lock: Lock, steps: list[str]) -> None:
    assert climb("6.1.9", OFFERED, lock) == steps


def test_nothing_newer_is_no_step() -> None:
    assert climb("9.0", OFFERED, Lock.NONE) == []


def test_versions_in_order() -> None:
    versions = [
        "",
        "1.0-dev",
        "1.0-alpha2",
        "1.0-beta1",
        "1.0-rc1",
        "1.0-rc2",
        "1.0",
        "1.0.1",
        "1.2",
        "1.10",
        "2022-07-31a",
    ]
    backwards = versions[::-1]
    assert sorted(backwards, key=number) == versions


def test_locks() -> None:
    assert allowed("6.1.9", "7.0", Lock.NONE)
    assert allowed("6.1.9", "6.9", Lock.MAJOR) and not allowed("6.1.9", "7.0", Lock.MAJOR)
    assert allowed("6.1.9", "6.1.10", Lock.MINOR) and not allowed("6.1.9", "6.2", Lock.MINOR)
