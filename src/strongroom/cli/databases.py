"""``databases``: logical exports, by hand and by schedule. ``backup_dbs`` is ``databases dump`` by the panel's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.databases_by_hand import all_databases, export, load, owned_target
from strongroom.cli.invocation import Invocation
from strongroom.cli.options import Group, TextOrNothing, command
from strongroom.cli.output import escaped, size, table
from strongroom.errors import ExportError, SettingError, UnknownError, UsageError

if TYPE_CHECKING:
    from datetime import date

    from strongroom.settings.databases import Databases
    from strongroom.settings.dumps import Dump, Restorable
    from strongroom.settings.schedules import Schedule, Schedules, Target

_EXTENSIONS = ("gz", "bz", "zip", "none")


@click.group(cls=Group)
def databases() -> None:
    """Logical exports, by hand and by schedule."""


@databases.command("list")
@click.argument("account", required=False)
@click.option("--dumps", is_flag=True, help="With the files in the owners' folders that could be loaded back.")
@click.pass_obj
def list_databases(invocation: Invocation, account: str | None, dumps: bool) -> int:
    """List the databases of an account, or of all, with their schedules."""
    held = all_databases(invocation)
    accounts = [invocation.layout.account(account).name] if account else list(held.accounts)
    schedules = {schedule.target: schedule for schedule in _schedules(invocation).all()}
    targets, silent = _targets(invocation, held, accounts)
    files, failed = _files(invocation, held, targets) if dumps else ({}, False)
    failed |= silent
    documents = [
        {"account": target.account, "engine": target.engine, "name": target.database}
        | {"schedule": _document(schedules[target]) if target in schedules else None}
        | ({"dumps": [_file(each) for each in files[target]]} if dumps else {})
        for target in targets
    ]
    if dumps:
        found = [
            (escaped(each.account), escaped(each.name), escaped(file.path), size(file.bytes))
            for each in targets
            for file in files[each]
        ]
        invocation.answer(documents, table(("ACCOUNT", "DATABASE", "DUMP", "SIZE"), found))
        return int(failed)
    rows = [(escaped(target.account), escaped(target.name), *_row(schedules.get(target))) for target in targets]
    invocation.answer(documents, table(("ACCOUNT", "DATABASE", "EVERY", "KEEPS", "AS", "NEXT", "NOTICE TO"), rows))
    return int(failed)


@databases.command()
@click.argument("account")
@click.argument("database", required=False, metavar="[ENGINE:NAME]")
@click.option("--span", type=int, metavar="DAYS", help="Dump it every so many days (5).")
@click.option("--preserve", type=int, metavar="N", help="Keep the newest N of its dumps; 0 keeps all (0).")
@click.option("--extension", type=click.Choice(_EXTENSIONS), help="How dumps are compressed (gz).")
@click.option("--email", type=TextOrNothing(), metavar="ADDRESS", help="Who is told of each dump; '' is nobody.")
@click.option("--remove", is_flag=True, help="Take the schedule away; its dumps stay.")
@click.pass_obj
def schedule(
    invocation: Invocation,
    account: str,
    database: str | None,
    span: int | None,
    preserve: int | None,
    extension: str | None,
    email: str | None,
    remove: bool,
) -> None:
    """List an account's schedules, set one, or take one away.

    A new schedule is due at once; changing one leaves its day.
    """
    from strongroom.settings.schedules import check, target

    wishes = {"span": span, "preserve": preserve, "extension": extension, "email": email}
    wanted = {name: value for name, value in wishes.items() if value is not None}
    if (remove or wanted) and database is None:
        raise UsageError(f"which database? strongroom databases schedule {account} ENGINE:NAME …")
    if remove and wanted:
        raise UsageError("--remove takes a schedule away; leave out what it should be")
    check(span=span, preserve=preserve, email=email)
    kept = _schedules(invocation)
    if database is None:
        _list(invocation, kept.of(_known(invocation, account, kept)))
    elif remove:
        one = target(_known(invocation, account, kept), database)
        kept.remove(one)
        invocation.answer({"name": one.name, "removed": True}, [f"{one.name}: no schedule any more"], summary=True)
    elif not wanted:
        one = target(_known(invocation, account, kept), database)
        _list(invocation, [each for each in kept.of(one.account) if each.target == one])
    else:
        one = owned_target(invocation, all_databases(invocation), account, database)
        now = kept.set(one, _today(invocation), span=span, preserve=preserve, extension=extension, email=email)
        _note_panel(invocation)
        invocation.answer(_document(now), _lines([now]), summary=True)


@command("dump")
@click.option("--force", is_flag=True, help="Every database of every account, whether or not it is due.")
@click.pass_obj
def dump(invocation: Invocation, force: bool) -> int:
    """Dump what is due to the owners' folders; quiet when all went well."""
    from strongroom.settings import durable
    from strongroom.settings.dumps import Dumper, exit_status
    from strongroom.settings.notices import find_mail

    if force and not invocation.servers:
        raise UnknownError("no database server in the configuration; add [databases.mysql] or [databases.postgresql]")
    with durable.alone(invocation.config.server.state, b"dumps", "another run is dumping databases; try again later"):
        dumper = Dumper(all_databases(invocation), _schedules(invocation), find_mail(), invocation.teller.note)
        dumps = []
        for each in dumper.everything() if force else dumper.due():
            dumps.append(each)
            if each.message:
                invocation.teller.error(f"{each.target.account} {each.target.name}: {each.message}")
    lines = [f"{each.target.account} {each.target.name}: {each.path}" for each in dumps if each.path]
    invocation.answer(_dumped(dumps), map(escaped, lines if invocation.verbose else ()))
    return exit_status(dumps)


