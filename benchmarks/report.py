"""The document: it follows from the recorded figures alone, and keeps the remarks that people wrote at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.results import OURS, Measurement, Result, Verdict, judge
from benchmarks.works import SCALES, Budget, Kind, Work

MB = 1e6
REMARKS = "## Remarks"
HOW = """# Benchmarks

`make bench` and `make bench-large` make up a hosting server, let Strongroom and its peers do the same work on it in one
run, and write this document; the figures of every single run are in `benchmarks.json` beside it. All but the remarks at
the end is written by those commands.

- All peers work on the same tree, as root. restic and borg encrypt (repository version 2; repokey-blake2 with zstd 3)
  and take all accounts in one run; `tar --acls --xattrs | zstd -3 -T0` does not encrypt and is no night's work;
  `find -printf` of path, size, times, inode and links is what a look at every inode costs.
- Strongroom's passphrase is the one that `init` makes: 256 random bits, stretched by 8 MiB of Argon2id. One that a person
  thought of is stretched by 64 MiB, which adds 0.2 s of processor time to each command. restic and borg are given one.
- Times are medians of several rounds in which the peers take turns, from start to end of the program; the least and the
  most are in parentheses. A † marks what was done only once, while memory was sampled.
- Memory is PSS of all processes together, sampled every 50 ms in a run of its own, before the rounds.
- After the tree is made and after each day's churn, all wait until every change is 66 seconds old: Strongroom reads
  again what is too fresh for a change time to be trusted, as a few files are in any real night.
- "Restore of everything" is one run for restic, borg and tar, and for Strongroom one for each account, one by one.
- A day's churn touches 1 % of the files, evenly spread: six of ten edited, two added, one deleted, one renamed.
- What a restore brings back is compared: the small file byte by byte, everything else by the number of files.
- Before each run all that was written is on disk (`sync`). Restores go into new folders; nothing is deleted in between.
"""


def record(measurement: Measurement, folder: Path) -> None:
    """Puts figures in the place of the earlier ones of the same scale, in ``benchmarks.json`` and ``benchmarks.md``."""
    figures, page = folder / "benchmarks.json", folder / "benchmarks.md"
    known = msgspec.json.decode(figures.read_bytes(), type=list[Measurement]) if figures.exists() else []
    known = [one for one in known if one.title != measurement.title] + [measurement]
    remarks = remarks_of(page.read_text()) if page.exists() else ""
    folder.mkdir(exist_ok=True)
    figures.write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=1) + b"\n")
    page.write_text(document(known, remarks))


def document(measurements: Iterable[Measurement], remarks: str) -> str:
    """The text of ``docs/benchmarks.md``: a section for each scale that was measured, then the remarks."""
    known = {measurement.title: measurement for measurement in measurements}
    sections = [section(known[scale.title]) for scale in SCALES if scale.title in known]
    return "\n".join([HOW, *sections, f"{REMARKS}\n\n{remarks.strip()}\n"])


def remarks_of(text: str) -> str:
    """What people wrote at the end of an earlier document."""
    return text.partition(f"\n{REMARKS}\n")[2].strip()


def section(measurement: Measurement) -> str:
    """One scale: where and when, budgets, times, ratios, memory, sizes, and what failed."""
    peers = list(measurement.versions)
    parts = [f"## {measurement.title}\n", _setting(measurement), "### Against the budgets\n", _budgets(measurement)]
    parts += ["### Seconds, wall / processor\n", _works(measurement, peers, _times)]
    parts += ["### Wall time of the peers divided by ours\n", _ratios(measurement, peers)]
    parts += ["### Peak memory in MiB / MB written\n", _works(measurement, peers, _memory)]
    parts += ["### MB on disk\n", _stored(measurement)]
    failures = [f"- {one.peer}, {one.work}: {one.failure}" for one in measurement.results if one.failure]
    if failures:
        parts += ["### Failed\n", "\n".join(failures) + "\n"]
    return "\n".join(parts)


def _setting(measurement: Measurement) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in measurement.machine.items())
    versions = "; ".join(f"{name}: {version}" for name, version in measurement.versions.items())
    tree = measurement.tree
    content = f"{tree['files']:,} files of {tree['bytes'] / 1e9:.2f} GB, {tree['folders']:,} folders"
    entries = f"{tree['entries']:,} entries: {content}. {measurement.conditions}"
    return f"{measurement.date}; {machine}.\n\n{versions}.\n\n{entries}\n"


def _budgets(measurement: Measurement) -> str:
    rows = [_budget(budget, judge(measurement, budget)) for budget in measurement.budgets]
    return _table(["budget", "measured", "ratio", "verdict"], rows)


def _budget(budget: Budget, verdict: Verdict | None) -> list[str]:
    if not verdict:
        return [budget.text, "–", "–", "not measured"]
    excess = verdict.excess()
    judged = "met" if excess <= 0 else f"**missed** by {max(100 * excess, 0.1):.{0 if excess > 0.1 else 1}f} %"
    measured = f"{_amount(budget.kind, verdict.ours)}, allowed {_amount(budget.kind, verdict.allowed)}"
    return [budget.text, measured, f"{verdict.ratio:.2f}×" if verdict.ratio else "–", judged]


def _amount(kind: Kind, value: float) -> str:
    if kind is Kind.MEMORY:
        return f"{value / (1 << 20):,.0f} MiB"
    return f"{value / MB:,.0f} MB" if kind is Kind.STORED else f"{_seconds(value)} s"


def _works(measurement: Measurement, peers: Sequence[str], cell: Callable[[Result], str]) -> str:
    rows = []
    for work in Work:
        found = [measurement.result(peer, work) for peer in peers]
        if any(found):
            rows.append([str(work), *(cell(one) if one else "–" for one in found)])
    return _table(["", *peers], rows)


def _times(result: Result) -> str:
    wall, cpu = result.wall(), result.cpu()
    if wall is None or cpu is None or result.failure:
        return "failed"
    walls = [figure.wall for figure in result.quoted()]
    spread = f" ({_seconds(min(walls))}–{_seconds(max(walls))})" if result.timed else "†"
    return f"{_seconds(wall)}{spread} / {_seconds(cpu)}"


def _memory(result: Result) -> str:
    if not result.sampled or result.failure:
        return "failed"
    peak = f"{result.sampled.memory / (1 << 20):,.0f}" if result.sampled.memory else "–"
    return f"{peak} / {result.sampled.written / MB:,.0f}"


def _ratios(measurement: Measurement, peers: Sequence[str]) -> str:
    rows = []
    for work in Work:
        ours = measurement.wall(OURS, work)
        theirs = [measurement.wall(peer, work) for peer in peers if peer != OURS]
        if ours and any(theirs):
            rows.append([str(work), *(f"{one / ours:.2f}×" if one else "–" for one in theirs)])
    return _table(["", *(peer for peer in peers if peer != OURS)], rows)


def _stored(measurement: Measurement) -> str:
    rows = [
        [peer, *(f"{size / MB:,.0f}" for size in (one.first, one.last, one.beside)), str(one.points)]
        for peer, one in measurement.stored.items()
    ]
    return _table(["", "after the first backup", "at the end", "caches and catalogs", "points"], rows)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
