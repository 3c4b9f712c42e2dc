"""``restore`` and ``plan``: bringing things back, and what that would read."""

from __future__ import annotations

import functools
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
    from strongroom.restores.account import Order
    from strongroom.restores.databases import DatabaseRestorer
    from strongroom.restores.request import DatabaseWish, RestoreRequest, RestoreResult
    from strongroom.runs.choosing import Subject, Wanted

# As in `strongroom.model`, which the parser does without.
FILES, DATABASES = "files", "databases"
ONLY = (FILES, DATABASES, "info")
_TREES = {FILES: b"data", DATABASES: b"databases", "info": b"info"}


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
@click.option("--database", "named", metavar="ENGINE:NAME", multiple=True, help="A database; may be given again.")
@click.option(
    "--table", metavar="NAME", help="One table of it (PostgreSQL: schema.table), beside the live one: --into."
)
@click.option("--into", metavar="NAME", help="Under a new name, beside the live database or table.")
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
    named: tuple[str, ...],
    table: str | None,
    into: str | None,
    mailbox: str | None,
) -> int:
    """Bring an account or parts of it back, in place or elsewhere.

    Without PATH and --database: all of it, files and databases, with the users of the databases.
    """
    import msgspec

    from strongroom.restores.account import Order
    from strongroom.restores.ground import refuse_in_place

    if mailbox:
        raise later.refuse(f"'restore --mailbox {mailbox}'")
    wishes = _wishes(named, table, into, only, to)
    part = _part(only, bool(paths), bool(wishes))
    subject, point = chosen(invocation, account, msgspec.structs.replace(wanted, part=part))
    files: RestoreRequest | None = None
    if to is not None:
        asked = _paths_to(invocation, point, paths, only, wishes)
        files = _request(invocation, subject, point, asked, to=to, mode=mode, devices=devices)
        order = Order(id=files.id, point=point, files=files)
    else:
        refuse_in_place(invocation.client(point.client))
        asked = () if part == DATABASES and not paths else asked_paths(invocation, point, paths, only, in_place=True)
        files = _request(invocation, subject, point, asked, to=None, mode=mode, devices=devices)
        whole = not wishes and part in (None, DATABASES)
        order = Order(
            id=files.id,
            point=point,
            files=files if asked else None,
            databases=_all_databases(invocation, point) if whole else wishes,
            users=whole and invocation.client(point.client).lookup(point, _TREES[DATABASES]) is not None,
            named=bool(wishes),
        )
        if part == DATABASES and whole and not order.databases and not order.users:
            raise UnknownError(
                f"point {point.id} of {point.account} has no databases; see: strongroom show {point.id[:12]}"
            )
    return _bring_back(invocation, subject, order, dry_run=dry_run, ask=to is None and not yes)


def _part(only: str | None, paths: bool, databases: bool) -> str | None:
    """What has to be in the point: files, databases, or (None) both."""
    if only is not None:
        return DATABASES if only == DATABASES else FILES
    if paths and not databases:
        return FILES
    return DATABASES if databases and not paths else None


def _wishes(
    named: tuple[str, ...], table: str | None, into: str | None, only: str | None, to: str | None
) -> tuple[DatabaseWish, ...]:
    """The databases that are asked for by name. Raise UsageError for what contradicts itself."""
    from strongroom.restores.databases import parse
    from strongroom.restores.request import DatabaseWish

    if (table or into) and len(named) != 1:
        raise UsageError(f"{'--table' if table else '--into'} needs exactly one --database ENGINE:NAME")
    if named and only not in (None, DATABASES):
        raise UsageError(f"--only {only} and --database contradict each other: leave one out")
    if to is not None and into is not None:
        raise UsageError("--to brings files of an export back, --into loads them: leave one out")
    if to is not None:
        return tuple(DatabaseWish(engine=wish.engine, name=wish.name, table=table) for wish in map(parse, named))
    return tuple(parse(name, table, into) for name in named)


def _all_databases(invocation: Invocation, point: Point) -> tuple[DatabaseWish, ...]:
    from strongroom.restores.databases import held
    from strongroom.restores.request import DatabaseWish

    client = invocation.client(point.client)
    return tuple(DatabaseWish(engine=copy.engine, name=copy.name) for copy in held(client, point))


def _paths_to(
    invocation: Invocation, point: Point, paths: tuple[str, ...], only: str | None, wishes: tuple[DatabaseWish, ...]
) -> tuple[bytes, ...]:
    """The stored paths to bring back beside: what was asked for, databases as the files of their exports."""
    from strongroom.restores.databases import folder_of, table_file

    client = invocation.client(point.client)
    found = []
    for wish in wishes:
        folder = folder_of(wish.engine, wish.name)
        if client.lookup(point, folder) is None:
            raise UnknownError(
                f"no {wish.shown} in point {point.id} of {point.account}; see: strongroom show {point.id[:12]}"
            )
        found.append(table_file(client, point, wish) if wish.table else folder)
    if wishes and not paths:
        return tuple(found)
    return (*found, *asked_paths(invocation, point, paths, only))


