"""A snapshot as it lies in the repository, and as a point that the writing half of a restore understands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from blake3 import blake3

from strongroom.clients.base import Capabilities
from strongroom.errors import ClientError, SnapshotError
from strongroom.model import Account, Entry, FileType, Level, Point, Status, Time
from strongroom.restores.remarks import Remarks
from strongroom.runs import times
from strongroom.webapps.base import App, Snapshot
from strongroom.webapps.snapshots import facts as said
from strongroom.webapps.snapshots import lines
from strongroom.webapps.snapshots.databases import FOLDER as DATABASES
from strongroom.webapps.snapshots.facts import Facts, Sealer
from strongroom.webapps.snapshots.objects import Commit, Reader

# Beside the app's own files in a commit's tree: what git forgets, the exports, and files whose names git refuses.
FOLDER = b".strongroom"
FACTS, SEAL, ATTRIBUTES, KEPT = b"snapshot.json", b"seal", b"attributes", b"kept"
_MOST_MESSAGE = 200
_MOST_ATTRIBUTES = 1 << 28
_OWN_ATTRIBUTES = (b"user.", b"system.posix_acl_")
_NODES = (FileType.CHAR, FileType.BLOCK, FileType.SOCKET)
_PIECE = re.compile(rb"attributes/\d{6}")


class Stored:
    """One snapshot, read from the repository."""

    def __init__(self, commit: Commit, app: App, reader: Reader, sealer: Sealer, files: dict[bytes, str]) -> None:
        self._app, self._reader, self._files = app, reader, files
        content = reader.read(files[FACTS], "blob")
        self.facts: Facts = said.decode(content)
        seal = reader.read(files[SEAL], "blob") if SEAL in files else b""
        # The facts name the app; a snapshot of another one is not this one's, whoever made it.
        self.sealed = self.facts.app == app.app and sealer.holds(app.app, content, seal)
        self.commit = commit
        # Two commits with the same facts are one snapshot: the later is its owner's, who committed on top of it.
        self.identity = files[FACTS]

    @property
    def snapshot(self) -> Snapshot:
        """It as commands show it."""
        return snapshot_of(self.commit.id, self.facts, sealed=self.sealed)

    @property
    def databases(self) -> dict[bytes, str]:
        """The pieces of its exports, by path below the databases' folder."""
        return {
            name[len(DATABASES) + 1 :]: blob for name, blob in self._files.items() if name.startswith(DATABASES + b"/")
        }

    @property
    def blobs(self) -> set[str]:
        """All blobs that it has beside those of its files."""
        return set(self._files.values())

    def read(self, blob: str) -> bytes:
        """One blob of it."""
        return self._reader.read(blob, "blob")

    def entries(self) -> list[Entry]:
        """Its entries, in the order of a walk. Raise SnapshotError where they are not what was taken."""
        content = bytearray()
        for name in sorted(name for name in self._files if _PIECE.fullmatch(name)):
            content += self.read(self._files[name])
            if len(content) > _MOST_ATTRIBUTES:
                raise SnapshotError(f"snapshot {self.commit.id[:12]} has more attributes than any app's")
        if blake3(content).hexdigest() != self.facts.attributes:
            raise SnapshotError(f"snapshot {self.commit.id[:12]} is damaged: its attributes are not what it says")
        return lines.decode(bytes(content), self._app.stored)


def snapshot_of(commit: str, facts: Facts, *, sealed: bool) -> Snapshot:
    """What commands show of a snapshot with these facts."""
    return Snapshot(
        id=commit,
        time=facts.time,
        label=facts.label[:_MOST_MESSAGE],
        version=facts.version,
        files=facts.files,
        bytes=facts.size,
        databases=tuple(f"{copy.engine}:{copy.name}" for copy in facts.databases),
        gap_seconds=facts.gap_seconds,
        status=facts.status,
        warnings=facts.remarks,
        sealed=sealed,
    )


def load(commit: Commit, app: App, reader: Reader, sealer: Sealer) -> Stored | None:
    """The snapshot that a commit is; None when it is none of ours."""
    files = reader.below(commit.tree, FOLDER)
    return Stored(commit, app, reader, sealer, files) if FACTS in files else None


def only_own(entries: list[Entry], account: Account, own: tuple[int, int], remarks: Remarks) -> list[Entry]:
    """Entries as a tenant could have made them: what is not sealed may bring no more back.

    ``own`` is the user and group that takes the place of others.
    """
    remarks.warn(
        b"",
        "this snapshot was not made on this server for this app: owners and privileges come back as the account's own",
    )
    users = account.users | {own[0]}
    return [
        msgspec.structs.replace(
            entry,
            uid=entry.uid if entry.uid in users else own[0],
            gid=own[1],
            mode=entry.mode & 0o1777,
            flags=0,
            xattrs=tuple(pair for pair in entry.xattrs if pair[0].startswith(_OWN_ATTRIBUTES)),
        )
        for entry in entries
        if entry.type not in _NODES
    ]


class Source:
    """A snapshot as what a restore reads (`strongroom.clients.base.Readable`).

    Files whose content is not kept are not among its entries.
    """

    name = "git"

    def __init__(self, app: App, entries: Iterable[Entry], stored: Stored) -> None:
        self._app, self._stored = app, stored
        self._entries = {
            entry.path: entry for entry in entries if entry.type is not FileType.FILE or entry.stored == entry.size
        }

    def capabilities(self) -> Capabilities:
        """All that a file has comes back; one process reads the objects."""
        return Capabilities(driver=self.name, version=None, levels=(Level.FULL,), divisible=False)

    def point(self) -> Point:
        """It as a point."""
        commit = self._stored.commit
        return Point(
            id=commit.id,
            account=self._app.account,
            time=times.iso(Time(commit.time)),
            level=Level.FULL,
            client=self.name,
            status=Status.COMPLETE,
            run="",
            seq=0,
            warnings=self._stored.facts.remarks,
        )

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        """An entry of the app; folders above it are told to be there, since those that stand are the ones."""
        found = self._entries.get(path)
        if found is None and self._app.stored.startswith(path + b"/"):
            return Entry(path=path, type=FileType.DIR, mode=0o755, uid=0, gid=0, mtime=Time(0))
        return found

    def walk(self, point: Point, paths: Sequence[bytes]) -> Iterator[Entry]:
        """All entries: a rollback asks for no less."""
        yield from self._entries.values()

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """The files' contents."""
        for number, entry in enumerate(entries):
            try:
                content = self._stored.read(str(entry.content))
            except SnapshotError as error:
                raise ClientError(str(error)) from None
            if len(content) != entry.size:
                raise ClientError("its content has another size than the snapshot says")
            yield number, 0, content
