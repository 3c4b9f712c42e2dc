"""An update tried on a copy: the app as a point has it, beside the live one, which is not touched.

The copy's files are restored into a folder of temporary files, its database into a free name, its settings made to point
there, and PHP's own server serves it to us. All of that goes when the rehearsal ends; what a killed one left is noted in
the state folder, and goes when the next one begins.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
from msgspec.structs import replace

from strongroom.clients.base import Client, Monitor
from strongroom.config import Config
from strongroom.config.values import Mysql
from strongroom.errors import AssuranceError
from strongroom.exports.base import MYSQL
from strongroom.exports.mysql_connection import Connection, quoted
from strongroom.exports.mysql_temporary import temporary_login
from strongroom.model import Account, Frozen, Location, Point, Status, text
from strongroom.restores.databases import DatabaseRestorer
from strongroom.restores.request import DatabaseWish, RestoreRequest
from strongroom.restores.restore import restore
from strongroom.settings import durable
from strongroom.settings.dump_folder import folder_of
from strongroom.webapps.assurance import pointing
from strongroom.webapps.assurance.ground import opened
from strongroom.webapps.assurance.outcome import Outcome, Verdict
from strongroom.webapps.assurance.probe import Prober
from strongroom.webapps.assurance.serving import free_port, served
from strongroom.webapps.assurance.trial import Change, Subject, Trial
from strongroom.webapps.base import App

_NOTE = b"rehearsal.json"
_SETTINGS = b"wp-config.php"
_PASSWD = b"data/etc/passwd"


class Leftover(Frozen):
    """What a rehearsal has made and has to remove."""

    folder: str
    database: str = ""
    user: str = ""
    host: str = ""


class Source(Frozen):
    """Where the copy comes from: a point, the client that has it, and what brings databases back."""

    point: Point
    client: Client
    restorer: Callable[[], DatabaseRestorer]
    monitor: Monitor


class Rehearsal:
    """Tries updates on copies, one at a time on this server."""

    def __init__(self, config: Config, prober: Prober, note: Callable[[str], None]) -> None:
        """``note`` is told each step."""
        self._config, self._prober, self._note = config, prober, note
        self._path = durable.settings_path(config.server.state, _NOTE)

    def rehearse(self, subject: Subject, change: Change, source: Source) -> Outcome:
        """Try one update; the verdict is ``confirmed`` or ``rolled back`` as it would be for the app itself.

        Raise AssuranceError where no copy can be made, BusyError while another rehearsal is under way.
        """
        busy = "another rehearsal is under way on this server; wait until it is done"
        with durable.alone(self._config.server.state, b"rehearsal", busy):
            self._clear()
            try:
                with ExitStack() as stack:
                    return self._tried(subject, change, source, stack)
            finally:
                self._clear()

    def _tried(self, subject: Subject, change: Change, source: Source, stack: ExitStack) -> Outcome:
        port = free_port()
        url = f"http://127.0.0.1:{port}/"
        account = self._files(subject, source)
        if subject.app.login is not None:
            self._database(subject.app, account, source, url, stack)
        copy = replace(subject, account=account, task=replace(subject.task, url=url, visits=(), logs=()))
        trial = Trial(copy, change, self._config.webapps, self._prober, self._note)
        stack.enter_context(served(stack.enter_context(opened(subject.app, account)), port))
        trial.before()
        trial.changed()
        verdict = Verdict.ROLLED_BACK if trial.failed else Verdict.CONFIRMED
        return replace(trial.outcome(verdict), rehearsed=True)

    def _files(self, subject: Subject, source: Source) -> Account:
        """Restore the app's files into a folder of their own; the account as it is there."""
        app, client, point = subject.app, source.client, source.point
        if client.lookup(point, app.stored) is None:
            raise AssuranceError(f"{app.app} is not in point {point.id} of {point.account}; back it up first")
        folder = os.fsencode(tempfile.mkdtemp(prefix="strongroom-rehearsal-"))
        self._write(Leftover(folder=text(folder)))
        _let_through(folder, subject.task.gid)
        known = (_PASSWD,) if subject.account.owner and client.lookup(point, _PASSWD) is not None else ()
        self._note(f"{app.app}: restoring a copy from point {point.id}")
        request = RestoreRequest(
            id=secrets.token_hex(8),
            point=point,
            paths=(app.stored, *known),
            account=subject.account,
            to=folder + b"/copy",
        )
        done = restore(request, client, source.monitor)
        if done.status is Status.FAILED:
            raise AssuranceError(f"{app.app}: no copy could be restored from point {point.id}; see: strongroom check")
        _let_through(folder + b"/copy", subject.task.gid)
        data = Location(tree="data", path=folder + b"/copy/data", why="a copy of a web app")
        return replace(subject.account, locations=(data,))

    def _database(self, app: App, account: Account, source: Source, url: str, stack: ExitStack) -> None:
        """Load the copy's database beside the live one, and make the copy use it."""
        login, settings = app.login, self._config.databases.mysql
        if login is None or login.engine != MYSQL or settings is None or app.kind != "wordpress":
            what = f"{app.title or app.kind} with {app.database}"
            raise AssuranceError(f"{app.app}: a copy of {what} cannot be made to use a database of its own here")
        name = f"{login.name[:48]}_{secrets.token_hex(4)}"
        self._write(replace(self._read(), database=name))
        self._note(f"{app.app}: loading a copy of {app.database}")
        back = source.restorer().bring_back(DatabaseWish(engine=MYSQL, name=login.name, into=name))
        if back.status is not Status.COMPLETE:
            raise AssuranceError(
                f"{app.app}: no copy of {app.database}: {'; '.join(back.messages) or back.status.value}"
            )
        user = stack.enter_context(temporary_login(settings, name))
        self._write(replace(self._read(), user=user.name, host=user.host))
        to = pointing.Pointer(
            url=url, database=name, user=user.name, password=user.password, host=_host(settings) or login.host
        )
        with folder_of(account, app.path + b"/" + _SETTINGS) as (folder, file):
            with folder.reading(file, account.users) as config:
                content = pointing.wordpress(config.read(1 << 20), to)
            with folder.draft(file) as draft:
                draft.write(content)

    def _write(self, left: Leftover) -> None:
        durable.replace(self._path, msgspec.json.encode(left) + b"\n")

    def _read(self) -> Leftover:
        content = durable.read(self._path)
        if content is None:
            return Leftover(folder="")
        try:
            return msgspec.json.decode(content, type=Leftover)
        except msgspec.MsgspecError as error:
            raise AssuranceError(f"{text(self._path)} cannot be read: {error}; remove it") from None

    def _clear(self) -> None:
        """Remove what this rehearsal, or a killed one, has made."""
        left = self._read()
        if left.database and self._config.databases.mysql is not None:
            with Connection(self._config.databases.mysql) as root:
                root.run(f"DROP DATABASE IF EXISTS {quoted(left.database)}")
                if left.user:
                    root.run(f"DROP USER IF EXISTS {quoted(left.user)}@{quoted(left.host)}")
        if left.folder:
            shutil.rmtree(left.folder, ignore_errors=True)
            os.unlink(self._path)


def _let_through(folder: bytes, gid: int) -> None:
    """Let the account's own group go through a folder of root's, and nobody else."""
    os.chown(folder, os.geteuid(), gid)
    os.chmod(folder, 0o710)  # noqa: S103


def _host(settings: Mysql) -> str:
    """The database server as WordPress writes it; empty where the configuration does not say where it is."""
    if settings.socket:
        return f"localhost:{text(settings.socket)}"
    return f"{settings.host}:{settings.port}" if settings.host else ""
