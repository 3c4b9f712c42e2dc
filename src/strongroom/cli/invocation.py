"""One call of the program: its global options, and what a command asks for, opened when needed, closed at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from strongroom.cli import output
from strongroom.cli.progress import Teller
from strongroom.counting import counted
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from datetime import datetime

    from strongroom.clients.base import Client
    from strongroom.config import Config
    from strongroom.exports.base import DatabaseServer
    from strongroom.model import Point
    from strongroom.panel.base import Layout
    from strongroom.runs.backup import Exporter
    from strongroom.runs.catalog import Catalog
    from strongroom.runs.choosing import Subject, Wanted
    from strongroom.runs.locks import Changes
    from strongroom.settings.scopes import Scopes
    from strongroom.webapps.assurance.journal import Journal as UpdateJournal
    from strongroom.webapps.assurance.update import Updater
    from strongroom.webapps.base import App
    from strongroom.webapps.finding import Finder
    from strongroom.webapps.snapshots.git_snapshots import GitSnapshots
    from strongroom.webapps.states import States


class Clients(Protocol):
    """Where clients come from: the module `strongroom.clients.registry`, or a test's own."""

    def open_client(self, config: Config, name: str | None = None) -> Client:
        """Open the client that the configuration calls so."""

    def create_vault(self, config: Config) -> bool:
        """Make the vault and its passphrase file."""


# Where database servers come from: ``strongroom.exports.feed.servers``, or a test's own.
Servers = Callable[["Config"], "list[DatabaseServer]"]


