"""What must not be copied as files, wherever a layout finds it, and why."""

from __future__ import annotations

import os
import re

from strongroom.config import Config
from strongroom.errors import SourceError
from strongroom.model import Exclusion, Location, Selection, text
from strongroom.panel.folder import Folder

# Where the packages of Debian and Red Hat put the data of database servers.
DATABASE_FOLDERS = {
    b"/var/lib/mysql": "MariaDB's or MySQL's data folder",
    b"/var/lib/postgresql": "PostgreSQL's data folder",
    b"/var/lib/pgsql": "PostgreSQL's data folder",
}
# In the state folder: what cannot be rebuilt.
SETTINGS = b"/settings"
COPIES_ARE_CORRUPT = "a database server's data: exported logically instead, copies of files in use are corrupt"

_SPECIAL = re.compile(rb"([\\*?\[ ])")


def refuse_database_folders(location: Location) -> None:
    """Raise SourceError when a location is the data folder of a database server: its files cannot be copied in step."""
    if location.select is not None:
        return
    found = _database_server(location.path)
    if found:
        raise SourceError(
            f"{text(location.path)}: {found}; copies of files in use are corrupt. Take it out of the accounts and name "
            "the server in [databases], so that its databases are exported"
        )


def _database_server(path: bytes) -> str | None:
    for folder, meaning in DATABASE_FOLDERS.items():
        if path.endswith(folder):
            return meaning
    try:
        root = Folder.at(path)
    except OSError:
        return None
    with root:
        marks = [name for name in (b"ibdata1", b"aria_log_control", b"ib_logfile0") if root.stat(name)]
        if marks and (len(marks) > 1 or root.holds_folder(b"mysql")):
            return f"MariaDB's or MySQL's data folder ({text(marks[0])} is in it)"
        if root.stat(b"PG_VERSION") and root.holds_folder(b"global"):
            return "PostgreSQL's data folder (PG_VERSION is in it)"
    return None


def exclusions(config: Config, path: bytes) -> tuple[Exclusion, ...]:
    """What any location at a server path leaves out: what is Strongroom's own, and database servers' data."""
    databases = [(config.server.below(folder), COPIES_ARE_CORRUPT) for folder in DATABASE_FOLDERS]
    return own_exclusions(config, path) + _below(databases, path)


def own_exclusions(config: Config, path: bytes) -> tuple[Exclusion, ...]:
    """Strongroom's own folders and every secret it knows of, where they lie below a location's server path."""
    state = [(config.server.state, "Strongroom's own state: it can be rebuilt")]
    return _below(state + _unkept(config), path)


def own_selections(config: Config) -> tuple[Selection, ...]:
    """What of Strongroom itself belongs to the server's own point, where it lies in the server's tree.

    Settings are taken out of the state folder by name, so `server_exclusions` need not keep that out.
    """
    ours = [(config.path, "Strongroom's configuration")]
    settings = config.server.state + SETTINGS
    if os.path.isdir(settings):
        ours.append((settings, "Strongroom's settings: scopes, schedules of dumps"))
    return tuple(
        Selection(pattern=glob_literal(within), reason=reason)
        for path, reason in ours
        if (within := config.server.within(path)) is not None
    )


def server_exclusions(config: Config) -> tuple[Exclusion, ...]:
    """What the server's own point leaves out: the vault, and every secret."""
    return _below(_unkept(config), config.server.root)


def _unkept(config: Config) -> list[tuple[bytes, str]]:
    """What is in no point at all, and why."""
    vault = [(config.vault.folder, "the vault: it cannot hold itself")] if config.vault.folder else []
    return vault + [(secret, "a secret that opens backups or databases") for secret in config.secrets]


def is_ours(config: Config, path: bytes) -> bool:
    """Whether a folder is the vault, the state folder, or inside one of them."""
    ours = (config.vault.folder, config.server.state)
    return any(folder and (path + b"/").startswith(folder + b"/") for folder in ours)


def literal(path: bytes) -> bytes:
    """A gitignore-style pattern that means one path below a location and nothing else."""
    return _SPECIAL.sub(rb"\\\1", path)


def glob_literal(path: bytes) -> bytes:
    """A shell glob that means one path and nothing else."""
    return re.sub(rb"([*?\[])", rb"[\1]", path)


def _below(kept_out: list[tuple[bytes, str]], path: bytes) -> tuple[Exclusion, ...]:
    return tuple(
        Exclusion(pattern=literal(below), reason=reason)
        for kept, reason in kept_out
        if (below := _relative(kept, path)) is not None
    )


def _relative(path: bytes, folder: bytes) -> bytes | None:
    """The path below a folder, with a leading slash; None when it is not below."""
    prefix = folder.rstrip(b"/") + b"/"
    return b"/" + os.path.relpath(path, prefix) if path.startswith(prefix) and path != folder else None
