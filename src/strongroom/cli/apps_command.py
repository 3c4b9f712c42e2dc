"""What all commands for web apps begin with."""

from __future__ import annotations

import functools
from typing import Any

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import Command, Group


class AppCommand(Command):
    """A command for web apps: what a killed update has left is ended before it does anything."""

    def invoke(self, context: click.Context) -> Any:
        """Run it."""
        invocation: Invocation = context.obj
        if apps := invocation.updates.under_way():
            from strongroom.webapps.assurance.session import recover

            recover(apps, invocation.layout.account, invocation.updater, invocation.teller.note)
        return super().invoke(context)


class AppGroup(Group):
    """The group of such commands."""

    command_class = AppCommand


command = functools.partial(click.command, cls=AppCommand)
