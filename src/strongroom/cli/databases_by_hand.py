"""``databases export`` and ``databases import``: one database to a file of its owner's, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command
from strongroom.cli.output import escaped, size
from strongroom.cli.question import confirm
from strongroom.errors import UnknownError, UsageError
from strongroom.paths import DATA, owners, stored

if TYPE_CHECKING:
    from strongroom.settings.by_hand import Written
    from strongroom.settings.databases import Databases
    from strongroom.settings.schedules import Target


@command("export")
@click.argument("account")
@click.argument("database", metavar="ENGINE:NAME")
@click.argument("path", required=False)
@click.pass_obj
def export(invocation: Invocation, account: str, database: str, path: str | None) -> None:
    """One database to a file of the owner's.

    PATH is as the owner sees it, and ends in .sql, .gz, .bz2 or .zip; without it, the file lands beside the owner's
    other dumps. A file that is there and not empty is never replaced.
    """
    from strongroom.settings.by_hand import extension_of

    to = _seen(path) if path is not None else None
    if to is not None:
        extension_of(to)
    held = all_databases(invocation)
    target = owned_target(invocation, held, account, database)
    written = _dump(invocation, held, target, to)
    document = _named(target) | {"path": written.path, "bytes": written.bytes}
    line = f"{target.account} {target.name}: {written.path}, {size(written.bytes)}"
    invocation.answer(document, [escaped(line)], summary=True)


@command("import")
@click.argument("account")
@click.argument("database", metavar="ENGINE:NAME")
@click.argument("path")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def load(invocation: Invocation, account: str, database: str, path: str, yes: bool) -> int:
    """A file of the owner's into a database, whose content it replaces.

    PATH is as the owner sees it: SQL text, plain or packed (gz, bz2, zip, tar, tgz). What the database holds is dumped
    beside the owner's other dumps before.
    """
    from strongroom.settings import by_hand

    source = _seen(path)
    held = all_databases(invocation)
    target = owned_target(invocation, held, account, database)
    text_bytes = by_hand.look(held, target, source)
    if not yes:
        what = (
            f"all that {target.name} of {target.account} holds would be replaced by {path}, {size(text_bytes)} of SQL"
        )
        confirm(invocation, what, "loaded")
    before = _dump(invocation, held, target, None, broken_views=True)
    loaded = by_hand.load(held, target, source, before)
    document = _named(target) | {"path": owners(DATA + source), "bytes": text_bytes, "dumped": before.path}
    lines = [f"warning: {warning}" for warning in loaded.warnings]
    lines.append(f"{target.account} {target.name}: loaded from {path}; what it held before is in {before.path}")
    invocation.answer(document | {"warnings": list(loaded.warnings)}, map(escaped, lines), summary=True)
    return int(bool(loaded.warnings))


def all_databases(invocation: Invocation) -> Databases:
    """The databases of all accounts."""
    from strongroom.settings.databases import Databases

    return Databases(invocation.layout.accounts(), invocation.servers)


def owned_target(invocation: Invocation, held: Databases, account: str, database: str) -> Target:
    """The database that is meant; raise UnknownError when it is not the account's own."""
    from strongroom.settings.schedules import target

    found = target(invocation.layout.account(account).name, database)
    if not held.holds(found):
        others = ", ".join(each.name for each in held.of(found.account, found.engine)) or "none"
        raise UnknownError(f"{found.name} is no database of {found.account}; it has there {others}")
    return found


def _dump(
    invocation: Invocation, held: Databases, target: Target, path: bytes | None, *, broken_views: bool = False
) -> Written:
    """Dump alone: a run of dumps clears away what it finds half-written."""
    from strongroom.settings import by_hand, durable

    with durable.alone(invocation.config.server.state, b"dumps", "another run is dumping databases; try again later"):
        moment = invocation.now.replace(tzinfo=None)
        return by_hand.export(held, target, path, moment, broken_views=broken_views)


def _seen(path: str) -> bytes:
    """A path of the owner's, absolute, below the account's data."""
    tree, _, below = stored(path).partition(b"/")
    if tree != DATA or not below:
        raise UsageError(
            f"{path}: no file of the account's data; write it as the owner sees it, such as /home/me/a.sql"
        )
    return b"/" + below


def _named(target: Target) -> dict[str, Any]:
    return {"account": target.account, "engine": target.engine, "name": target.database}
