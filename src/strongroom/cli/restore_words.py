"""What a restore would do, and what it did, in words."""

from __future__ import annotations

from collections.abc import Iterator

from strongroom.cli.output import escaped, size
from strongroom.paths import owners
from strongroom.restores.request import DatabaseBack, RestoreForecast, RestoreResult


def counts(forecast: RestoreForecast) -> str:
    """A forecast in numbers."""
    return (
        f"{forecast.written:,} to write, {forecast.replaced:,} to replace, {forecast.deleted:,} to delete, "
        f"{forecast.unchanged:,} unchanged, {size(forecast.bytes)}"
    )


def forecast_lines(result: RestoreResult) -> Iterator[str]:
    """What a restore would do."""
    for back in result.databases:
        yield f"database {expected(back)}"
    forecast = result.forecast
    if forecast is None:
        return
    for word, count, paths in (
        ("write", forecast.written, forecast.writes),
        ("replace", forecast.replaced, forecast.replaces),
        ("delete", forecast.deleted, forecast.deletes),
    ):
        for path in paths:
            yield f"{word:<8} {escaped(owners(path))}"
        if count > len(paths):
            yield f"{word:<8} … and {count - len(paths):,} more"
    yield from _warnings(result)
    yield f"would restore point {result.point} of {escaped(result.account)}: {counts(forecast)}"


def lines(result: RestoreResult) -> Iterator[str]:
    """What a restore did."""
    yield from _warnings(result)
    for back in result.databases:
        yield from _database_lines(back)
    files = result.files
    yield (
        f"restored point {result.point} of {escaped(result.account)}: {result.status}, {files.written:,} written, "
        f"{files.unchanged:,} unchanged, {files.deleted:,} deleted, {size(files.bytes)}"
    )


def _warnings(result: RestoreResult) -> Iterator[str]:
    for remark in result.warnings:
        where = f"{escaped(owners(remark.path))}: " if remark.path else ""
        yield f"warning: {where}{escaped(remark.message)}"


def expected(back: DatabaseBack) -> str:
    """What would become of one database."""
    wish = back.wish
    if back.status.value == "failed":
        return f"{escaped(wish.shown)} will not come back: {escaped('; '.join(back.messages))}"
    if wish.table is not None:
        broken = f"; not with it: {escaped('; '.join(back.messages))}" if back.messages else ""
        return f"table {escaped(wish.table)} of {escaped(wish.shown)} as {escaped(wish.into or '')}{broken}"
    what = {True: "replaced, after a dump of it", False: "made", None: "made, or replaced after a dump of it"}[back.replaces]
    return f"{escaped(wish.engine)}:{escaped(wish.target)} {what}, {size(back.bytes)} to load"


def _database_lines(back: DatabaseBack) -> Iterator[str]:
    wish = back.wish
    for message in back.messages:
        yield f"warning: {escaped(wish.shown)}: {escaped(message)}"
    if back.kept:
        yield f"{escaped(wish.shown)}: what it held before is in {escaped(back.kept)}"
    into = f" as {escaped(wish.into)}" if wish.into else ""
    table = f" table {escaped(wish.table)}" if wish.table else ""
    yield f"{escaped(wish.shown)}{table}{into}: {back.status}, {size(back.bytes)} loaded"
