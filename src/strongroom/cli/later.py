"""Commands that the interface promises and this version does not have: known by name, one line, status 2."""

from __future__ import annotations

from collections.abc import Sequence

import click

from strongroom.cli.options import Command
from strongroom.errors import NotBuiltError

_PROMISED = {
    "undo": "Put back what a restore replaced",
    "mount": "Every account and point as a read-only file system",
    "rebuild": "A whole server from the vault's URL and passphrase",
    "portal": "The web pages and the HTTP API",
    "audit": "Who did what",
}


def commands() -> list[click.Command]:
    """One command for each promise."""
    return [command(name, summary) for name, summary in _PROMISED.items()]


def subject(name: str, arguments: Sequence[str]) -> str:
    """What was asked for: the command and its first argument."""
    first = next((argument for argument in arguments if not argument.startswith("-")), None)
    return f"'{name} {first}'" if first is not None else f"'{name}'"


def refuse(what: str) -> NotBuiltError:
    """The error for an option of a built command that is not built itself."""
    return NotBuiltError(f"{what} is not in this version yet; see: strongroom --help")


def command(name: str, summary: str) -> click.Command:
    """A promised command."""

    def answer(arguments: tuple[str, ...]) -> None:
        raise refuse(subject(name, arguments))

    return Command(
        name,
        callback=answer,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        help=f"{summary} (not in this version yet).",
        short_help=f"{summary} (not yet)",
    )
