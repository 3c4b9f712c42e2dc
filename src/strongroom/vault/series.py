"""One series (account) of a run, as the coordinating process sees it: what was asked, what came back, what it became."""

from __future__ import annotations

from collections.abc import Container, Iterator

import msgspec

from strongroom.vault.messages import Base, Counts, Linked, Remark, Walked
from strongroom.vault.parents import Parent
from strongroom.vault.source import Source
from strongroom.vault.state import unpack

# Remarks kept with a snapshot; of more, their number.
MOST_REMARKS = 2000
# The kernel stamps files by a clock that it sets at each tick, and so up to 10 ms behind (nanoseconds, and as much again).
_CLOCK_LAG = 20_000_000
# Bytes of all folders' paths together: a million ordinary folders have 80 MB, but one that is nested thousands deep has more.
MOST_PATH_BYTES = 512 << 20


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to back up as one series. ``owners``: the account's own users, whose files with several links are its own."""

    series: str
    level: str
    sources: tuple[Source, ...]
    owners: frozenset[int]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A series' snapshot as it is about to be committed. Times are nanoseconds since 1970; ``stored`` is bytes written."""

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
        self.finished = 0
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
            still = not states and ctime < self.started - _CLOCK_LAG
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
        if self.base is None or not self.base.digests or not self.base.trusted:
            self.counts.removed += sum(
                unpack(known).entries for path, known in base.items() if _below_any(path, self.removed)
            )
            return self.folders
        kept = dict(base)
        if self.removed:
            for path in [path for path in base if _below_any(path, self.removed)]:
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
            stored=self.stored, remarks=remarks,
        )  # fmt: skip


def _below_any(path: bytes, prefixes: set[bytes]) -> bool:
    return bool(prefixes) and any(above in prefixes for above in _ancestors(path))


def _ancestors(path: bytes) -> Iterator[bytes]:
    yield path
    while (cut := path.rfind(b"/")) >= 0:
        path = path[:cut]
        yield path
