"""``init``: a configuration where there is none, the vault, and its key."""

from __future__ import annotations

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command


@command()
@click.pass_obj
def init(invocation: Invocation) -> None:
    """Make the configuration, the vault and its key.

    An existing configuration is taken as it is; a vault is never overwritten.
    """
    from strongroom.cli.output import escaped
    from strongroom.config import config_path, write_default

    path = config_path(invocation.config_file)
    written = write_default(path)
    config = invocation.config
    invocation.clients.create_vault(config)
    secret = escaped(config.vault.passphrase_file)
    invocation.answer(
        {"vault": config.vault.url, "created": True},
        [
            f"configuration  {escaped(path)} ({'written' if written else 'as it was'})",
            f"vault          {escaped(config.vault.url)} (created)",
            f"passphrase     {secret}",
            "",
            f"Keep a copy of {secret} away from this server: without it, nothing can ever be restored.",
            "",
            "Next: strongroom accounts --locations   shows what would be backed up, and why",
            "      strongroom backup                 backs up every account",
            "      strongroom status                 says whether every account is covered",
        ],
        summary=True,
    )
