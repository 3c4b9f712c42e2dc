"""``restore`` and ``plan``: bringing things back, and what that would read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from strongroom.cli import later
from strongroom.cli.contents import existing
from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command, point_options
from strongroom.cli.output import duration, escaped, size
from strongroom.cli.output import table as columns
from strongroom.errors import RestoreError, UnknownError, UsageError
from strongroom.paths import owners, stored

if TYPE_CHECKING:
    from strongroom.model import Point, ReadPlan
    from strongroom.restores.request import RestoreForecast, RestoreRequest, RestoreResult
    from strongroom.runs.choosing import Subject, Wanted

ONLY = ("files", "databases", "info")
_TREES = {"files": b"data", "info": b"info"}


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@point_options
@click.option("--to", metavar="DIR", help="Bring it back below this folder, as DIR/data and DIR/info; never asks.")
@click.option(
    "--mode", type=click.Choice(("merge", "mirror")), help="What becomes of files that the point does not have."
)
@click.option("--only", type=click.Choice(ONLY), help="Only this part of the account.")
@click.option("--devices", is_flag=True, help="In place: device nodes too (with --to they always come).")
@click.option("--dry-run", is_flag=True, help="Show what would be written, replaced and deleted; change nothing.")
@click.option("--yes", is_flag=True, help="In place: do not ask.")
@click.option("--database", metavar="ENGINE:NAME", multiple=True, help="A database (not in this version yet).")
@click.option("--table", metavar="NAME", help="One table of it (not in this version yet).")
@click.option("--into", metavar="NAME", help="Under a new name (not in this version yet).")
@click.option("--mailbox", metavar="ADDRESS", help="One mailbox (not in this version yet).")
@click.pass_obj
def restore(
    invocation: Invocation,
    account: str,
    paths: tuple[str, ...],
    wanted: Wanted,
    to: str | None,
    mode: str | None,
    only: str | None,
    devices: bool,
    dry_run: bool,
    yes: bool,
    database: tuple[str, ...],
    table: str | None,
    into: str | None,
    mailbox: str | None,
) -> int:
    """Bring an account or paths of it back, in place or elsewhere."""
    _refuse_databases(only, {"database": " ".join(database), "table": table, "into": into, "mailbox": mailbox})
    subject, point = chosen(invocation, account, wanted)
    asked = asked_paths(invocation, point, paths, only)
    request = _request(invocation, subject, point, asked, to=to, mode=mode, devices=devices)
    return _bring_back(invocation, request, dry_run=dry_run, ask=to is None and not yes)


def _bring_back(invocation: Invocation, request: RestoreRequest, *, dry_run: bool, ask: bool) -> int:
    import msgspec

    from strongroom.cli import documents
    from strongroom.restores.restore import restore as bring_back

    client = invocation.client(request.point.client)
    if dry_run or ask:
        forecast = bring_back(msgspec.structs.replace(request, dry_run=True), client, invocation.teller)
        if dry_run:
            invocation.answer(documents.restore(forecast), _forecast_lines(forecast))
            return 0
        _confirm(invocation, request.point, forecast)
    result = bring_back(request, client, invocation.teller)
    invocation.answer(documents.restore(result), _lines(result), summary=True)
    return {"complete": 0, "incomplete": 1}.get(result.status.value, 2)


def _refuse_databases(only: str | None, given: dict[str, str | None]) -> None:
    """Refuse the options of databases and mailboxes, which this version has nothing to do with yet."""
    if only == "databases":
        raise later.refuse("'restore --only databases'")
    for name, value in given.items():
        if value:
            raise later.refuse(f"'restore --{name} {value}'")


def chosen(invocation: Invocation, account: str, wanted: Wanted) -> tuple[Subject, Point]:
    """The account that was named, and which point of it is wanted."""
    subject = invocation.subject(account, wanted.client)
    return subject, invocation.point_of(subject, wanted)


def asked_paths(
    invocation: Invocation, point: Point, paths: tuple[str, ...], only: str | None = None
) -> tuple[bytes, ...]:
    """The stored paths that are asked for; none: all trees that the point has, or the one of ``only``."""
    from strongroom.runs.versions import trees

    client = invocation.client(point.client)
    for path in paths:
        existing(client, point, path)
    asked = tuple(stored(path) for path in paths)
    if only is None:
        return asked or tuple(trees(client, point))
    tree = _TREES[only]
    for inside in asked:
        if inside.partition(b"/")[0] != tree:
            raise UsageError(f"--only {only} and the path '{owners(inside)}' contradict each other: leave one out")
    if client.lookup(point, tree) is None:
        raise UnknownError(f"point {point.id} of {point.account} has no {only}; see: strongroom show {point.id[:12]}")
    return asked or (tree,)


def _request(
    invocation: Invocation,
    subject: Subject,
    point: Point,
    paths: tuple[bytes, ...],
    *,
    to: str | None,
    mode: str | None,
    devices: bool,
) -> RestoreRequest:
    import secrets

    from strongroom.restores.request import Mode, RestoreRequest

    return RestoreRequest(
        id=secrets.token_hex(8),
        point=point,
        paths=paths,
        account=subject.account,
        targets={} if to is not None else invocation.layout.folders(subject.who.account),
        to=os.path.abspath(os.fsencode(to)) if to is not None else None,
        mode=Mode(mode) if mode else None,
        devices=devices,
        excludes=invocation.config.backup.exclude,
    )


def _confirm(invocation: Invocation, point: Point, result: RestoreResult) -> None:
    """Ask on a terminal whether to restore in place; without one, refuse."""
    forecast = result.forecast
    counts = _counts(forecast) if forecast else ""
    what = f"point {point.id} of {point.account} ({point.time}, {point.status}) in place: {counts}"
    if invocation.json or not sys.stdin.isatty():
        raise RestoreError(f"not restored: {what}; say --yes to do it, or --to DIR to bring it back beside")
    # Not click.confirm: an interrupt while readline reads its settings would be forgotten, and the question stay.
    sys.stderr.write(f"Restores {escaped(what)}.\nGo ahead? [y/N]: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RestoreError("not restored: you said no; nothing was changed")


def _counts(forecast: RestoreForecast) -> str:
    return (
        f"{forecast.written:,} to write, {forecast.replaced:,} to replace, {forecast.deleted:,} to delete, "
        f"{forecast.unchanged:,} unchanged, {size(forecast.bytes)}"
    )


def _forecast_lines(result: RestoreResult) -> Iterator[str]:
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
    yield f"would restore point {result.point} of {escaped(result.account)}: {_counts(forecast)}"


def _lines(result: RestoreResult) -> Iterator[str]:
    for remark in result.warnings:
        where = f"{escaped(owners(remark.path))}: " if remark.path else ""
        yield f"warning: {where}{escaped(remark.message)}"
    files = result.files
    yield (
        f"restored point {result.point} of {escaped(result.account)}: {result.status}, {files.written:,} written, "
        f"{files.unchanged:,} unchanged, {files.deleted:,} deleted, {size(files.bytes)}"
    )


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@point_options
@click.pass_obj
def plan(invocation: Invocation, account: str, paths: tuple[str, ...], wanted: Wanted) -> None:
    """Show what a restore would read, and how long that takes."""
    from strongroom.cli import documents

    _, point = chosen(invocation, account, wanted)
    found = invocation.client(point.client).plan(point, asked_paths(invocation, point, paths))
    invocation.answer(documents.plan(found), _plan_lines(point, found))


def _plan_lines(point: Point, found: ReadPlan) -> Iterator[str]:
    rows = [(escaped(step.run), step.level.value, escaped(step.what), size(step.bytes)) for step in found.reads]
    yield from columns(("RUN", "LEVEL", "WHAT", "BYTES"), rows)
    yield f"point {point.id} of {escaped(point.account)}: {size(found.bytes)} to read, about {duration(found.seconds)}"