class Invocation:
    """The global options as attributes, and the rooms below by property."""

    def __init__(
        self, clients: Clients | None = None, servers: Servers | None = None, *, name: str = "strongroom"
    ) -> None:
        """``name`` is the program that was called; its errors begin with it."""
        self.name = name
        self.config_file: str | None = None
        self.json = False
        self.quiet = False
        self.verbose = 0
        self.no_progress = False
        self._given = clients
        self._given_servers = servers
        self._opened: dict[str, Client] = {}
        self._open = ExitStack()
        self._fresh: set[str] = set()

    def close(self) -> None:
        """Close what was opened."""
        self.teller.clear()
        for client in self._opened.values():
            client.close()
        self._open.close()

    @cached_property
    def teller(self) -> Teller:
        """Who tells how work goes on."""
        live = sys.stderr.isatty() and not (self.quiet or self.no_progress)
        return Teller(live=live, quiet=self.quiet, name=self.name)

    @cached_property
    def clients(self) -> Clients:
        """Where clients come from."""
        if self._given is not None:
            return self._given
        from strongroom.clients import registry

        return registry

    @cached_property
    def config(self) -> Config:
        """The configuration."""
        from strongroom.config import load

        return load(self.config_file)

    @cached_property
    def layout(self) -> Layout:
        """What is on this server."""
        from strongroom.panel import load_layout

        return load_layout(self.config)

    @cached_property
    def servers(self) -> list[DatabaseServer]:
        """The database servers that the configuration names."""
        config = self.config
        if self._given_servers is not None:
            return self._given_servers(config)
        from strongroom.exports.feed import servers

        return servers(config)

    @cached_property
    def finder(self) -> Finder:
        """Who finds web apps."""
        from strongroom.webapps.finding import Finder
        from strongroom.webapps.kinds import all_kinds

        return Finder(self.layout, all_kinds(), self.states)

    @cached_property
    def states(self) -> States:
        """What is kept of each web app."""
        from strongroom.webapps.states import States

        return States(self.config.server.state)

    @cached_property
    def snapshots(self) -> GitSnapshots:
        """The snapshots of web apps."""
        from strongroom.webapps.snapshots.git_snapshots import GitSnapshots

        def needed(app: App) -> set[str]:
            entry = self.updates.read(app)
            return {entry.snapshot} if entry else set()

        keep = self.config.webapps.keep_snapshots
        accounts, state = self.layout.accounts(), self.config.server.state
        return GitSnapshots(state, accounts, self.servers, self.teller, self.changes, keep, needed)

    @cached_property
    def changes(self) -> Changes:
        """Which accounts' files this call changes in place."""
        from strongroom.runs.locks import Changes

        return Changes(self.config.server.state, self.teller.note)

    @cached_property
    def updates(self) -> UpdateJournal:
        """The updates of web apps that are under way, or were killed."""
        from strongroom.webapps.assurance.journal import Journal

        return Journal(self.config.server.state)

    @cached_property
    def updater(self) -> Updater:
        """Who updates web apps, and takes their snapshots."""
        from strongroom.webapps.assurance.probe import look
        from strongroom.webapps.assurance.update import Updater

        return Updater(
            self.config.webapps, self.updates, self.states, self.snapshots, self.changes, look, self.teller.note
        )

    def mail(self, to: str, subject: str, body: str) -> None:
        """Mail a notice to an address (empty: to nobody). What hinders that is told, and fails nothing."""
        from strongroom.settings.notices import find_mail

        if not to:
            return
        mail = find_mail()
        if mail is None:
            self.teller.error(f"{to} is not told: there is no sendmail on this machine")
            return
        try:
            mail.send(to, subject, body)
        except StrongroomError as error:
            self.teller.error(str(error))

    def exporter(self, client: str | None = None) -> Exporter | None:
        """Where the exports for a client's runs come from; None where there are no database servers."""
        if not (self.config.databases.mysql or self.config.databases.postgresql):
            return None
        from strongroom.runs.exporting import AccountExporter

        return AccountExporter(
            self.servers, self.layout.accounts, self.client(client), self.catalog(client), self.server
        )

    @cached_property
    def scopes(self) -> Scopes:
        """The scopes of this server, through the panel's own program where there is one."""
        from strongroom.settings.panel_programs import find_cpcmd
        from strongroom.settings.scopes import Scopes

        return Scopes(self.config.server, find_cpcmd(self.config.server))

    @cached_property
    def server(self) -> str:
        """This server's stable id."""
        from strongroom.config.identity import server_id

        return server_id(self.config.server)

    @property
    def now(self) -> datetime:
        """This moment, in local time."""
        from datetime import datetime

        return datetime.now().astimezone()

    def client(self, name: str | None = None) -> Client:
        """A client by its name, or the default one; opened once."""
        wanted = name or self.config.backup.client
        if wanted not in self._opened:
            self._opened[wanted] = self.clients.open_client(self.config, wanted)
        return self._opened[wanted]

    @cached_property
    def _catalog(self) -> Catalog:
        from strongroom.runs.catalog import Catalog

        return self._open.enter_context(Catalog.open(self.config.server.state, self.teller.note))

    def catalog(self, client: str | None = None) -> Catalog:
        """The catalog, up to date with one client, or with all of them (the default one has to be there)."""
        self._refresh(client or self.config.backup.client)
        if client is None:
            for other in self.config.clients:
                try:
                    self._refresh(other)
                except StrongroomError as error:
                    if other not in self._fresh:
                        self.teller.note(f"client {other}: {error}")
                        self._fresh.add(other)
        return self._catalog

    def _refresh(self, client: str) -> None:
        if client in self._fresh:
            return
        opened = self.client(client)
        gone = [point for point in self._catalog.refresh(opened) if point.server == self.server]
        self._fresh.add(client)
        if gone:
            self.teller.note(
                f"no longer in {opened.name}, and lost unless another machine forgot them: {counted(len(gone), 'point')}, "
                f"the newest {gone[0].id} of {gone[0].account}, {gone[0].time}"
            )

    def subject(self, account: str, client: str | None = None) -> Subject:
        """The account that a name or domain means."""
        from strongroom.runs.choosing import find_account

        return find_account(account, self.layout, self.catalog(client), self.server)

    def point_of(self, subject: Subject, wanted: Wanted) -> Point:
        """The point of an account that is wanted."""
        from strongroom.model import Status
        from strongroom.runs.choosing import choose_point

        point = choose_point(subject, wanted, self.catalog(wanted.client), self.now)
        if point.status is not Status.COMPLETE:
            self.teller.note(f"point {point.id} is {point.status}; --complete takes the newest that is not")
        return point

    def named_point(self, reference: str, client: str | None = None) -> Point:
        """The point that a POINT means where no account is named."""
        from strongroom.runs.choosing import named_point

        return named_point(reference, self.catalog(client), client)

    def newest_beside(self, point: Point) -> Point:
        """The newest point of the account that a point is of."""
        from strongroom.runs.catalog import Identity

        found = self.catalog().newest(Identity(server=point.server, account=point.account))
        return found or point

    def answer(self, document: Any, lines: Iterable[str] = (), *, summary: bool = False) -> None:
        """Print a command's answer; a ``summary`` only says what was done, and -q leaves it out."""
        self.teller.clear()
        if self.json:
            output.write_json(document)
        elif not (summary and self.quiet):
            output.write_lines(lines)
