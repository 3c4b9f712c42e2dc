"""An app of a server's, with its snapshots, as tests work on them without the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from strongroom.config import load
from strongroom.exports.feed import servers
from strongroom.panel import load_layout
from strongroom.runs.locks import Changes
from strongroom.webapps.base import App
from strongroom.webapps.finding import Finder
from strongroom.webapps.kinds import all_kinds
from strongroom.webapps.snapshots.git_snapshots import GitSnapshots
from strongroom.webapps.states import States
from tests.fakes import Notes
from tests.fidelity.compare import Ignore, compare
from tests.servers.mariadb import MariaDB
from tests.webapps.ground import DATABASE, Apps


class Keeping:
    """One app; ``snapshots`` are of a program that has just begun."""

    def __init__(self, server: Apps, reference: str) -> None:
        self.server, self.reference = server, reference
        self.config = load(str(server.config))
        self.notes = Notes()
        self.keep = self.config.webapps.keep_snapshots
        self.needed: set[str] = set()

    @property
    def states(self) -> States:
        return States(self.config.server.state)

    @property
    def app(self) -> App:
        return Finder(load_layout(self.config), all_kinds(), self.states).find(self.reference)

    @property
    def snapshots(self) -> GitSnapshots:
        accounts = load_layout(self.config).accounts()
        state = self.config.server.state
        changes = Changes(state, self.notes.note, patience=0)
        return GitSnapshots(
            state, accounts, servers(self.config), self.notes, changes, self.keep, lambda app: self.needed
        )

    @property
    def folder(self) -> Path:
        return Path(os.fsdecode(self.app.place))

    def git(self, *arguments: str, given: bytes = b"") -> str:
        """What the owner's own git says in the app's folder."""
        owner = self.folder.stat()
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, check=True, input=given,
            user=owner.st_uid, group=owner.st_gid, extra_groups=[], env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        )  # fmt: skip
        return done.stdout.decode().strip()

    def copy(self, to: Path) -> Path:
        """The app's folder as it is now, elsewhere, to compare with."""
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-a", "--", self.folder, to], check=True)
        return to

    def differs(self, from_copy: Path, *more: bytes, top: bool = False) -> list[str]:
        """What in the app's folder is not as in a copy, the repository left out; with ``top``, the folder's own attributes."""
        ignore = Ignore(paths=frozenset({b".git", *more}), top=top)
        return compare(os.fsencode(from_copy), os.fsencode(self.folder), ignore)


def content(mariadb: MariaDB, database: str = DATABASE) -> dict[str, Any]:
    """Definitions and rows of all tables."""
    found: dict[str, Any] = {}
    for (name,) in mariadb.rows("SHOW TABLES", database=database):
        found[name] = (
            mariadb.rows(f"SHOW CREATE TABLE `{name}`", database=database),
            sorted(map(repr, mariadb.rows(f"SELECT * FROM `{name}`", database=database))),
        )
    return found
