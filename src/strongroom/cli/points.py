"""``points`` and ``show``: which points there are, and all that is known of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import AtLeastOne, command
from strongroom.cli.output import duration, escaped, size, table, write_json_list
from strongroom.counting import counted
from strongroom.paths import owners

if TYPE_CHECKING:
    from strongroom.clients.base import Client
    from strongroom.model import Entry, Point, ReadPlan

# Files changed in the gap that are shown by name.
_SHOWN = 10


@command()
@click.argument("account", required=False, metavar="[ACCOUNT]")
@click.option("--client", metavar="NAME", help="Only points of this client.")
@click.option("--since", metavar="TIME", help="Only points made at this time or later.")
@click.option("--limit", metavar="N", type=AtLeastOne(), help="Only the newest N.")
@click.pass_obj
def points(
    invocation: Invocation, account: str | None, client: str | None, since: str | None, limit: int | None
) -> None:
    """List restore points, newest first."""
    from strongroom.cli import documents
    from strongroom.runs import times

    start = times.parse(since, invocation.now, times.Edge.BEGINNING) if since else None
    invocation.client(client).unlock()
    found = _found(invocation, account, client)
    if start is not None:
        found = [point for point in found if times.read(point.time) >= start]
    found = found[:limit]
    if invocation.json:
        write_json_list(documents.point(point, warnings=False) for point in found)
        return
    heads = ("POINT", "ACCOUNT", "TIME", "LEVEL", "CLIENT", "STATUS", "ENTRIES", "SIZE")
    invocation.answer(None, table(heads, map(_row, found)) or ["no points"])


def _found(invocation: Invocation, account: str | None, client: str | None) -> list[Point]:
    from strongroom.runs.choosing import with_points

    catalog = invocation.catalog(client)
    if account is None:
        return catalog.all(client=client)
    return catalog.of(with_points(invocation.subject(account, client), catalog), client=client)


def _row(point: Point) -> tuple[str, ...]:
    return (
        point.id[:12],
        escaped(point.account),
        point.time[:19] + "Z",
        point.level.value,
        point.client,
        point.status.value + (", pinned" if point.pinned else ""),
        f"{point.entries:,}",
        size(point.bytes),
    )


@command()
@click.argument("point", metavar="POINT")
@click.pass_obj
def show(invocation: Invocation, point: str) -> None:
    """Show all that is known of a point.

    Contents, exports, synchrony, warnings, and what a restore of it must read. POINT is an id, a unique prefix of
    one, ACCOUNT:latest, or (where one account alone has points) latest.
    """
    from strongroom.cli import documents

    found = invocation.named_point(point)
    client = invocation.client(found.client)
    plan = client.plan(found, ())
    exports = list(_beside_databases(client, found))
    copies = invocation.catalog().copies(found)
    apps = invocation.finder.in_point(found.account, lambda path: client.lookup(found, path) is not None)
    document = documents.point(found, warnings=True) | {"exports": [documents.export(entry) for entry in exports]}
    document |= {"reads": documents.plan(plan), "copies": [each.id for each in copies], "app_snapshots": apps}
    invocation.answer(document, _described(found, plan, exports, copies, apps))


def _beside_databases(client: Client, point: Point) -> Iterator[Entry]:
    """What a point holds of database servers that is no database: users, grants, rows of the panel's mail map."""
    from strongroom.model import DATABASES, FileType

    # What was adopted has entries that nobody counted, and may have to be brought here before one can look into it.
    if not point.entries or client.lookup(point, DATABASES.encode()) is None:
        return
    for engine in client.ls(point, DATABASES.encode()):
        if engine.type is FileType.DIR:
            yield from (entry for entry in client.ls(point, engine.path) if entry.type is FileType.FILE)


def _described(
    point: Point, plan: ReadPlan, exports: Sequence[Entry], copies: Sequence[Point], apps: Sequence[str]
) -> Iterator[str]:
    files = point.files
    for name, value in (
        ("point", point.id),
        ("account", " ".join([point.account, *point.domains])),
        ("time", point.time),
        ("status", point.status.value + (", pinned" if point.pinned else "")),
        ("level", point.level.value + (f", compared with {point.parent}" if point.parent else "")),
        ("client", point.client),
        ("run", f"{point.run}, {point.started} to {point.finished}"),
        ("server", point.server),
        ("holds", f"{counted(point.entries, 'entry', 'entries')}, {size(point.bytes)}"),
        ("files", f"{files.seen:,} seen, {files.changed:,} changed, {files.unchanged:,} unchanged"),
        ("", f"{files.removed:,} removed, {size(files.bytes_read)} read"),
        ("stored", size(point.stored_bytes)),
        ("restore", f"reads {size(plan.bytes)} of {counted(len(plan.reads), 'run')}, about {duration(plan.seconds)}"),
        ("synchrony", _synchrony(point)),
    ):
        yield f"{name:<10} {escaped(value)}"
    if point.origin is not None:
        first = point.origin
        yield f"{'copy of':<10} {escaped(f'{first.point} of client {first.client}')}, carried {first.carried}"
    for other in copies:
        yield f"{'also as':<10} {escaped(f'{other.id} of client {other.client}')}"
    for copy in point.databases:
        what = f"{copy.status}, {counted(copy.tables, 'table')}, {size(copy.bytes)}"
        at = f", at {escaped(copy.position)}" if copy.position else ""
        yield f"{'database':<10} {escaped(f'{copy.engine}:{copy.name}')} {what}{at}"
    yield from _changed_in_gap(point)
    for entry in exports:
        what = "incomplete" if entry.defect else "complete"
        yield f"{'export':<10} {escaped(owners(entry.path))} {what}, {size(entry.size)}"
    for app in apps:
        yield f"{'snapshots':<10} of {escaped(app)}"
    for remark in point.warnings:
        where = f"{escaped(owners(remark.path))}: " if remark.path else ""
        yield f"{'warning':<10} {where}{escaped(remark.message)}"


def _changed_in_gap(point: Point) -> Iterator[str]:
    found = point.synchrony
    shown = found.changed_paths[:_SHOWN]
    for path in shown:
        yield f"{'younger':<10} {escaped(owners(path))}"
    if found.changed_in_gap > len(shown):
        yield f"{'':<10} and {found.changed_in_gap - len(shown):,} more; --json names the first {len(found.changed_paths):,}"


def _synchrony(point: Point) -> str:
    found = point.synchrony
    if not point.databases:
        return f"files only, {found.files_started or '?'} to {found.files_finished or '?'}"
    opened = f"databases as of {found.transaction_opened}, files until {found.files_finished or '?'} ({found.method})"
    return f"{opened}: {found.gap_seconds:.1f} s apart, {counted(found.changed_in_gap, 'file')} changed meanwhile"
