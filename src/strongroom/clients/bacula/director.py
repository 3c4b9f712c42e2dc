"""What the director knows, and what Strongroom adds to it: a file in the folder of its configuration that is ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from strongroom.clients.bacula import resources
from strongroom.clients.bacula.console import Console
from strongroom.clients.bacula.resources import Names
from strongroom.clients.tool import AbsentError
from strongroom.config import Bacula
from strongroom.errors import ClientError
from strongroom.model import text

_DOWN = re.compile(r"Failed to connect|Could not connect|passwords? (?:do not|may not)|Unable to|ERR=Connection")


class Director:
    """One director, as far as one client's table goes; ``shown`` is the folder that its file daemon is shown."""

    def __init__(self, settings: Bacula, names: Names, console: Console, shown: bytes) -> None:
        self._settings, self._names, self._console = settings, names, console
        self._shown = text(shown)
        self._known: set[str] | None = None

    @property
    def file(self) -> bytes:
        """The file that is ours."""
        return os.path.join(self._settings.include, os.fsencode(f"{self._names.prefix}.conf"))

    def ready(self, *, make: bool) -> None:
        """See that client, storage and pool are known, and that both daemons answer; the pool is ours to ``make``."""
        status = (f'status client="{self._settings.client}"', f'status storage="{self._settings.storage}"')
        clients, storages, pools, jobs, daemon, storage = self._console.lists(
            ".clients", ".storage", ".pools", ".jobs", *status
        )
        self._known = set(jobs)
        for kind, name, known in (
            ("client", self._settings.client, clients),
            ("storage", self._settings.storage, storages),
        ):
            if name not in known:
                raise ClientError(f"the director knows no {kind} {name}; it has: {', '.join(known) or 'none'}")
        _up(daemon, f"file daemon {self._settings.client}")
        _up(storage, f"storage daemon {self._settings.storage}")
        if self._settings.pool in pools:
            return
        if not make:
            raise AbsentError(
                f"the director has no pool {self._settings.pool} (any more); was its configuration changed?"
            )
        self.need()
        if self._settings.pool not in self._console.lists(".pools")[0]:
            raise self._unread(f"pool {self._settings.pool}")

    def need(self, *jobs: str) -> None:
        """See to it that the director knows jobs, and what they stand on. Raise ClientError where it does not."""
        if self._known is None:
            self._known = set(self._console.lists(".jobs")[0])
        wanted = {*jobs, self._names.restore, self._names.tails}
        if not self.write(wanted) and wanted <= self._known:
            return
        self._known = set(self._console.lists("reload", ".jobs")[1])
        for name in sorted(wanted - self._known):
            raise self._unread(f"job {name}")

    def write(self, jobs: set[str]) -> bool:
        """Write our file, with these jobs and those that it has; say whether that changed it."""
        before = self._read()
        had = resources.jobs_in(before) | jobs
        written = resources.shared(self._settings, self._names, self._shown)
        known = self._console.lists(".pools")[0]
        for name in filter(None, (self._settings.pool, self._settings.next_pool)):
            own = resources.pool(name, self._settings.storage)
            written += own if own in before or name not in known else ""
        written += "".join(resources.job(name, self._names) for name in sorted(had - {self._names.restore}))
        if written == before:
            return False
        put(self.file, written)
        return True

    def _read(self) -> str:
        try:
            with open(self.file) as file:
                return file.read()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(f"{text(self.file)} cannot be read: {error}") from error

    def _unread(self, what: str) -> ClientError:
        folder = text(self._settings.include)
        return ClientError(
            f"the director does not know {what}, which stands in {text(self.file)}: let its configuration read the "
            f"files of {folder}, or carry them to where it does; `bacula-dir -t` says what is wrong in them"
        )


def put(path: bytes, written: str, *, secret: bool = False) -> None:
    """Write a file that the director reads, who is another user: its folder's group may, and others where there is no secret."""
    new = path + b".new"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            os.fchown(file.fileno(), -1, os.stat(os.path.dirname(path)).st_gid)
            os.fchmod(file.fileno(), 0o640 if secret else 0o644)
            file.write(written)
        os.rename(new, path)
    except OSError as error:
        raise ClientError(f"{text(path)} cannot be written: {error.strerror}") from error


def _up(status: Sequence[str], what: str) -> None:
    """Raise ClientError where a daemon's status is that it has none."""
    if down := next((line for line in status if _DOWN.search(line)), None):
        raise ClientError(f"the {what} does not answer its director: {' '.join(down.split())}")
