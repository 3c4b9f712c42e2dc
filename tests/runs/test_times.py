from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import UsageError
from strongroom.model import Time
from strongroom.runs import times
from strongroom.runs.times import Edge

NOW = datetime(2026, 11, 22, 20, 0, 0, tzinfo=UTC)


def seconds(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def test_a_date_is_its_whole_day() -> None:
    assert times.parse("2026-11-20Z", NOW, Edge.BEGINNING) == Time(seconds(2026, 11, 20))
    assert times.parse("2026-11-20Z", NOW, Edge.END) == Time(seconds(2026, 11, 21) - 1, 999_999_999)


def test_a_time_cut_to_seconds_still_covers_what_happened_in_that_second() -> None:
    end = times.parse("2026-11-20T10:11:12Z", NOW, Edge.END)
    assert times.read("2026-11-20T10:11:12.987654Z") <= end < times.read("2026-11-20T10:11:13Z")


def test_a_fraction_is_kept_to_the_nanosecond() -> None:
    assert times.parse("2026-11-20T10:11:12.123456789Z", NOW, Edge.END).nanoseconds == 123_456_789


@pytest.mark.parametrize(
    ("text", "back"),
    [("3 days ago", 3 * 86400), ("2 hours ago", 7200), ("1 week ago", 7 * 86400), ("an hour ago", 3600), ("now", 0)],
)
def test_words_count_back_from_now(text: str, back: int) -> None:
    for edge in Edge:
        assert times.parse(text, NOW, edge) == Time(int(NOW.timestamp()) - back)


def test_yesterday_is_the_day_before_in_local_time() -> None:
    now = NOW.astimezone(timezone(timedelta(hours=5)))  # 01:00 on the 23rd there
    assert times.parse("yesterday", now, Edge.BEGINNING) == Time(seconds(2026, 11, 21, 19))


def test_an_offset_is_honoured() -> None:
    assert times.parse("2026-11-20T10:00:00+02:00", NOW, Edge.BEGINNING) == Time(seconds(2026, 11, 20, 8))


@pytest.mark.parametrize(
    ("text", "begins", "lasts"),
    [
        ("20261120Z", (2026, 11, 20), 86400),
        ("20261120T1011Z", (2026, 11, 20, 10, 11), 60),
        ("20261120T101112Z", (2026, 11, 20, 10, 11, 12), 1),
        ("2026-11-20T10Z", (2026, 11, 20, 10), 3600),
        ("2026-11-20T10:11:12+02", (2026, 11, 20, 8, 11, 12), 1),
        ("9999-12-31Z", (9999, 12, 31), 86400),
    ],
)
def test_every_form_of_iso_8601_names_its_span(text: str, begins: tuple[int, ...], lasts: int) -> None:
    start = seconds(*begins)
    assert times.parse(text, NOW, Edge.BEGINNING) == Time(start)
    assert times.parse(text, NOW, Edge.END) == Time(start + lasts - 1, 999_999_999)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_of_a_calendar_are_days_everywhere(text: str) -> None:
    assert times.parse(text, datetime.now().astimezone(), Edge.BEGINNING) < times.parse(
        text, datetime.now().astimezone(), Edge.END
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-1120",
        "202611-20",
        "2026-11-20T1011",
        "20261120T10:11",
        "2026-13-01",
        "2026-02-30",
        "25:00",
        "2026-11-20T25:00",
        "-3 days ago",
        "9" * 40,
    ],
)
def test_what_is_no_time_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        times.parse(text, NOW, Edge.END)
    assert "\n" not in str(caught.value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_agrees_with_datetime_and_reads_back(moment: datetime) -> None:
    time = times.of(moment)
    assert times.iso(time, 6) == moment.strftime(f"{moment.year:04d}-%m-%dT%H:%M:%S.%fZ")
    assert times.read(times.iso(time)) == time


def test_years_beyond_datetime_are_written_all_the_same() -> None:
    assert times.iso(Time(2**40)) == "+36812-02-20T00:36:16.000000000Z"
    assert times.iso(Time(-(2**36), 5), 9).endswith(".000000005Z")
    assert times.iso(Time(253402300799, 999_999_999)) == "9999-12-31T23:59:59.999999999Z"
    assert times.iso(Time(253402300800)) == "+10000-01-01T00:00:00.000000000Z"


@given(st.integers(-(2**62), 2**62), st.integers(0, 999_999_999))
def test_any_time_a_file_system_can_hold_has_a_spelling(second: int, nanosecond: int) -> None:
    assert times.iso(Time(second, nanosecond)).endswith(f".{nanosecond:09d}Z")
