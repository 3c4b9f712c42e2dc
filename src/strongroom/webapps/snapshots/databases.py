"""The database of an app: whether it may be exported as the account's, its export as pieces, and its way back.

What an app's settings name is what a stranger wrote. Only a database that the server says is the account's is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from strongroom.errors import ExportError, SnapshotError
from strongroom.exports import manifest as manifests
from strongroom.exports.base import DatabaseServer, Export, Owned
from strongroom.exports.manifest import Manifest
from strongroom.exports.names import file_name
from strongroom.model import Account, DatabaseCopy, Status
from strongroom.restores.remarks import Remarks
from strongroom.settings.schedules import Target
from strongroom.webapps.base import App
from strongroom.webapps.snapshots import sqlite
from strongroom.webapps.snapshots.lines import cut

FOLDER = b"databases"
_HERE = ("", "localhost", "127.0.0.1", "::1", "[::1]")
# A piece of a text is called by its number, so that the order of names is that of the text.
_NUMBER = "%06d"

Store = Callable[[bytes], str]
Read = Callable[[str], bytes]


class NotExportedError(SnapshotError):
    """An app's database could not be exported whole."""


class AppDatabases:
    """Databases of apps, on the servers of this machine."""

    def __init__(self, everyone: Sequence[Account], servers: Sequence[DatabaseServer]) -> None:
        self._servers = {server.engine: server for server in servers}
        self._everyone = everyone
        self._accounts = {account.name: account for account in everyone}

    def target(self, app: App, remarks: Remarks) -> Target | None:
        """The app's database, where it has one that snapshots hold; else None, and a warning says why."""
        login = app.login
        if login is None:
            return None
        if login.engine == "sqlite":
            if sqlite.stored_path(app) is None:
                self.left_out(app, remarks, "it is not in the app's folder")
            return None
        if not _is_here(login.host):
            self.left_out(app, remarks, f"it is on another server, {login.host}")
        elif login.engine not in self._servers:
            self.left_out(app, remarks, f"there is no [databases.{login.engine}] in the configuration")
        else:
            target = Target(account=app.account, engine=login.engine, database=login.name)
            if target.database in self._owned(target).names:
                return target
            self.left_out(app, remarks, f"it is no database of {app.account}, or not there")
        return None

    @contextmanager
    def opened(self, targets: Sequence[Target]) -> Iterator[list[tuple[Target, Export]]]:
        """Open the transactions of databases; raise NotExportedError."""
        try:
            with ExitStack() as stack:
                yield [
                    (target, stack.enter_context(self._servers[target.engine].export(target.database, None)))
                    for target in targets
                ]
        except ExportError as error:
            raise NotExportedError(f"its database cannot be exported: {error}") from None

    def load(self, target: Target, files: dict[bytes, str], read: Read) -> list[str]:
        """Replace what a database holds by an export of a snapshot; returns what was left out. Raise SnapshotError."""
        try:
            owned = self._owned(target)
            if target.database not in owned.names and target.database not in owned.free:
                raise SnapshotError(f"{target.name} is no database of {target.account}: it is not put back")
            manifest = manifest_of(target, files, read)
            server = self._servers[target.engine]
            return server.load_export(target.database, manifest, lambda path: pieces(target, files, read, path))
        except ExportError as error:
            raise SnapshotError(f"{target.name} was not put back: {error}") from None

    def _owned(self, target: Target) -> Owned:
        """What the account has on the server, a database that is gone counted where its name is free. Raise SnapshotError."""
        server = self._servers.get(target.engine)
        if server is None:
            raise SnapshotError(f"{target.name}: there is no [databases.{target.engine}] in the configuration; add it")
        try:
            owned = server.owned(self._accounts[target.account], self._everyone, {target.database})
        except ExportError as error:
            raise NotExportedError(f"{target.name}: {error}") from None
        if target.database in owned.contested:
            raise NotExportedError(f"{target.name} {owned.contested[target.database]}")
        return owned

    def left_out(self, app: App, remarks: Remarks, why: str) -> None:
        """Say that an app's database is not part of a snapshot."""
        remarks.warn(b"", f"its database {app.database} is not part of its snapshots: {why}")


def stored(target: Target, export: Export, store: Store) -> tuple[DatabaseCopy, dict[bytes, str]]:
    """Draw an export to its end: what came of it, and its pieces by path. Raise NotExportedError unless it is whole."""
    found: dict[bytes, str] = {}
    for file in export.files():
        for number, piece in enumerate(cut(file.pieces)):
            found[file.path + (b"/" + (_NUMBER % number).encode())] = store(piece)
        if file.failure:
            raise NotExportedError(f"{target.name} was not exported whole: {file.failure}")
    copy, remarks = export.result()
    if copy.status is not Status.COMPLETE:
        raise NotExportedError(
            "; ".join(remark.message for remark in remarks) or f"{target.name} was not exported whole"
        )
    return copy, found


def manifest_of(target: Target, files: dict[bytes, str], read: Read) -> Manifest:
    """The manifest of an export in a snapshot. Raise SnapshotError."""
    content = b"".join(pieces(target, files, read, manifests.NAME))
    if not content:
        raise SnapshotError(f"this snapshot holds no export of {target.name}")
    try:
        return manifests.decode(content)
    except ExportError as error:
        raise SnapshotError(str(error)) from None


def pieces(target: Target, files: dict[bytes, str], read: Read, path: str) -> Iterator[bytes]:
    """One file of an export in a snapshot."""
    above = _folder(target) + path.encode() + b"/"
    for name in sorted(name for name in files if name.startswith(above)):
        yield read(files[name])


def check(target: Target, files: dict[bytes, str], read: Read) -> Manifest:
    """Read a whole export, and compare it with its manifest; raise SnapshotError where it is not what was exported."""
    manifest = manifest_of(target, files, read)
    reading = manifests.checked(manifest, lambda path: pieces(target, files, read, path))
    try:
        for file in manifest.files:
            for _ in reading(file.path):
                pass
    except ExportError as error:
        raise SnapshotError(str(error)) from None
    return manifest


def _folder(target: Target) -> bytes:
    return f"{target.engine}/{file_name(target.database)}/".encode()


def _is_here(host: str) -> bool:
    """Whether an app's settings mean a server on this machine: its name, a port of it, or a socket."""
    name = host.removeprefix("p:")
    return (
        name in _HERE or ":/" in name or name.startswith("/") or any(name.startswith(f"{here}:") for here in _HERE[1:])
    )
