from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from strongroom.config import Retention
from strongroom.model import Level, Origin, Point, Status
from strongroom.runs import retention

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
NONE = Retention(keep_daily=0, keep_weekly=0, keep_monthly=0)


def point(
    seq: int,
    *,
    days: float = 0.0,
    status: Status = Status.COMPLETE,
    account: str = "site1",
    pinned: bool = False,
    server: str = "here",
    only: str | None = None,
    copied: str | None = None,
) -> Point:
    moment = NOW - timedelta(days=days)
    return Point(
        id=f"{account}-{seq}",
        account=account,
        time=moment.isoformat().replace("+00:00", "Z"),
        level=Level.INCREMENTAL,
        client="vault",
        status=status,
        run="r",
        seq=seq,
        pinned=pinned,
        server=server,
        only=only,
        origin=Origin(point=f"site1-{seq - 100}", client=copied, carried=NOW.isoformat()) if copied else None,
    )


def nightly(count: int) -> list[Point]:
    return [point(count - day, days=day) for day in range(count)]


def judge(points: Sequence[Point], keep: retention.Keep) -> tuple[set[str], dict[str, str]]:
    verdict = retention.judge(points, keep, server="here", now=NOW, zone=UTC)
    return set(verdict.forget), {kept.id: kept.because for kept in verdict.kept}


def test_daily_weekly_and_monthly_places_are_filled_from_the_newest() -> None:
    _, kept = judge(nightly(120), Retention())
    newest = [f"site1-{seq}" for seq in range(120, 113, -1)]
    assert all("daily" in kept[name] for name in newest)
    assert sum("weekly" in because for because in kept.values()) == 4
    # 120 nights back from November touch five months.
    assert sum("monthly" in because for because in kept.values()) == 5
    assert kept["site1-120"].startswith(retention.NEWEST)


def test_of_several_points_of_a_day_the_newest_stays() -> None:
    gone, kept = judge([point(1, days=0.3), point(2, days=0.2), point(3, days=0.1)], Retention())
    assert gone == {"site1-1", "site1-2"}
    assert set(kept) == {"site1-3"}


def test_all_zero_keeps_the_newest_complete_point_alone() -> None:
    gone, kept = judge([*nightly(5), point(9, status=Status.INCOMPLETE)], NONE)
    assert kept == {"site1-5": retention.NEWEST}
    assert len(gone) == 5


def test_all_zero_keeps_the_last_incomplete_one_where_there_is_nothing_better() -> None:
    gone, kept = judge([point(n, days=5 - n, status=Status.INCOMPLETE) for n in range(3)], NONE)
    assert set(kept) == {"site1-2"}
    assert len(gone) == 2


def test_an_incomplete_point_takes_no_complete_points_place() -> None:
    keep = Retention(keep_daily=2, keep_weekly=0, keep_monthly=0)
    points = [point(1, days=2), point(2, days=1)] + [point(3 + n, days=0.1, status=Status.INCOMPLETE) for n in range(9)]
    _, kept = judge(points, keep)
    assert set(kept) == {"site1-1", "site1-2", "site1-11"}


def test_incomplete_points_do_not_pile_up_for_ever() -> None:
    points = [point(n, days=400 - n, status=Status.INCOMPLETE) for n in range(400)]
    _, kept = judge(points, Retention())
    assert len(kept) <= 17


def test_an_account_that_is_no_longer_backed_up_loses_nothing_more() -> None:
    points = [point(n, days=900 - n) for n in range(30)]
    first, _ = judge(points, Retention())
    left = [p for p in points if p.id not in first]
    again, _ = judge(left, Retention())
    assert not again
    assert len(left) >= 7


def test_pinned_points_stay_and_fill_no_place() -> None:
    keep = Retention(keep_daily=1, keep_weekly=0, keep_monthly=0)
    gone, kept = judge([point(1, days=9, pinned=True), point(2, days=1), point(3, days=0, pinned=True)], keep)
    assert not gone
    assert kept["site1-1"] == retention.PINNED
    assert kept["site1-2"] == "daily"


def test_a_point_from_the_future_stays_and_displaces_nobody() -> None:
    keep = Retention(keep_daily=1, keep_weekly=0, keep_monthly=0)
    _, kept = judge([point(1, days=1), point(2, days=-4000), point(3, days=0.5)], keep)
    assert retention.FUTURE in kept["site1-2"]
    assert "daily" in kept["site1-3"]


