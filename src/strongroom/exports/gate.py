"""The truth gate: what an export has to show before it may be called complete."""

from __future__ import annotations

from collections.abc import Iterable

from strongroom.errors import ExportError
from strongroom.exports import manifest
from strongroom.exports.manifest import Manifest, Table

# A table that had at least so many rows, and has lost more than this share of them, is worth a warning.
_ENOUGH_ROWS = 100
_ENOUGH_BYTES = 1 << 20
_SHARE = 0.5
_MOST_NAMED = 5


def missing(expected: Iterable[str], found: Iterable[str], what: str = "tables") -> list[str]:
    """Why two lists of names are not the same; nothing where they are."""
    wanted, there = set(expected), set(found)
    reasons = []
    if wanted - there:
        reasons.append(f"{what} that the server has and the export has not: {_named(wanted - there)}")
    if there - wanted:
        reasons.append(f"{what} that the export has and the server has not: {_named(there - wanted)}")
    return reasons


def fallen(tables: Iterable[Table], previous: bytes | None) -> list[str]:
    """Warnings for the tables that have lost much since the previous manifest, or are gone."""
    if previous is None:
        return []
    try:
        before = manifest.decode(previous)
    except ExportError as error:
        return [f"cannot be compared with the last export: {error}"]
    return list(_losses(before, {table.name: table for table in tables}))


def _losses(before: Manifest, now: dict[str, Table]) -> Iterable[str]:
    gone = [table.name for table in before.tables if table.name not in now]
    if gone:
        yield f"tables that the last export had are gone: {_named(gone)}"
    for was in before.tables:
        table = now.get(was.name)
        if table is None:
            continue
        if was.rows >= _ENOUGH_ROWS and table.rows < was.rows * _SHARE:
            yield f"table {was.name} has {table.rows} rows, and had {was.rows} in the last export"
        elif was.bytes >= _ENOUGH_BYTES and table.bytes < was.bytes * _SHARE:
            yield f"table {was.name} has {table.bytes} bytes, and had {was.bytes} in the last export"


def _named(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST_NAMED} more" if len(ordered) > _MOST_NAMED else ""
    return ", ".join(ordered[:_MOST_NAMED]) + more
