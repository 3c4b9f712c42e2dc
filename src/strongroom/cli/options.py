"""Options that every command takes, before and after its name, and those that several share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from strongroom import __version__

Function = TypeVar("Function", bound=Callable[..., Any])

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Put a global option's value where the commands look for it; what is not given changes nothing."""
    _refuse_empty(context, option, value)
    if value is not None and value is not False and value != 0:
        setattr(context.obj, str(option.name), value)


def _refuse_empty(context: click.Context, option: click.Parameter, value: Any) -> None:
    """What is given and empty, most often a script's unset variable, is a mistake: it is never as if it were left out."""
    given = value if isinstance(value, tuple) else (value,)
    if isinstance(option, click.Option) and option.type is click.STRING and "" in given:
        raise click.BadParameter("it is empty; give it a value, or leave it out", context, option)


def _count(context: click.Context, option: click.Parameter, value: int) -> None:
    context.obj.verbose += value


def _version(context: click.Context, option: click.Parameter, value: bool) -> None:
    if not value:
        return
    from strongroom.cli import output

    if context.obj.json:
        output.write_json({"version": __version__})
    else:
        click.echo(f"strongroom {__version__}")
    context.exit()


def _global_options() -> list[click.Parameter]:
    plain = functools.partial(click.Option, expose_value=False, callback=_remember)
    return [
        plain(
            ["--config", "config_file"],
            metavar="FILE",
            help="Configuration (else $STRONGROOM_CONFIG, else the default).",
        ),
        plain(["--json"], is_flag=True, help="One JSON document on standard output."),
        click.Option(["-v", "--verbose"], count=True, expose_value=False, callback=_count, help="Say more."),
        plain(["-q", "--quiet"], is_flag=True, help="Say only what was asked for, and errors."),
        plain(["--no-progress", "no_progress"], is_flag=True, help="No progress line, even on a terminal."),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="The version, and end.",
        ),
    ]


# Made once, and shared by all commands: nothing about them is a command's own.
GLOBAL_OPTIONS = _global_options()


class Command(click.Command):
    """A command that takes the global options after its name as well."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["context_settings"] = HELP | (settings.get("context_settings") or {})
        super().__init__(*arguments, **settings)
        self.params = [*self.params, *GLOBAL_OPTIONS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and refuse options that are empty texts."""
        rest = super().parse_args(ctx, args)
        for option in self.params:
            if option.expose_value:
                _refuse_empty(ctx, option, ctx.params.get(str(option.name)))
        return rest


class Program(click.Group):
    """The program: its commands keep the order in which they were added, as the interface lists them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, context_settings=HELP, **settings)
        self.params = [*self.params, *GLOBAL_OPTIONS]

    def list_commands(self, context: click.Context) -> list[str]:
        """The names in the order of the interface."""
        return list(self.commands)


class Group(Program):
    """A command that has commands of its own."""

    command_class = Command

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **({"no_args_is_help": False} | settings))


command = functools.partial(click.command, cls=Command)


def point_options(function: Function) -> Function:
    """``--point``, ``--at``, ``--complete`` and ``--client``: which point of an account, as one argument ``wanted``."""

    @click.option("--point", metavar="POINT", help="A point's id, a unique prefix of it, or 'latest' (the default).")
    @click.option("--at", metavar="TIME", help="The newest point not after this time.")
    @click.option("--complete", is_flag=True, help="Pass over incomplete points.")
    @click.option("--client", metavar="NAME", help="Only points of this client.")
    @functools.wraps(function)
    def with_point(
        *arguments: Any, point: str | None, at: str | None, complete: bool, client: str | None, **rest: Any
    ) -> Any:
        from strongroom.runs.choosing import Wanted

        return function(*arguments, wanted=Wanted(point=point, at=at, complete=complete, client=client), **rest)

    return with_point  # type: ignore[return-value]


class TextOrNothing(click.types.StringParamType):
    """A text that may be empty: '' takes away what was set before."""


class AtLeastOne(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer click alone
    """A whole number from 1 up."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a usage error that says what it has to be."""
        try:
            number = int(value)
        except ValueError:
            number = 0
        if number < 1:
            self.fail(f"'{value}' is not a whole number from 1 up", param, ctx)
        return number


client_option = click.option(
    "--client", metavar="NAME", help="The client (default: backup.client of the configuration)."
)
