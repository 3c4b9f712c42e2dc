"""What stands in an app's folder now, read as a backup reads it: by descriptor, links not followed, named where it changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
from pathspec import GitIgnoreSpec

from strongroom.errors import SnapshotError
from strongroom.model import Account, Entry, FileType, text
from strongroom.panel.sources import literal
from strongroom.restores.live import LiveData, Pieces
from strongroom.restores.remarks import Remarks
from strongroom.webapps.base import REPORTS, App
from strongroom.webapps.snapshots import repository, sqlite

# The content of a larger file stays out of snapshots, like that of uploads: it is in the account's backups.
LARGEST = 32 << 20
# All of them are in memory at once, and their owner says how many there are.
MOST_ENTRIES = 1_000_000
# A stranger's pattern may not cost more than it says.
_MOST_PATTERN = 200
_MOST_STARS = 6
Store = Callable[[bytes], str]


class Patterns:
    """What of an app is not read at all, and of what only the attributes are kept; as patterns below the account's data.

    ``apart`` are the paths of apps below it, which are left to themselves. ``database`` is the stored path of the app's SQLite
    database where it is in the app's folder: that is kept wherever it is.
    """

    def __init__(self, app: App, caches: Sequence[str], uploads: Sequence[str], apart: Sequence[bytes]) -> None:
        ours = [f"/{text(repository.NAME)}", f"/{text(repository.OURS)}*", "/.strongroom"]
        if app.path == b"/":
            # Its owner's home: reports of updates come and go beside what they tell of.
            ours.append(f"/{text(REPORTS)}")
        others = (text(literal(app.path.rstrip(b"/") + b"/" + path)) + "/" for path in apart)
        self.left = (*_below(app, (*ours, *caches)), *others)
        self.uploads = tuple(_below(app, uploads))
        self._apart = tuple(app.stored + b"/" + path for path in apart)
        self._uploads = GitIgnoreSpec.from_lines(self.uploads)
        self.database = sqlite.stored_path(app)

    def is_apart(self, entry: Entry) -> bool:
        """Whether an entry is another app's."""
        return any(entry.path == path or entry.path.startswith(path + b"/") for path in self._apart)

    def is_upload(self, entry: Entry) -> bool:
        """Whether an entry's content is left out because of where it is."""
        return entry.path != self.database and self._uploads.match_file(text(entry.path.partition(b"/")[2]))


def of_now(app: App) -> Patterns:
    """What holds for a snapshot that is taken now."""
    return Patterns(app, app.caches, app.uploads, [inner.path for inner in app.inner])


class _Noted(Remarks):
    """Warnings that are looked at before they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[bytes, str, bool]] = []

    def warn(self, path: bytes, message: str, *, missing: bool = True) -> None:
        self.noted.append((path, message, missing))

    def unsteady(self) -> set[bytes]:
        """What was not read as it stands."""
        return {path for path, _, missing in self.noted if missing}

    def tell(self, remarks: Remarks, but: Collection[bytes] = ()) -> None:
        """Tell all but those about some paths."""
        for path, message, missing in self.noted:
            if path not in but:
                remarks.warn(path, message, missing=missing)


def entries_of(account: Account, app: App, patterns: Patterns, store: Store, remarks: Remarks) -> list[Entry]:
    """All entries of an app in the order of a walk, folders before what they hold; a file's ``content`` is what `store` says
    of its bytes, None where they are left out. What changed while it was read is read once more.
    """
    noted = _Noted()
    found = _walked(account, app.stored, patterns, store, noted)
    settled: dict[bytes, Entry] = {}
    for entry in found:
        if entry.type is FileType.FILE and entry.path in noted.unsteady():
            once_more = _Noted()
            again = _walked(account, entry.path, patterns, store, once_more)
            if len(again) == 1 and not once_more.unsteady():
                settled[entry.path] = again[0]
    noted.tell(remarks, but=settled)
    return sqlite.copied(account, [settled.get(entry.path, entry) for entry in found], store, remarks)


def _walked(account: Account, path: bytes, patterns: Patterns, store: Store, remarks: Remarks) -> list[Entry]:
    live = LiveData(account, patterns.left, remarks)
    try:
        found: list[Entry] = []
        for entry, pieces in live.walk((path,)):
            if len(found) == MOST_ENTRIES:
                raise SnapshotError(
                    f"{text(path)} holds more than {MOST_ENTRIES:,} files and folders: too many for snapshots"
                )
            found.append(_kept(entry, pieces, patterns, store, remarks))
        return found
    finally:
        live.close()


def _kept(entry: Entry, pieces: Pieces, patterns: Patterns, store: Store, remarks: Remarks) -> Entry:
    if entry.type is not FileType.FILE or patterns.is_upload(entry):
        return msgspec.structs.replace(entry, content=None, stored=0 if entry.size else entry.stored)
    if entry.size > LARGEST:
        message = f"{entry.size} bytes: its content is not kept in snapshots, which hold files of up to {LARGEST} bytes"
        remarks.warn(entry.path, message, missing=False)
        return msgspec.structs.replace(entry, content=None, stored=0)
    content = _whole(pieces, entry.size)
    if content.startswith(sqlite.HEADER):
        return msgspec.structs.replace(entry, content=sqlite.Unread(content), stored=entry.size)
    return msgspec.structs.replace(entry, content=store(content), stored=entry.size)


def _whole(pieces: Pieces, size: int) -> bytes:
    content = bytearray(size)
    for offset, data in pieces:
        content[offset : offset + len(data)] = data
    return bytes(content)


def _below(app: App, patterns: Sequence[str]) -> Iterator[str]:
    """Patterns of an app's folder as patterns of the account's data."""
    above = text(literal(app.path.rstrip(b"/")))
    for pattern in patterns:
        if (
            len(pattern) > _MOST_PATTERN
            or pattern.count("*") > _MOST_STARS
            or "\n" in pattern
            or pattern.startswith("!")
        ):
            continue
        anchored = "/" in pattern.rstrip("/")
        yield f"{above}/{pattern.lstrip('/')}" if anchored else f"{above}/**/{pattern}"
