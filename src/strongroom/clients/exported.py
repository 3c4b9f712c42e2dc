"""An account's exports, for software that cannot take streams: files in a private spool that is one more tree."""

from __future__ import annotations

import os

import msgspec

from strongroom.clients.base import ExportFile, Task
from strongroom.clients.vault_feed import iso
from strongroom.errors import ClientError
from strongroom.model import DATABASES, Exported, Location, Remark, Synchrony, text

_BILLION = 1_000_000_000
# So many paths of files that are younger than the databases are named.
_NAMED = 100


class Younger:
    """The files that changed after the databases' transaction was opened: how many, and the first of them by path."""

    def __init__(self) -> None:
        self.count = 0
        self.paths: list[bytes] = []

    def add(self, path: bytes) -> None:
        """Take one."""
        self.count += 1
        if len(self.paths) < _NAMED:
            self.paths.append(path)


def spooled(task: Task, folder: bytes) -> tuple[Exported, tuple[Location, ...]]:
    """Write an account's exports into a new folder; returns what came of them, and all that is to be copied from where.

    The folder is only made where there are exports. Raise ClientError where it has no room.
    """
    exports, locations = task.exports, task.account.locations
    if exports is None:
        return Exported(), locations
    failures: list[Remark] = []
    os.mkdir(folder, 0o700)
    for file in exports.files():
        try:
            _write(folder, file)
        except OSError as error:
            message = f"no room for the exports in {text(folder)} ({error.strerror}); make room in the state folder"
            raise ClientError(message) from error
        if file.failure:
            failures.append(Remark(path=DATABASES.encode() + b"/" + file.path, message=file.failure))
    told = exports.result()
    below = DATABASES.encode()
    said = [Remark(path=below + b"/" + each.path if each.path else below, message=each.message) for each in told.remarks]
    incomplete = told.incomplete or bool(failures)
    told = msgspec.structs.replace(told, incomplete=incomplete, remarks=(*said, *failures))
    own = Location(tree=DATABASES, path=folder, why="exports of the account's databases")
    roots = exports.roots
    frozen = (msgspec.structs.replace(each, path=roots.get(each.tree, each.path)) for each in locations)
    return told, (*frozen, own)


def _write(folder: bytes, file: ExportFile) -> None:
    """Write one file; one that is not whole is not kept."""
    parts = file.path.split(b"/")
    if not all(parts) or b"." in parts or b".." in parts:
        raise ClientError(f"an export of the path {text(file.path)!r} is none that could be kept")
    path = os.path.join(folder, *parts)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
        for piece in file.pieces:
            stream.write(piece)
    if file.failure:
        os.unlink(path)


def synchrony(told: Exported, walked: int, finished: int, younger: Younger) -> Synchrony:
    """How far apart databases and files are; moments in nanoseconds since 1970."""
    gap = max(0.0, (told.frozen or finished / _BILLION) - told.opened) if told.opened is not None else 0.0
    return Synchrony(
        method="freeze" if told.frozen else "sequence",
        transaction_opened=_moment(told.opened),
        exports_started=_moment(told.started),
        files_started=iso(walked),
        files_finished=iso(finished),
        gap_seconds=round(gap, 6),
        changed_in_gap=younger.count,
        changed_paths=tuple(younger.paths),
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso(int(seconds * _BILLION))