def test_a_clock_that_ran_backward_flags_the_point_and_keeps_it() -> None:
    gone, kept = judge([point(1, days=1), point(2, days=300), point(3, days=0)], NONE)
    assert kept["site1-2"] == retention.BACKWARD
    assert gone == {"site1-1"}


def test_another_servers_points_are_not_ours_to_forget() -> None:
    gone, kept = judge([point(1, server="there"), point(2, server="there"), point(1), point(2)], NONE)
    assert gone == {"site1-1"}
    assert kept["site1-2"] == retention.NEWEST or kept["site1-2"] == retention.ELSEWHERE


def test_keep_last_counts_points_not_days() -> None:
    gone, _ = judge(
        [point(n, days=0.1 - n / 1000) for n in range(6)],
        Retention(keep_last=4, keep_daily=0, keep_weekly=0, keep_monthly=0),
    )
    assert gone == {"site1-0", "site1-1"}


statuses = st.sampled_from([Status.COMPLETE, Status.INCOMPLETE])
histories = st.lists(
    st.tuples(st.floats(-30, 800), statuses, st.booleans(), st.sampled_from(["site1", "site2"])), max_size=60
)
keeps = st.builds(
    Retention,
    keep_last=st.integers(0, 3),
    keep_hourly=st.integers(0, 3),
    keep_daily=st.integers(0, 9),
    keep_weekly=st.integers(0, 5),
    keep_monthly=st.integers(0, 5),
    keep_yearly=st.integers(0, 2),
)


@given(histories, keeps)
def test_each_point_is_kept_or_forgotten_and_the_last_good_one_never_goes(
    history: list[tuple[float, Status, bool, str]], keep: Retention
) -> None:
    points = [
        point(seq, days=days, status=status, pinned=pinned, account=account)
        for seq, (days, status, pinned, account) in enumerate(history)
    ]
    gone, kept = judge(points, keep)
    assert gone.isdisjoint(kept)
    assert gone | set(kept) == {p.id for p in points}
    assert not {p.id for p in points if p.pinned} & gone
    for account in ("site1", "site2"):
        complete = [p for p in points if p.account == account and p.status is Status.COMPLETE]
        if complete:
            assert max(complete, key=lambda p: p.seq).id in kept


@given(histories, keeps)
def test_forgetting_twice_forgets_nothing_more(history: list[tuple[float, Status, bool, str]], keep: Retention) -> None:
    points = [
        point(seq, days=abs(days), status=status, pinned=pinned, account=account)
        for seq, (days, status, pinned, account) in enumerate(sorted(history, key=lambda row: -abs(row[0])))
    ]
    gone, _ = judge(points, keep)
    again, _ = judge([p for p in points if p.id not in gone], keep)
    assert not again


@given(histories)
def test_incomplete_points_never_change_which_complete_ones_stay(
    history: list[tuple[float, Status, bool, str]],
) -> None:
    points = [
        point(n, days=abs(d), status=s, pinned=p, account=a)
        for n, (d, s, p, a) in enumerate(sorted(history, key=lambda r: -abs(r[0])))
    ]
    complete = [p for p in points if p.status is Status.COMPLETE]
    assert judge(points, Retention())[0] & {p.id for p in complete} == judge(complete, Retention())[0]


def test_a_point_of_databases_alone_never_displaces_a_whole_one() -> None:
    gone, kept = judge([*nightly(3), point(9, only="databases")], NONE)
    assert kept == {"site1-3": retention.NEWEST}
    assert "site1-9" in gone
    _, kept = judge([point(1), point(2, only="databases")], Retention())
    assert set(kept) == {"site1-1", "site1-2"}


def test_a_copy_fills_the_place_of_its_time_and_is_no_odd_one() -> None:
    """Whenever it was carried here: that it was made after newer ones is no reason to keep it."""
    keep = Retention(keep_daily=3, keep_weekly=0, keep_monthly=0)
    forgotten, kept = judge([*nightly(2), point(103, days=2, copied="restic"), point(104, days=3, copied="restic")], keep)
    assert (forgotten, kept["site1-103"]) == ({"site1-104"}, "daily")


def test_what_a_chain_was_made_into_takes_the_place_of_the_chain_s_last() -> None:
    keep = Retention(keep_daily=3, keep_weekly=0, keep_monthly=0)
    forgotten, kept = judge([*nightly(3), point(103, days=0, copied="vault")], keep)
    assert forgotten == {"site1-3"}
    assert kept["site1-103"] == f"{retention.NEWEST}, daily"
