"""Where the exports of a run's accounts come from: whose databases there are, and what the last point held of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import itemgetter

from strongroom.clients.base import Client, Exports
from strongroom.errors import StrongroomError
from strongroom.exports.base import DatabaseServer
from strongroom.exports.feed import AccountExports, manifest_path
from strongroom.exports.whole_server import ServerExports
from strongroom.model import DATABASES, FILES, MAIL_ROWS, Account, Point, Status
from strongroom.panel.base import SERVER
from strongroom.runs.catalog import Catalog, Identity
from strongroom.runs.freeze import Freeze
from strongroom.runs.rotation import made_elsewhere

# What is compared with may not fill the memory: a manifest has some hundred bytes for each table.
_MOST_MANIFEST = 64 << 20


class AccountExporter:
    """The port `strongroom.runs.backup.Exporter` over the database servers of a configuration.

    ``everyone`` gives all accounts of this server, and is asked once, when it has to be known whose a database is.
    """

    def __init__(
        self,
        servers: Sequence[DatabaseServer],
        everyone: Callable[[], Sequence[Account]],
        client: Client,
        catalog: Catalog,
        server: str,
    ) -> None:
        self._servers, self._ask_everyone = servers, everyone
        self._client, self._catalog, self._server = client, catalog, server

    @cached_property
    def _everyone(self) -> Sequence[Account]:
        return self._ask_everyone()

    def of(self, account: Account) -> Exports | None:
        """See the port. An account that may have databases has exports, if only to find that there is none."""
        if account.name == SERVER:
            return ServerExports(self._servers, made_elsewhere(account))
        if not account.claims and not any(server.may_map_mail(account) for server in self._servers):
            return None
        folders = {location.tree: location.path for location in account.locations}
        freeze = Freeze(folders, f"{self._server[:16]}-{account.name}") if folders else None
        who = Identity(server=self._server, account=account.name)
        points = [point for point in self._catalog.of(who, client=self._client.name) if point.only != FILES]
        held = [(copy.engine, copy.name) for copy in points[0].databases] if points else []
        whole = next((point for point in points if point.status is Status.COMPLETE), None)
        return AccountExports(
            account, self._everyone, self._servers, self._previous(points), freeze, held, lambda: self._may_have_mail(whole)
        )

    def _may_have_mail(self, whole: Point | None) -> bool:
        """Whether an account whose last complete point this is may have rows in the panel's map of mail."""
        return whole is None or self._client.lookup(whole, DATABASES.encode() + b"/" + MAIL_ROWS) is not None

    def _previous(self, points: Sequence[Point]) -> Callable[[str, str], bytes | None]:
        """What finds the manifest of a database's last complete export, else of its last, in points with the newest first. It is
        read where the exports are drawn.
        """

        def previous(engine: str, database: str) -> bytes | None:
            held = [
                (copy.status is not Status.COMPLETE, point)
                for point in points
                for copy in point.databases
                if (copy.engine, copy.name) == (engine, database)
            ]
            newest = min(held, key=itemgetter(0), default=None)
            return self._manifest(newest[1], manifest_path(engine, database)) if newest else None

        return previous

    def _manifest(self, point: Point, path: bytes) -> bytes | None:
        """A manifest of a point; None when it is not there, or cannot be read: then there is nothing to compare with."""
        with contextlib.suppress(StrongroomError):
            entry = self._client.lookup(point, DATABASES.encode() + b"/" + path)
            if entry is not None and not entry.defect and entry.size <= _MOST_MANIFEST:
                pieces = sorted((offset, data) for _, offset, data in self._client.contents(point, [entry]))
                return b"".join([data for _, data in pieces])
        return None
