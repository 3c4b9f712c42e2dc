"""What the making of an export is for every engine: files guarded and counted, the manifest, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from strongroom.errors import ExportError
from strongroom.exports import gate
from strongroom.exports.base import ExportFile
from strongroom.exports.manifest import NAME, Counter, Manifest, Table
from strongroom.exports.names import file_name
from strongroom.model import DatabaseCopy, Remark, Status


class Making:
    """One database's export while it is made. ``position`` may be set until the end."""

    def __init__(self, engine: str, database: str, opened: float, previous: bytes | None) -> None:
        self._engine, self._database, self._opened, self._previous = engine, database, opened, previous
        self._counter = Counter()
        self._tables: list[Table] = []
        self._reasons: list[str] = []
        self._warnings: list[str] = []
        self.position = ""

    def offer(self, path: str, pieces: Iterable[bytes]) -> Iterator[ExportFile]:
        """Offer one file, path below the database's folder. Raise ExportError once it has turned out not to be whole."""
        full = f"{self._engine}/{file_name(self._database)}/{path}"
        file = ExportFile(full.encode(), iter(()))
        file.pieces = guarded(file, self._counter.passed(path, pieces))
        yield file
        for _ in file.pieces:
            pass
        if file.failure:
            raise ExportError(file.failure)

    def table(self, name: str, identity: str, path: str, rows: int) -> None:
        """The file offered last was this table's."""
        size = self._counter.files[-1].size
        self._tables.append(Table(name=name, identity=identity, file=path, rows=rows, bytes=size))

    def fail(self, reason: str) -> None:
        """Why this export is not complete."""
        if reason not in self._reasons:
            self._reasons.append(reason)

    def warn(self, warning: str) -> None:
        """Something to tell that makes the export no less complete."""
        self._warnings.append(warning)

    def manifest(self, facts: Manifest) -> Iterator[ExportFile]:
        """Offer the manifest: what the engine knows, and what passed."""
        self._warnings += gate.fallen(self._tables, self._previous)
        whole = msgspec.structs.replace(
            facts,
            status=self._status,
            position=self.position,
            files=tuple(self._counter.files),
            tables=tuple(self._tables),
            reasons=tuple(self._reasons),
        )
        yield from self.offer(NAME, [whole.encode()])

    def facts(self) -> Manifest:
        """A manifest of what is known from the beginning."""
        opened = datetime.fromtimestamp(self._opened, UTC).isoformat().replace("+00:00", "Z")
        return Manifest(engine=self._engine, database=self._database, status=self._status, opened=opened)

    def result(self) -> tuple[DatabaseCopy, tuple[Remark, ...]]:
        """The verdict, with everything that has to be told."""
        copy = DatabaseCopy(
            engine=self._engine,
            name=self._database,
            status=self._status,
            bytes=self._counter.bytes,
            tables=len(self._tables),
            position=self.position,
        )
        said = [f"incomplete: {reason}" for reason in self._reasons] + self._warnings
        return copy, tuple(remark(self._engine, self._database, message) for message in said)

    @property
    def _status(self) -> Status:
        return Status.INCOMPLETE if self._reasons else Status.COMPLETE


def guarded(file: ExportFile, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A file's pieces, of which an error is no exception but the file's failure."""
    try:
        yield from pieces
    except ExportError as error:
        file.failure = str(error)


def remark(engine: str, database: str, message: str) -> Remark:
    """Something to tell about one database."""
    return Remark(path=f"{engine}/{file_name(database)}".encode(), message=f"{engine}:{database}: {message}")
