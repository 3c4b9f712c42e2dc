"""The manifest of an export: what it holds, told by itself, so that it can be checked and loaded without a catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from blake3 import blake3

from strongroom.errors import ExportError
from strongroom.model import Frozen, Status

FORMAT = 1
NAME = "manifest.json"


class File(Frozen):
    """One file of an export: its path below the database's folder, bytes, and the BLAKE3 of its content in hex."""

    path: str
    size: int
    blake3: str


class ForeignKey(Frozen):
    """A foreign key from ``columns`` of ``table`` to ``referenced``'s."""

    name: str
    table: str
    columns: tuple[str, ...]
    referenced: str
    referenced_columns: tuple[str, ...]

    def __str__(self) -> str:
        columns, referenced = ", ".join(self.columns), ", ".join(self.referenced_columns)
        return f"{self.name}: {self.table} ({columns}) refers to {self.referenced} ({referenced})"


class Table(Frozen):
    """One table: its name as an owner says it (PostgreSQL: ``schema.table``), its file, its rows and bytes.

    ``identity`` is how the engine's SQL text spells it.
    """

    name: str
    identity: str
    file: str
    rows: int
    bytes: int


class Definer(Frozen):
    """As whom a view, trigger, routine or event runs: ``user@host``."""

    kind: str
    name: str
    user: str


class Manifest(Frozen):
    """What an export holds. Times are ISO 8601 in UTC; ``reasons`` is why it is not complete.

    ``extensions`` have the schema of each; ``attributes`` are the database's own (character set, collation, locale …);
    ``unloadable`` are definitions that the
    server itself cannot use any more (a view on a table that is gone), by name. ``superusers`` are the roles that could
    do everything then: what was theirs is no tenant's work.
    """

    engine: str
    database: str
    status: Status
    opened: str
    format: int = FORMAT
    position: str = ""
    server: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    files: tuple[File, ...] = ()
    tables: tuple[Table, ...] = ()
    views: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    definers: tuple[Definer, ...] = ()
    extensions: dict[str, str] = msgspec.field(default_factory=dict)
    unloadable: dict[str, str] = msgspec.field(default_factory=dict)
    superusers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """As it stands in the export."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files)

    def table(self, name: str) -> Table:
        """The table of this name; raise ExportError when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise ExportError(f"{self.engine}:{self.database} has no table {name!r} in this point")

    def keys_of(self, table: str) -> list[str]:
        """The foreign keys that putting back one table alone may break, each in words: its own, and those that lead to it."""
        return [str(key) for key in self.foreign_keys if table in (key.table, key.referenced)]


def decode(content: bytes) -> Manifest:
    """Read a manifest. Raise ExportError when it is none, or of a later format."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportError(f"{NAME} of an export cannot be read: {error}") from None
    if manifest.format > FORMAT:
        raise ExportError(
            f"{NAME} of an export has format {manifest.format}; this version knows {FORMAT}; update Strongroom"
        )
    return manifest


class Counter:
    """Counts and hashes files while they pass."""

    def __init__(self) -> None:
        self.files: list[File] = []

    def passed(self, path: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, noted under a path once they are through."""
        size, digest = 0, blake3()
        for piece in pieces:
            size += len(piece)
            digest.update(piece)
            yield piece
        self.files.append(File(path=path, size=size, blake3=digest.hexdigest()))

    @property
    def bytes(self) -> int:
        """All that passed."""
        return sum(file.size for file in self.files)


Reader = Callable[[str], Iterator[bytes]]


def checked(manifest: Manifest, read: Reader) -> Reader:
    """A reader that compares what it reads with the manifest, and raises ExportError at the end of a file that differs."""
    known = {file.path: file for file in manifest.files}

    def reading(path: str) -> Iterator[bytes]:
        if path not in known:
            return
        counter = Counter()
        yield from counter.passed(path, read(path))
        if counter.files != [known[path]]:
            raise ExportError(
                f"{path} of {manifest.engine}:{manifest.database} is not what was exported; take another point"
            )

    return reading
