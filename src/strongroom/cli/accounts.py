"""``accounts``: what is on this server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command
from strongroom.cli.output import escaped, table
from strongroom.cli.owned import with_databases

if TYPE_CHECKING:
    from strongroom.model import Account, Location
    from strongroom.webapps.base import App

    Apps = Mapping[str, Sequence[App]]


@command()
@click.option(
    "--locations", is_flag=True, help="What is backed up of each account, and why; what is left out, and why."
)
@click.pass_obj
def accounts(invocation: Invocation, locations: bool) -> None:
    """Show what is on this server.

    Accounts with their domains, databases, mailboxes and web apps.
    """
    from strongroom.cli import documents

    server = invocation.layout.server()
    found = [*with_databases(invocation, invocation.layout.accounts(details=True)), *([server] if server else [])]
    apps = {account.name: invocation.finder.of(account) for account in found}
    lines = _locations(found, apps) if locations else iter(_table(found, apps))
    invocation.answer([documents.account(account, apps[account.name]) for account in found], lines)


def _table(found: list[Account], apps: Apps) -> list[str]:
    heads = ("ACCOUNT", "DOMAIN", "OWNER", "DATABASES", "MAILBOXES", "APPS", "")
    rows = [
        (
            escaped(account.name),
            _domains(account),
            escaped(account.owner),
            str(len(account.databases)),
            str(len(account.mailboxes)),
            str(len(apps[account.name])),
            _remark(account),
        )
        for account in found
    ]
    return table(heads, rows)


def _remark(account: Account) -> str:
    remarks = [f"no folder {escaped(path)}" for _, path in account.absent]
    if account.suspended is not None:
        remarks.append(f"suspended: {escaped(account.suspended)}")
    return "; ".join(remarks)


def _domains(account: Account) -> str:
    if not account.domains:
        return ""
    more = f" (+{len(account.domains) - 1})" if len(account.domains) > 1 else ""
    return escaped(account.domains[0]) + more


def _locations(found: list[Account], apps: Apps) -> Iterator[str]:
    for account in found:
        yield f"{escaped(account.name)}  {_domains(account)}".rstrip()
        for location in account.locations:
            yield from _location(location)
        for app in apps[account.name]:
            if app.snapshots:
                yield f"    holds   {escaped(app.path)}/.git: snapshots of {escaped(app.app)}"


def _location(location: Location) -> Iterator[str]:
    yield f"  {location.tree}  {escaped(location.path)}  {_need(location.required)}: {escaped(location.why)}"
    for selection in location.selections:
        yield f"    takes   {escaped(selection.pattern)}  {_need(selection.required)}: {escaped(selection.reason)}"
    for exclusion in location.exclude:
        yield f"    leaves  {escaped(exclusion.pattern)}: {escaped(exclusion.reason)}"


def _need(required: bool) -> str:
    return "required" if required else "recommended"
