"""A small vault over one folder, and a reader of points that compares everything with a plain model."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from strongroom.clients.vault_entries import Tree
from strongroom.model import Entry, FileType
from strongroom.vault import vault as vaults
from strongroom.vault.feed import Feed
from strongroom.vault.folder import FolderStorage
from strongroom.vault.header import CHUNKER, Chunker
from strongroom.vault.keys import CHEAP
from strongroom.vault.series import Outcome, Request, SeriesFailure
from strongroom.vault.source import Source
from strongroom.vault.storage import Storage
from strongroom.vault.substitute import Substitute
from strongroom.vault.vault import Vault
from strongroom.vault.walk import FRESH

PASSPHRASE = b"in tests nobody guesses"
SERIES = "here/site1"
SMALL_CHUNKS = Chunker(least=256, average=1024, most=4096)


class Seen(NamedTuple):
    """An entry as a restore would make it, and as a file system shows it."""

    type: FileType
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    content: bytes
    target: bytes
    rdev: tuple[int, int]
    xattrs: tuple[tuple[bytes, bytes], ...]
    links: bytes


class Ground:
    """A source folder, a vault, and the state folder of the machine."""

    def __init__(
        self, base: Path, *, storage: Storage | None = None, chunker: Chunker = CHUNKER, dedup: str = "vault"
    ) -> None:
        self.base = base
        self.source = base / "source"
        self.folder = base / "vault"
        self.state = base / "state"
        self.source.mkdir(exist_ok=True)
        self.exclude: tuple[str, ...] = ()
        self.feed: Feed | None = None
        self.substitute: Substitute | None = None
        self.storage = storage or FolderStorage(str(self.folder))
        if not vaults.exists(self.storage):
            vaults.create(self.storage, PASSPHRASE, cost=CHEAP, chunker=chunker, dedup=dedup)
        self.owners = frozenset({0, 1000})

    def vault(self) -> Vault:
        """The vault as a new process opens it."""
        return Vault(self.storage, str(self.state), PASSPHRASE)

    def request(self, level: str = "incremental", series: str = SERIES) -> Request:
        source = Source(name="data", path=os.fsencode(self.source), exclude=self.exclude)
        return Request(
            series=series, level=level, sources=(source,), owners=self.owners, feed=self.feed, substitute=self.substitute
        )

    def run(self, level: str = "incremental", *, workers: int = 1, series: str = SERIES) -> Outcome | SeriesFailure:
        """Back up once."""
        vault = self.vault()
        try:
            (outcome,) = vault.backup(
                [self.request(level, series)], workers=workers, describe=lambda outcome: b"", progress=lambda done: None
            )
        finally:
            if "index" in vault.__dict__:
                vault.index.close()
        return outcome

    def backup(self, level: str = "incremental", *, workers: int = 1) -> Outcome:
        """Back up once, and insist on a snapshot."""
        outcome = self.run(level, workers=workers)
        assert isinstance(outcome, Outcome), outcome
        return outcome

    def age(self) -> None:
        """Let the minute pass in which nothing is trusted: what was scanned until now counts as old."""
        self._scanned_at(time.time_ns() + FRESH)

    def rejuvenate(self) -> None:
        """Let no time have passed between the making of the files and the look at them, however long it was."""
        places = [self.source, *self.source.rglob("*")]
        self._scanned_at(min(place.lstat().st_ctime_ns for place in places))

    def _scanned_at(self, moment: int) -> None:
        state = self.vault().state
        summaries = state.summaries().values()
        state.remember_summaries([msgspec.structs.replace(item, scan_started=moment) for item in summaries])

    def lose_state(self) -> None:
        shutil.rmtree(self.state)

    def read(self, id: str) -> dict[bytes, Seen]:
        """Everything a point holds, read as a restore reads it."""
        return read_point(self.vault(), id)

    def live(self) -> dict[bytes, Seen]:
        """Everything the source holds now."""
        return dict(look(os.fsencode(self.source), b"data"))


def read_point(vault: Vault, id: str) -> dict[bytes, Seen]:
    """A point by its stored paths. Raise VaultError where something of it cannot be read."""
    reader = vault.reader
    snapshot = vault.snapshot(id)
    entries = list(Tree(reader, snapshot).walk([os.fsencode(name) for name in snapshot.sources]))
    files = [entry for entry in entries if entry.content is not None]
    contents = {entry.path: bytearray(entry.size) for entry in files}
    for number, offset, data in reader.contents([entry.content.row for entry in files]):  # type: ignore[attr-defined]
        held = contents[files[number].path]
        assert offset + len(data) <= len(held)
        held[offset : offset + len(data)] = data
    groups: dict[bytes, bytes] = {}
    for entry in sorted(entries, key=lambda entry: entry.path):
        if entry.link_group:
            groups.setdefault(entry.link_group, entry.path)
    return {entry.path: _seen(entry, bytes(contents.get(entry.path, b"")), groups) for entry in entries}


def _seen(entry: Entry, content: bytes, groups: dict[bytes, bytes]) -> Seen:
    assert entry.defect is None, (entry.path, entry.defect)
    return Seen(
        entry.type, entry.mode, entry.uid, entry.gid, entry.mtime.seconds * 10**9 + entry.mtime.nanoseconds,
        entry.size if entry.type is FileType.FILE else 0, content, entry.target,
        (0, 0) if entry.type not in (FileType.CHAR, FileType.BLOCK) else entry.rdev,
        entry.xattrs, groups.get(entry.link_group, b""),
    )  # fmt: skip


def made(content: dict[bytes, bytes], name: bytes = b"databases") -> dict[bytes, Seen]:
    """What a feed of these files, without folders among them, is in a point, but for the moment when they were made."""
    folder = Seen(FileType.DIR, 0o700, 0, 0, 0, 0, b"", b"", (0, 0), (), b"")
    files = {
        name + b"/" + path: Seen(FileType.FILE, 0o600, 0, 0, 0, len(data), data, b"", (0, 0), (), b"")
        for path, data in content.items()
    }
    return {name: folder} | files


_KINDS = {
    stat.S_IFREG: FileType.FILE, stat.S_IFDIR: FileType.DIR, stat.S_IFLNK: FileType.SYMLINK,
    stat.S_IFIFO: FileType.FIFO, stat.S_IFCHR: FileType.CHAR, stat.S_IFBLK: FileType.BLOCK, stat.S_IFSOCK: FileType.SOCKET,
}  # fmt: skip


def look(folder: bytes, name: bytes) -> Iterator[tuple[bytes, Seen]]:
    """What a file system shows at and below a folder, by independent means."""
    inodes: dict[int, bytes] = {}
    pending = [(name, folder)]
    places = []
    while pending:
        path, place = pending.pop()
        places.append((path, place))
        if stat.S_ISDIR(os.lstat(place).st_mode):
            pending += [(path + b"/" + child, place + b"/" + child) for child in os.listdir(place)]
    for path, place in sorted(places):
        found = os.lstat(place)
        kind = _KINDS[stat.S_IFMT(found.st_mode)]
        content = b""
        if kind is FileType.FILE:
            with open(place, "rb") as file:
                content = file.read()
        group = b""
        if kind is not FileType.DIR and found.st_nlink > 1:
            group = inodes.setdefault(found.st_ino, path)
        names = sorted(os.listxattr(place, follow_symlinks=False))
        yield path, Seen(
            kind, found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns, len(content), content,
            os.readlink(place) if kind is FileType.SYMLINK else b"",
            (os.major(found.st_rdev), os.minor(found.st_rdev)) if kind in (FileType.CHAR, FileType.BLOCK) else (0, 0),
            tuple((os.fsencode(name), os.getxattr(place, name, follow_symlinks=False)) for name in names),
            group,
        )  # fmt: skip
