"""What is written of chains, from figures alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.chains_report import write
from benchmarks.chains_results import Cost, Findings, Night, Restored


def findings(*ways: str, revision: str = "aaa", runs: int = 2) -> Findings:
    forecast, measured = Cost(runs=1, bytes=10, seconds=1.0), Cost(runs=runs, bytes=20, seconds=1.0)
    return Findings(
        date="1 May 2026",
        machine={"cores": "2"},
        revision=revision,
        load=1.5,
        tree={"entries": 3, "files": 2, "folders": 1, "bytes": 10},
        runs=runs,
        nights={way: [Night(point="p", level="full", seconds=1.0)] * runs for way in ways},
        stored=dict.fromkeys(ways, 1_000_000),
        restores=tuple(Restored(way, runs, "", forecast, measured) for way in ways),
        consolidations={},
    )


def test_ways_that_are_not_measured_again_keep_their_figures_and_it_says_so(tmp_path: Path) -> None:
    write(findings("vault", "tar"), tmp_path)
    text = write(findings("vault", revision="bbb"), tmp_path)
    assert "| tar |" in text
    assert "strongroom at bbb" in text
    assert "From an earlier run: tar as measured 1 May 2026 at aaa, with a load of 1.5." in text
    known = msgspec.json.decode((tmp_path / "chains.json").read_bytes(), type=Findings)
    assert (list(known.nights), len(known.restores)) == (["vault", "tar"], 2)


def test_figures_of_another_account_are_not_put_beside(tmp_path: Path) -> None:
    write(findings("vault", "tar"), tmp_path)
    text = write(findings("vault", runs=3), tmp_path)
    assert "tar" not in text.partition("## The whole account")[2]
