"""The arithmetic of medians, ratios and verdicts, and the document made of them."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from benchmarks.measure import Figure
from benchmarks.report import document, record, remarks_of
from benchmarks.results import Measurement, Result, Stored, judge
from benchmarks.works import LARGE, MIXED, Budget, Kind, Work


def timed(peer: str, work: Work, *walls: float, memory: int = 0) -> Result:
    figures = tuple(Figure(wall=wall, cpu=2 * wall) for wall in walls)
    return Result(peer=peer, work=work, sampled=Figure(wall=99, cpu=99, memory=memory), timed=figures)


def measurement(*results: Result, stored: dict[str, Stored] | None = None) -> Measurement:
    return Measurement(
        title=MIXED.title,
        date="1 January 2026",
        conditions="1 round.",
        machine={"cores": "2"},
        versions={"strongroom": "strongroom 1", "restic": "restic 2"},
        tree={"entries": 10, "files": 8, "folders": 2, "bytes": 1000},
        budgets=MIXED.budgets,
        results=results,
        stored=stored or {},
    )


FASTER = Budget(text="twice", kind=Kind.FASTER, limit=2, work=Work.FIRST, against="restic")
WITHIN = Budget(text="within", kind=Kind.WITHIN, limit=1.5, work=Work.FIRST, against="restic")


def test_the_median_counts_and_the_sampled_run_does_not() -> None:
    assert timed("restic", Work.FIRST, 5, 1, 3).wall() == 3
    assert timed("restic", Work.FIRST, 5, 1, 3).cpu() == 6


def test_what_ran_only_while_memory_was_sampled_counts_for_want_of_better() -> None:
    assert timed("borg", Work.FIRST).wall() == 99


@pytest.mark.parametrize(("ours", "excess"), [(5.0, 0.0), (4.0, -0.2), (6.0, 0.2)])
def test_as_fast_as_means_the_peers_time_divided_by_ours(ours: float, excess: float) -> None:
    verdict = judge(measurement(timed("strongroom", Work.FIRST, ours), timed("restic", Work.FIRST, 10)), FASTER)
    assert verdict is not None
    assert verdict.ratio == 10 / ours
    assert verdict.excess() == pytest.approx(excess)


@pytest.mark.parametrize(("ours", "excess"), [(15.0, 0.0), (30.0, 1.0)])
def test_within_means_our_time_divided_by_the_peers(ours: float, excess: float) -> None:
    verdict = judge(measurement(timed("strongroom", Work.FIRST, ours), timed("restic", Work.FIRST, 10)), WITHIN)
    assert verdict is not None
    assert verdict.ratio == ours / 10
    assert verdict.excess() == pytest.approx(excess)


def test_memory_is_the_highest_peak_of_all_work() -> None:
    found = measurement(timed("strongroom", Work.FIRST, 1, memory=400), timed("strongroom", Work.CHECK, 1, memory=500))
    verdict = judge(found, Budget(text="", kind=Kind.MEMORY, limit=1000))
    assert verdict is not None
    assert verdict.ours == 500
    assert verdict.excess() == -0.5


def test_repositories_are_compared_after_the_first_backup() -> None:
    found = measurement(stored={"strongroom": Stored(first=90, last=500), "restic": Stored(first=100, last=110)})
    verdict = judge(found, Budget(text="", kind=Kind.STORED, limit=1, against="restic"))
    assert verdict is not None
    assert verdict.ratio == 0.9


def test_our_own_other_work_can_be_the_measure() -> None:
    found = measurement(timed("strongroom", Work.NEWEST, 0.4), timed("strongroom", Work.OLDEST, 0.5))
    verdict = judge(found, Budget(text="", kind=Kind.WITHIN, limit=1, work=Work.NEWEST, than=Work.OLDEST))
    assert verdict is not None
    assert verdict.ratio == pytest.approx(0.8)


def test_what_failed_or_is_missing_is_no_verdict() -> None:
    failed = Result(peer="strongroom", work=Work.FIRST, timed=(Figure(wall=1, cpu=1),), failure="broke")
    restic = timed("restic", Work.FIRST, 10)
    assert judge(measurement(failed, restic), FASTER) is None
    assert judge(measurement(timed("strongroom", Work.FIRST, 1)), FASTER) is None
    assert judge(measurement(restic), FASTER) is None
    assert all(judge(measurement(), budget) is None for budget in MIXED.budgets)


def test_the_document_says_what_was_met_missed_and_failed() -> None:
    found = measurement(
        timed("strongroom", Work.FIRST, 6),
        timed("restic", Work.FIRST, 10),
        Result(peer="restic", work=Work.CHECK, failure="restic check …: exit status 1: damaged"),
    )
    text = document([found], "")
    assert "| first backup: 2× as fast as restic | 6.00 s, allowed 5.00 s | 1.67× | **missed** by 20 % |" in text
    assert "| first backup | 6.00 (6.00–6.00) / 12.0 | 10.0 (10.0–10.0) / 20.0 |" in text
    assert "- restic, check with data: restic check …: exit status 1: damaged" in text


def test_remarks_survive_a_new_document() -> None:
    text = document([measurement()], "The index is read twice.\n\nIt shows.")
    assert remarks_of(text) == "The index is read twice.\n\nIt shows."
    assert document([measurement()], remarks_of(text)) == text


def test_figures_survive_as_json() -> None:
    found = measurement(timed("strongroom", Work.FIRST, 6), stored={"restic": Stored(first=1)})
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measurement) == found


def test_a_new_run_takes_the_place_of_its_scale_and_leaves_the_others_and_the_remarks(tmp_path: Path) -> None:
    large = replace(measurement(timed("restic", Work.FIRST, 7)), title=LARGE.title)
    record(large, tmp_path)
    record(measurement(timed("restic", Work.FIRST, 8)), tmp_path)
    page = tmp_path / "benchmarks.md"
    page.write_text(page.read_text() + "A remark.\n")
    record(measurement(timed("restic", Work.FIRST, 9)), tmp_path)
    text = page.read_text()
    assert "7.00 (" in text
    assert "8.00 (" not in text
    assert "9.00 (" in text
    assert text.index(MIXED.title) < text.index(LARGE.title)
    assert remarks_of(text) == "A remark."
