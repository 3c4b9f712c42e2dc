"""``backup``: make points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import client_option, command
from strongroom.cli.output import escaped, size, table
from strongroom.counting import counted
from strongroom.paths import owners

if TYPE_CHECKING:
    from strongroom.clients.base import Task
    from strongroom.model import Point
    from strongroom.runs.backup import RunResult

LEVELS = ("auto", "full", "differential", "incremental")
# Warnings of one point that are printed without -v.
_SHOWN = 10


@command()
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")
@click.option("--level", type=click.Choice(LEVELS), default="auto", show_default=True, help="How much may be trusted.")
@client_option
@click.option("--only", type=click.Choice(("files", "databases")), help="Only this part of each account.")
@click.option("--dry-run", is_flag=True, help="Say what would be backed up, at which level; back up nothing.")
@click.pass_obj
def backup(
    invocation: Invocation, accounts: tuple[str, ...], level: str, client: str | None, only: str | None, dry_run: bool
) -> int:
    """Back up accounts; all, and 'server', when none is named."""
    from strongroom.cli import documents
    from strongroom.model import Level
    from strongroom.runs.backup import Order, Runner

    order = Order(accounts=accounts, level=None if level == "auto" else Level(level), only=only)
    runner = Runner(
        invocation.config,
        invocation.layout,
        invocation.client(client),
        invocation.catalog(client),
        invocation.exporter(client),
    )
    if dry_run:
        return _forecast(invocation, runner.tasks(order))
    if (client or invocation.config.backup.client) != "vault":
        runner.tasks(order)  # an order that cannot be carried out is refused before a probe, which takes its time
    prove(invocation, client)
    result = runner.run(order, invocation.teller)
    invocation.answer(documents.run(result), _lines(result, verbose=bool(invocation.verbose)), summary=True)
    for failure in result.failures:
        invocation.teller.error(f"{failure.account}: {failure.message}")
    return result.exit_status


def prove(invocation: Invocation, client: str | None) -> None:
    """See to it that a client which is not the vault has been probed."""
    if (client or invocation.config.backup.client) != "vault":
        from strongroom.restores import probe

        default = client in (None, invocation.config.backup.client)
        probe.need(invocation.client(client), invocation.config, invocation.teller, default=default)


def _forecast(invocation: Invocation, tasks: list[Task]) -> int:
    from strongroom.cli import documents
    from strongroom.cli.owned import with_databases

    owned = {each.name: each.databases for each in with_databases(invocation, invocation.layout.accounts(details=True))}
    would: list[documents.Document] = []
    rows = []
    for task in tasks:
        account = task.account
        databases = owned.get(account.name, ()) if task.exports is not None else ()
        would.append(documents.account(account) | {"level": task.level.value, "databases": list(databases)})
        places = ", ".join(escaped(place.path) for place in account.locations)
        rows.append((escaped(account.name), task.level.value, str(len(databases)), places))
    empty: dict[str, object] = {
        "run": None,
        "status": "complete",
        "started": None,
        "finished": None,
        "points": [],
        "failures": [],
    }
    invocation.answer(empty | {"dry_run": True, "would": would}, table(("WOULD BACK UP", "LEVEL", "DATABASES", "FROM"), rows))
    return 0


def _lines(result: RunResult, *, verbose: bool) -> Iterator[str]:
    yield from table(
        ("POINT", "ACCOUNT", "LEVEL", "STATUS", "ENTRIES", "CHANGED", "READ", "STORED"), map(_row, result.points)
    )
    for point in result.points:
        yield from _warnings(point, len(point.warnings) if verbose else _SHOWN)
    without = f", {len(result.failures)} without a point" if result.failures else ""
    yield f"run {result.run}: {result.status}, {counted(len(result.points), 'point')}{without}"


def _row(point: Point) -> tuple[str, ...]:
    files = point.files
    return (
        point.id[:12],
        escaped(point.account),
        point.level.value,
        point.status.value,
        f"{files.seen:,}",
        f"{files.changed:,}",
        size(files.bytes_read),
        size(point.stored_bytes),
    )


def _warnings(point: Point, most: int) -> Iterator[str]:
    for remark in point.warnings[:most]:
        where = f" {escaped(owners(remark.path))}" if remark.path else ""
        yield f"{escaped(point.account)}{where}: {escaped(remark.message)}"
    if len(point.warnings) > most:
        more = counted(len(point.warnings) - most, "more warning")
        rest = f"{more}; see: strongroom show {point.id[:12]}"
        yield f"{escaped(point.account)}: {rest}"
