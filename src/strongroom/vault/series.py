"""One series (account) of a run, as the coordinating process sees it: what was asked, what came back, what it became."""

from __future__ import annotations

from collections.abc import Container, Iterator

import msgspec

from strongroom.vault.feed import Carried, Feed
from strongroom.vault.messages import MOST_YOUNGER, Base, Counts, Drawn, Linked, Remark, Walked, Work
from strongroom.vault.parents import Parent
from strongroom.vault.scan import CLOCK_LAG
from strongroom.vault.source import Source
from strongroom.vault.state import unpack
from strongroom.vault.substitute import Substitute

# Remarks kept with a snapshot; of more, their number.
MOST_REMARKS = 2000
# Bytes of all folders' paths together: a million ordinary folders have 80 MB, but one that is nested thousands deep has more.
MOST_PATH_BYTES = 512 << 20


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to back up as one series. ``owners``: the account's own users, whose files with several links are its own.

    ``feed`` is drawn before the sources are walked, and its names are none of theirs; what is carried has no sources beside
    it. ``substitute`` copies what it wants of the sources' files.
    """

    series: str
    level: str
    sources: tuple[Source, ...]
    owners: frozenset[int]
    feed: Feed | Carried | None = None
    substitute: Substitute | None = None

    @property
    def names(self) -> list[str]:
        """The names of all trees: the sources', then the feed's."""
        return [source.name for source in self.sources] + self.drawn

    @property
    def drawn(self) -> list[str]:
        """The names of the feed's trees."""
        if self.feed is None:
            return []
        return list(self.feed.names) if isinstance(self.feed, Carried) else [self.feed.name]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A series' snapshot as it is about to be committed. Times are nanoseconds since 1970; ``stored`` is bytes written.

    With a feed, ``walked`` is when its sources began to be walked (else ``started``), ``told`` the feed's result, ``opened``
    its moment, and ``younger`` are files that changed later, at most a thousand of ``younger_count``.
    """

    request: Request
    id: str
    seq: int
    parent: str | None
    level: str
    complete: bool
    started: int
    finished: int
    counts: Counts
    stored: int
    remarks: tuple[Remark, ...]
    walked: int
    told: bytes = b""
    opened: int | None = None
    younger: tuple[bytes, ...] = ()
    younger_count: int = 0


class SeriesFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A series that has no snapshot from this run, and why."""

    request: Request
    message: str


