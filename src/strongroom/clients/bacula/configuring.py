"""Writes what a director needs to know of this server, for administrators who ask for it: `strongroom clients --configure`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from strongroom.clients import opening
from strongroom.clients.bacula import nightly
from strongroom.clients.bacula.director import put
from strongroom.clients.bacula.tool import BaculaTool
from strongroom.clients.foreign import series_of
from strongroom.clients.places import Places
from strongroom.config import Bacula, Config
from strongroom.config.identity import server_id
from strongroom.errors import ClientError
from strongroom.model import Account, text


def configure(config: Config, table: str, accounts: Sequence[Account], export: Sequence[str]) -> list[bytes]:
    """Write the files of one client's table, and let the director read them; returns their paths.

    ``accounts`` are all of this server, its pseudo-account among them; ``export`` is the command that exports every database.
    Raise ClientError where the director does not take them.
    """
    settings = config.clients.get(table)
    if not isinstance(settings, Bacula):
        raise ClientError(f"client {table} is none whose configuration Strongroom writes; Bacula's is")
    tool = BaculaTool(settings, table, opening.folder_of(config, table))
    ours = tool.names.prefix
    files = [tool.director.file]
    server = server_id(config.server)
    jobs = {tool.names.job(series_of(server, account.name)) for account in accounts}
    if settings.address is not None:
        (catalogs,) = tool.console.lists(".catalogs")
        password = opening.passphrase(settings.password_file or b"").decode("utf-8", "surrogateescape")
        files.append(os.path.join(settings.include, os.fsencode(f"{ours}-host.conf")))
        put(files[-1], nightly.hosts(settings, table, password, (catalogs or ["MyCatalog"])[0]), secret=True)
    tool.director.write(jobs | {tool.names.tails})
    # Where Strongroom's own nightly job uses this client, that one keeps the calendar.
    if config.backup.client != table:
        files.append(os.path.join(settings.include, os.fsencode(f"{ours}-nightly.conf")))
        whole = nightly.Whole(places=_places(config, accounts), excluded=Places(config).excluded, export=tuple(export))
        put(files[-1], nightly.nightly(settings, table, ours, whole, config.backup.full, config.backup.differential))
    tool.console.lists("reload")
    tool.director.need(*jobs)
    return files


def _places(config: Config, accounts: Sequence[Account]) -> tuple[str, ...]:
    """Shell patterns of all that is backed up: the accounts' folders, whichever there are then, and what belongs to none."""
    selected = [
        text(config.server.below(pattern))
        for account in accounts
        for location in account.locations
        for pattern in location.select or ()
    ]
    return (*Places(config).globs, *dict.fromkeys(selected))