databases.add_command(dump)
databases.add_command(export)
databases.add_command(load)


def _targets(invocation: Invocation, held: Databases, accounts: list[str]) -> tuple[list[Target], bool]:
    """The databases of some accounts, and whether a server could not be asked, which is told. Raise ExportError where none
    could.
    """
    found: list[Target] = []
    silent: list[ExportError] = []
    for engine in held.servers:
        try:
            found += [target for name in accounts for target in held.of(name, engine)]
        except ExportError as error:
            silent.append(error)
    if silent and len(silent) == len(held.servers):
        raise silent[0]
    for problem in silent:
        invocation.teller.error(str(problem))
    return sorted(found, key=lambda target: accounts.index(target.account)), bool(silent)


def _files(
    invocation: Invocation, held: Databases, targets: list[Target]
) -> tuple[dict[Target, list[Restorable]], bool]:
    """What could be loaded back, and whether some folder could not be looked into, which is told."""
    from strongroom.settings.dumps import restorable

    found: dict[Target, list[Restorable]] = {}
    failures = set()
    for target in targets:
        try:
            found[target] = restorable(held.accounts[target.account], target.engine, target.database)
        except SettingError as error:
            found[target] = []
            failures.add(str(error))
    for failure in sorted(failures):
        invocation.teller.error(failure)
    return found, bool(failures)


def _file(each: Restorable) -> dict[str, Any]:
    return {"path": each.path, "stamp": each.stamp, "bytes": each.bytes, "snapshot": each.snapshot}


def _schedules(invocation: Invocation) -> Schedules:
    from strongroom.settings.schedules import Schedules

    return Schedules(invocation.config.server.state)


def _today(invocation: Invocation) -> date:
    return invocation.now.date()


def _known(invocation: Invocation, account: str, kept: Schedules) -> str:
    """The name of an account; one that is gone from the server may still have schedules."""
    try:
        return invocation.layout.account(account).name
    except UnknownError:
        if kept.of(account):
            return account
        raise


def _note_panel(invocation: Invocation) -> None:
    from strongroom.model import text
    from strongroom.settings.panel_programs import panel_exports

    panel = panel_exports(invocation.config.server)
    if panel:
        invocation.teller.note(
            f"{text(panel)} writes the owners' dumps here, by the panel's own schedules, not by this"
        )


def _list(invocation: Invocation, schedules: Iterable[Schedule]) -> None:
    found = list(schedules)
    invocation.answer([_document(each) for each in found], _lines(found))


def _document(each: Schedule) -> dict[str, Any]:
    return {
        "name": each.target.name,
        "account": each.target.account,
        "engine": each.target.engine,
        "database": each.target.database,
        "span": each.span,
        "preserve": each.preserve,
        "extension": each.extension,
        "email": each.email,
        "next": each.next.isoformat(),
    }


def _lines(schedules: Iterable[Schedule]) -> list[str]:
    rows = [(escaped(each.target.name), *_row(each)) for each in schedules]
    return table(("DATABASE", "EVERY", "KEEPS", "AS", "NEXT", "NOTICE TO"), rows)


def _row(each: Schedule | None) -> tuple[str, str, str, str, str]:
    if each is None:
        return ("", "", "", "", "")
    days = "day" if each.span == 1 else f"{each.span} days"
    return days, str(each.preserve or "all"), each.extension, each.next.isoformat(), each.email


def _dumped(dumps: list[Dump]) -> list[dict[str, Any]]:
    return [
        {
            "account": each.target.account,
            "engine": each.target.engine,
            "name": each.target.database,
            "status": each.status.value,
            "path": each.path or None,
            "bytes": each.bytes,
            "message": each.message,
        }
        for each in dumps
    ]
