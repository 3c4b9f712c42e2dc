"""``docs/chains.md``: it follows from the recorded figures alone, and keeps the remarks that people wrote at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.chains_results import Cost, Findings, Restored
from benchmarks.report import REMARKS, remarks_of

MB = 1e6
HOW = """# Chains: what a restore reads

`make bench` makes up one account of small files, backs it up night after night with each client in turn, restores some of the
points, and writes this document; the figures are in `chains.json` beside it. All but the remarks at the end is
written by that command (`python -m benchmarks.chains`; with `--inodes` and `--runs` for a smaller try, with `--client
NAME=FILE` for one more client, such as a Bacula, whose table of the configuration is in FILE).

- *vault* is the embedded client, *duplicity* a full set and increments (not encrypted, so that what is in its volumes
  can be counted), *tar* a `command` client of GNU tar with `--newer`, and *tar-weekly* the same with a differential
  point every seventh night.
- Between two nights 1 % of the files change: six of ten are edited, two added, one deleted, one renamed; and one
  small file changes every night.
- *Forecast* is what `strongroom plan` says before: runs, bytes and seconds. *Read* is what the restore took: of tools
  the files of their storage whose access time moved (a file counts whole), of the vault every range that was read.
  *Unpacked* are the entries in what was read; in the account itself there are as many as stand below.
- Bytes and counts do not depend on what else the machine does; seconds do. The forecast knows the account's files,
  and not how a tool packs them.
- Into the vault every night is encrypted and compressed; tar keeps bytes as they are, duplicity compresses them.
"""


def write(findings: Findings, folder: Path | None) -> str:
    """The document, recorded below a folder where one is given."""
    if folder is None:
        return document(findings, "")
    page, figures = folder / "chains.md", folder / "chains.json"
    if figures.exists():
        findings = findings.beside(msgspec.json.decode(figures.read_bytes(), type=Findings))
    text = document(findings, remarks_of(page.read_text()) if page.exists() else "")
    folder.mkdir(exist_ok=True)
    figures.write_bytes(msgspec.json.format(msgspec.json.encode(findings), indent=1) + b"\n")
    page.write_text(text)
    return text


def document(findings: Findings, remarks: str) -> str:
    """The text of ``docs/chains.md``."""
    parts = [HOW, _setting(findings)]
    for path in dict.fromkeys(one.path for one in findings.restores):
        found = [one for one in findings.restores if one.path == path]
        parts += [f"## {_title(path, found)}\n", _restores(found)]
    parts += ["## What the nights cost\n", _nights(findings)]
    saved = _saved(findings)
    if saved:
        parts += ["## What follows\n", saved]
    return "\n".join([*parts, f"{REMARKS}\n\n{remarks.strip()}\n"])


def _title(path: str, found: Sequence[Restored]) -> str:
    return "The whole account" if not path else f"One file: `{path}`"


def _setting(findings: Findings) -> str:
    tree = findings.tree
    content = f"{tree['files']:,} files of {tree['bytes'] / 1e9:.2f} GB, {tree['folders']:,} folders"
    facts = ", ".join(f"{name} {value}" for name, value in findings.machine.items())
    busy = (
        f"{findings.load:.1f} processes wanted its {findings.machine['cores']} cores at the end (mean of 15 minutes)."
    )
    when = f"{findings.date}, strongroom at {findings.revision or 'no commit'}; {facts}; {busy}"
    kept = f"\n\nFrom an earlier run: {findings.kept}." if findings.kept else ""
    return f"{tree['entries']:,} entries: {content}. {findings.runs} runs.\n\n{when}{kept}\n"


def _restores(found: Sequence[Restored]) -> str:
    head = ["nights", "client", "forecast: runs", "MB", "s", "read: runs", "MB", "unpacked", "s"]
    rows = [
        [str(one.nights), one.way, *_cost(one.forecast), *_counted(one.measured), _seconds(one.measured.seconds)]
        for one in found
    ]
    return _table(head, rows)


def _cost(cost: Cost) -> list[str]:
    return [str(cost.runs), _size(cost.bytes), _seconds(cost.seconds)]


def _counted(cost: Cost) -> list[str]:
    return [str(cost.runs), _size(cost.bytes), f"{cost.inodes:,}" if cost.inodes is not None else "–"]


def _nights(findings: Findings) -> str:
    rows = []
    for way, nights in findings.nights.items():
        later = [f"{median(night.seconds for night in nights[1:]):.1f}"] if nights[1:] else ["–"]
        full = findings.consolidations.get(way)
        rows.append(
            [
                way, f"{nights[0].seconds:.1f}", *later, _size(findings.stored[way]),
                f"{full:.1f}" if full is not None else "–",
            ]
        )  # fmt: skip
    return _table(["client", "first night, s", "later nights, s (median)", "MB on disk", "chain made full, s"], rows)


def _saved(findings: Findings) -> str:
    """Ratios of counts, which do not depend on the machine."""
    last = {(one.way, one.path): one for one in findings.restores if one.nights == findings.runs}
    lines = []
    vault = last.get(("vault", ""))
    for way in findings.nights:
        one = last.get((way, ""))
        if one is None or vault is None or way == "vault":
            continue
        lines.append(
            f"- {way}: after {findings.runs} nights a restore reads {one.measured.runs} runs and "
            f"{one.measured.bytes / max(vault.measured.bytes, 1):.1f}× the bytes that the vault does."
        )
    tar, weekly = last.get(("tar", "")), last.get(("tar-weekly", ""))
    if tar is not None and weekly is not None:
        runs = tar.measured.runs - weekly.measured.runs
        less = 1 - weekly.measured.bytes / max(tar.measured.bytes, 1)
        disk = findings.stored["tar-weekly"] / max(findings.stored["tar"], 1)
        lines.append(
            f"- A differential every seventh night saves {runs} of {tar.measured.runs} runs and {less:.0%} of the bytes that a "
            f"restore reads, for {disk:.2f}× the room on disk."
        )
    for (way, path), one in last.items():
        if way.endswith(", made full") and not path:
            before = last[way.removesuffix(", made full"), ""].measured
            lines.append(
                f"- {way}: {one.measured.runs} run in place of {before.runs}, "
                f"{one.measured.bytes / max(before.bytes, 1):.2f}× the bytes."
            )
    return "".join(f"{line}\n" for line in lines)


def _size(value: int) -> str:
    return f"{value / MB:,.0f}" if value >= 10 * MB else f"{value / MB:,.3f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