class SeriesRun:
    """The state of one series during a run."""

    def __init__(self, number: int, request: Request, alone: str) -> None:
        self.number, self.request, self.alone = number, request, alone
        self.scope = 0
        self.parent: Parent | None = None
        self.started = 0
        self.walked = 0
        self.finished = 0
        self.last_drawn = ""
        self.drawn: Drawn | None = None
        self.younger: list[bytes] = []
        self.younger_count = 0
        self.tasks = 0
        self.rechecked = False
        self.failure = ""
        self.stored = 0
        self.counts = Counts()
        self.folders: dict[bytes, bytes] = {}
        self.removed: set[bytes] = set()
        self._remarks: dict[tuple[bytes, str], Remark] = {}
        self._linked: list[Linked] = []
        self._more_remarks = 0
        self._defects = 0
        self._path_bytes = 0

    @property
    def base(self) -> Base | None:
        """What is compared with."""
        return self.parent.base if self.parent else None

    @property
    def scan_started(self) -> int:
        """Before this moment no byte was read (nanoseconds since 1970); 0: what was carried was read who knows when."""
        return 0 if isinstance(self.request.feed, Carried) else self.started

    @property
    def same_trees(self) -> bool:
        """Whether the snapshot that is compared with has the trees that are asked for, and no others."""
        return self.parent is not None and set(self.parent.sources) == set(self.request.names)

    def take(self, walked: Walked, *, recheck: bool) -> None:
        """Add a part of a task's result."""
        self.removed.update(walked.removed)
        for folder in walked.folders:
            self.folders[folder.path] = folder.known
            self._path_bytes += len(folder.path)
        if self._path_bytes > MOST_PATH_BYTES and not self.failure:
            self.failure = (
                f"over the limit of {MOST_PATH_BYTES >> 20} MiB for the paths of its folders; exclude the deep ones"
            )
            self.folders.clear()
        for remark in walked.remarks:
            self._remark(remark)
        if recheck:
            self.counts.bytes_read += walked.counts.bytes_read
            return
        self.younger += walked.younger[: MOST_YOUNGER - len(self.younger)]
        self.younger_count += walked.younger_count
        self._linked += walked.linked
        self.counts.add(walked.counts)

    def _remark(self, remark: Remark) -> None:
        if (remark.path, remark.message) in self._remarks:
            return  # a second look at a folder says again what it finds again
        self._defects += remark.defect
        if len(self._remarks) < MOST_REMARKS:
            self._remarks[remark.path, remark.message] = remark
        else:
            self._more_remarks += 1

    def after_feed(self, work: Work) -> Work:
        """A task as it is to be done once the feed was drawn: perhaps elsewhere, and telling what changed since."""
        if self.drawn is None:
            return work
        root = self.drawn.roots.get(self.request.sources[work.source].name, b"")
        return msgspec.structs.replace(work, root=root, opened_ns=self.drawn.opened_ns)

    def release_failed(self, message: str) -> None:
        """Note that the feed could not be released, which harms nothing that was stored."""
        if message and self.request.feed is not None:
            self._remark(Remark(self.request.drawn[0].encode(), f"could not be released: {message}", False))

    def own_links(self) -> dict[bytes, dict[int, int]]:
        """Other users' files all of whose names turned up here, by folder: nothing outside is reached through them.

        Each with its ctime, which a name that is made, moved or removed changes: one that is older than the walk and the
        same at every name says that all of them were there at once. Otherwise one name, moved about while the account is
        walked, could stand for the one that is elsewhere.
        """
        seen: dict[int, list[Linked]] = {}
        for linked in self._linked:
            seen.setdefault(linked.inode, []).append(linked)
        folders: dict[bytes, dict[int, int]] = {}
        for inode, names in seen.items():
            states = {(name.links, name.ctime) for name in names}
            links, ctime = states.pop()
            still = not states and ctime < self.started - CLOCK_LAG
            if still and len({name.place for name in names}) == links:
                for name in names:
                    folders.setdefault(name.folder, {})[inode] = ctime
        self._linked = []
        return folders

    def resolved(self, folders: Container[bytes]) -> None:
        """These folders will be looked at again: what was said of other users' links in them no longer holds."""
        self._remarks = {
            key: remark
            for key, remark in self._remarks.items()
            if not (remark.path.rpartition(b"/")[0] in folders and "hard link" in remark.message)
        }

    def map_of(self, base: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """What is known of every folder now: last time's, without what was removed, with what was recorded."""
        if self.parent is None or self.base is None or not self.base.digests or not self.base.trusted:
            self.counts.removed += sum(
                unpack(known).entries for path, known in base.items() if _below_any(path, self.removed)
            )
            return self.folders
        kept = dict(base)
        gone = {name.encode() for name in self.parent.sources} - {name.encode() for name in self.request.names}
        if gone:
            # Trees that were not asked for are no removed files.
            kept = {path: known for path, known in kept.items() if path.partition(b"/")[0] not in gone}
        if self.removed:
            for path in [path for path in kept if _below_any(path, self.removed)]:
                self.counts.removed += unpack(kept.pop(path)).entries
        kept.update(self.folders)
        return kept

    def outcome(self, id: str) -> Outcome:
        """What is told of the snapshot."""
        assert self.parent is not None  # noqa: S101 - a series that was walked has been planned
        remarks = tuple(self._remarks.values())
        if self._more_remarks:
            remarks += (Remark(b"", f"… and {self._more_remarks:,} more warnings", False),)
        return Outcome(
            request=self.request, id=id, seq=self.parent.seq, parent=self.parent.snapshot, level=self.parent.level,
            complete=not self._defects, started=self.started, finished=self.finished, counts=self.counts,
            stored=self.stored, remarks=remarks, walked=self.walked or self.started,
            told=self.drawn.told if self.drawn else b"", opened=self.drawn.opened_ns if self.drawn else None,
            younger=tuple(self.younger), younger_count=self.younger_count,
        )  # fmt: skip


def _below_any(path: bytes, prefixes: set[bytes]) -> bool:
    return bool(prefixes) and any(above in prefixes for above in _ancestors(path))


def _ancestors(path: bytes) -> Iterator[bytes]:
    yield path
    while (cut := path.rfind(b"/")) >= 0:
        path = path[:cut]
        yield path
