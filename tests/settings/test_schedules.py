from __future__ import annotations

import os
import sqlite3
import stat
from datetime import date, timedelta
from pathlib import Path

import pytest

from strongroom.errors import SettingError, UnknownError, UsageError
from strongroom.settings.schedules import Schedule, Schedules, Target, target

TODAY = date(2026, 11, 25)
SHOP = Target(account="site1", engine="mysql", database="shop_wp")


@pytest.fixture
def state(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "state")


@pytest.fixture
def schedules(state: bytes) -> Schedules:
    return Schedules(state)


def test_a_new_schedule_is_due_at_once_and_has_the_defaults(schedules: Schedules) -> None:
    made = schedules.set(SHOP, TODAY)
    assert made == Schedule(target=SHOP, span=5, preserve=0, extension="gz", email="", next=TODAY)
    assert schedules.all() == [made]


def test_changing_one_leaves_its_day_and_what_is_not_given(schedules: Schedules, state: bytes) -> None:
    schedules.set(SHOP, TODAY, span=2, preserve=3, extension="zip", email="me@example.com")
    now = Schedules(state).set(SHOP, TODAY + timedelta(days=9), span=7, email="")
    assert now == Schedule(target=SHOP, span=7, preserve=3, extension="zip", email="", next=TODAY)


def test_accounts_and_engines_have_their_own(schedules: Schedules) -> None:
    others = [
        Target(account="site1", engine="postgresql", database="shop_wp"),
        Target(account="site2", engine="mysql", database="shop_wp"),
    ]
    for each in (SHOP, *others):
        schedules.set(each, TODAY)
    schedules.remove(SHOP)
    assert [each.target for each in schedules.all()] == others
    assert [each.target for each in schedules.of("site2")] == others[1:]
    with pytest.raises(UnknownError, match="mysql:shop_wp of site1 has no schedule"):
        schedules.remove(SHOP)


@pytest.mark.parametrize(
    ("span", "missed", "expected"), [(1, 0, 1), (1, 30, 31), (7, 0, 7), (7, 6, 7), (7, 7, 14), (7, 15, 21), (5, -2, 0)]
)
def test_the_next_day_keeps_the_rhythm_however_many_were_missed(span: int, missed: int, expected: int) -> None:
    """Counted from the day it was due; a forced run before that day moves nothing."""
    schedule = Schedule(target=SHOP, span=span, next=TODAY)
    assert schedule.after(TODAY + timedelta(days=missed)) == TODAY + timedelta(days=expected)


def test_done_moves_the_day_on(schedules: Schedules) -> None:
    schedules.done(schedules.set(SHOP, TODAY, span=3), TODAY)
    assert schedules.all()[0].next == TODAY + timedelta(days=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"span": 0},
        {"span": -1},
        {"span": 10**9},
        {"preserve": -1},
        {"email": "nobody"},
        {"email": "-oQ/tmp@example.com"},
        {"email": "a@b.c\nBcc: d@e.f"},
        {"email": "two words@example.com"},
        {"email": "x@" + "a" * 300},
    ],
)
def test_values_that_are_none_are_refused_and_change_nothing(schedules: Schedules, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        schedules.set(SHOP, TODAY, **wrong)  # type: ignore[arg-type]
    assert schedules.all() == []


@pytest.mark.parametrize("reference", ["shop", "mysql:", ":shop", "oracle:shop", ""])
def test_a_database_is_named_with_its_engine(reference: str) -> None:
    with pytest.raises(UsageError, match="write mysql:NAME"):
        target("site1", reference)


def test_a_database_may_have_a_colon_in_its_name() -> None:
    assert target("site1", "mysql:a:b") == Target(account="site1", engine="mysql", database="a:b")


def test_dumps_are_remembered_by_schedule(schedules: Schedules) -> None:
    for name in ("b", "a", "a"):
        schedules.remember(SHOP, name)
    assert schedules.made(SHOP) == ["a", "b"]
    schedules.forget(SHOP, ["a", "never"])
    assert schedules.made(SHOP) == ["b"]
    assert schedules.made(Target(account="site2", engine="mysql", database="shop_wp")) == []


def test_the_file_is_roots_alone(schedules: Schedules, state: bytes) -> None:
    schedules.set(SHOP, TODAY)
    folder = Path(os.fsdecode(state)) / "settings"
    assert [name.name for name in folder.iterdir()] == ["schedules.sqlite"]
    assert stat.S_IMODE((folder / "schedules.sqlite").stat().st_mode) == 0o600


def test_a_change_that_fails_half_way_is_none(schedules: Schedules) -> None:
    schedules.set(SHOP, TODAY)
    with sqlite3.connect(os.fsdecode(schedules.path)) as other:
        other.execute("CREATE TRIGGER no BEFORE DELETE ON dumps BEGIN SELECT RAISE(ABORT, 'no'); END")
    other.close()
    schedules.remember(SHOP, "a")
    with pytest.raises(SettingError, match="schedules cannot be read or changed"):
        schedules.remove(SHOP)
    assert [each.target for each in schedules.all()] == [SHOP]


def test_a_damaged_file_is_one_line(schedules: Schedules) -> None:
    schedules.set(SHOP, TODAY)
    Path(os.fsdecode(schedules.path)).write_bytes(b"no database" * 100)
    with pytest.raises(SettingError, match=r"schedules\.sqlite"):
        schedules.all()
