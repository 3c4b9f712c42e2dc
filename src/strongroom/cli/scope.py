"""``scope``: the panel's settings that concern backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import timers
from strongroom.cli.invocation import Invocation
from strongroom.cli.options import Group
from strongroom.cli.output import escaped, table

if TYPE_CHECKING:
    from strongroom.settings.scopes import Described, Value


def word(value: Value) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else value


def document(found: Described) -> dict[str, Any]:
    """A scope with its value, as JSON."""
    return {"name": found.name, "value": found.value, "default": found.default}


def change(invocation: Invocation, name: str, value: str) -> bool:
    """Set a scope, and what follows from it; whether that was a change."""
    from strongroom.settings.scopes import START_RANGE

    changed = invocation.scopes.set(name, value)
    if changed and name == START_RANGE:
        timers.refresh(invocation)
    return changed


@click.group(cls=Group)
def scope() -> None:
    """Read and set the panel's settings that concern backups."""


@scope.command("list")
@click.argument("glob", default="*")
@click.pass_obj
def list_scopes(invocation: Invocation, glob: str) -> None:
    """List the scopes whose names a shell glob matches."""
    found = list(invocation.scopes.described(glob))
    rows = [(each.name, escaped(word(each.value)), word(each.default)) for each in found]
    invocation.answer([document(each) for each in found], table(("SCOPE", "VALUE", "DEFAULT"), rows))


@scope.command()
@click.argument("name")
@click.pass_obj
def get(invocation: Invocation, name: str) -> None:
    """Print a scope's value."""
    found = invocation.scopes.describe(name)
    invocation.answer(document(found), [escaped(word(found.value))])


@scope.command("set")
@click.argument("name")
@click.argument("value")
@click.pass_obj
def set_scope(invocation: Invocation, name: str, value: str) -> None:
    """Set a scope; setting what is set already changes nothing."""
    changed = change(invocation, name, value)
    found = invocation.scopes.describe(name)
    state = "set" if changed else "unchanged"
    invocation.answer(
        document(found) | {"changed": changed}, [f"{name}: {escaped(word(found.value))} ({state})"], summary=True
    )


@scope.command()
@click.argument("name")
@click.pass_obj
def info(invocation: Invocation, name: str) -> None:
    """Show what a scope does, its value, its default and what it takes."""
    found = invocation.scopes.describe(name)
    lines = [
        f"{found.name}: {found.info}",
        f"value     {escaped(word(found.value))}",
        f"default   {word(found.default)}",
        f"settings  {found.settings}",
    ]
    invocation.answer(document(found) | {"info": found.info, "settings": found.settings}, lines)