def _bring_back(invocation: Invocation, subject: Subject, order: Order, *, dry_run: bool, ask: bool) -> int:
    from strongroom.cli import documents
    from strongroom.cli.restore_words import forecast_lines, lines
    from strongroom.restores import account as accounts

    client = invocation.client(order.point.client)
    restorer = functools.partial(restorer_of, invocation, subject, order.point)
    if dry_run or ask:
        forecast = accounts.forecast(order, client, invocation.teller, restorer)
        if dry_run:
            invocation.answer(documents.restore(forecast), forecast_lines(forecast))
            return 0
        _confirm(invocation, order.point, forecast)
        invocation.teller.begin()
    result = accounts.restore(order, client, invocation.teller, restorer)
    invocation.answer(documents.restore(result), lines(result), summary=True)
    if order.files is not None:
        _tell_what_is_left(invocation, order.files, result)
    return {"complete": 0, "incomplete": 1}.get(result.status.value, 2)


def restorer_of(invocation: Invocation, subject: Subject, point: Point) -> DatabaseRestorer:
    """What brings databases back, for the account as it is on this server now."""
    from strongroom.restores.databases import DatabaseRestorer
    from strongroom.restores.keeping import Keeper

    account = invocation.layout.account(subject.who.account)
    return DatabaseRestorer(
        invocation.client(point.client),
        point,
        account,
        invocation.layout.accounts(),
        invocation.servers,
        Keeper(account, invocation.config.server.state),
    )


def _tell_what_is_left(invocation: Invocation, request: RestoreRequest, result: RestoreResult) -> None:
    """Say what a panel wants after data were changed in place, once, where they were."""
    data = any(path.partition(b"/")[0] == b"data" for path in request.paths)
    if request.to is None and data and (result.files.written or result.files.deleted):
        left = invocation.layout.after_restore(request.account.name if request.account else result.account)
        if left:
            invocation.teller.note(left)


def chosen(invocation: Invocation, account: str, wanted: Wanted) -> tuple[Subject, Point]:
    """The account that was named, and which point of it is wanted."""
    subject = invocation.subject(account, wanted.client)
    return subject, invocation.point_of(subject, wanted)


def asked_paths(
    invocation: Invocation, point: Point, paths: tuple[str, ...], only: str | None = None, *, in_place: bool = False
) -> tuple[bytes, ...]:
    """The stored paths that are asked for; none: all trees that the point has, or the one of ``only``.

    In place there are no databases among them: they are loaded, not written.
    """
    from strongroom.runs.versions import trees

    client = invocation.client(point.client)
    for path in paths:
        existing(client, point, path)
    asked = tuple(stored(path) for path in paths)
    if in_place and any(path.partition(b"/")[0] == _TREES[DATABASES] for path in asked):
        raise UsageError("what a point holds of databases comes back with --database, or as files with --to DIR")
    if only is None:
        return asked or tuple(tree for tree in trees(client, point) if not in_place or tree != _TREES[DATABASES])
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
    from strongroom.restores.request import Mode, RestoreRequest

    return RestoreRequest(
        id=os.urandom(8).hex(),
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
    from strongroom.cli.restore_words import counts, expected

    forecast = result.forecast
    told = [counts(forecast)] if forecast else []
    told += [expected(back) for back in result.databases]
    what = f"point {point.id} of {point.account} ({point.time}, {point.status}) in place: {'; '.join(told)}"
    if invocation.json or not sys.stdin.isatty():
        raise RestoreError(f"not restored: {what}; say --yes to do it, or --to DIR to bring it back beside")
    # Not click.confirm: an interrupt while readline reads its settings would be forgotten, and the question stay.
    sys.stderr.write(f"Restores {escaped(what)}.\nGo ahead? [y/N]: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RestoreError("not restored: you said no; nothing was changed")


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@point_options
@click.pass_obj
def plan(invocation: Invocation, account: str, paths: tuple[str, ...], wanted: Wanted) -> None:
    """Show what a restore would read, and how long that takes."""
    from strongroom.cli import documents

    _, point = chosen(invocation, account, wanted)
    # All of a point is planned without a look into it, which some clients have to bring it here for.
    found = invocation.client(point.client).plan(point, asked_paths(invocation, point, paths) if paths else ())
    invocation.answer(documents.plan(found), _plan_lines(point, found))


def _plan_lines(point: Point, found: ReadPlan) -> Iterator[str]:
    rows = [(escaped(step.run), step.level.value, escaped(step.what), size(step.bytes)) for step in found.reads]
    yield from columns(("RUN", "LEVEL", "WHAT", "BYTES"), rows)
    yield f"point {point.id} of {escaped(point.account)}: {size(found.bytes)} to read, about {duration(found.seconds)}"
