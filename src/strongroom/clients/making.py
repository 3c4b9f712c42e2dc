"""One point of one account by foreign software, from the first look to the record.

The account is surveyed, and the sidecar written, before the tool reads; then the tool makes its set; then everything is looked
at again. What is not the same inode with the same ctime, and what the tool could not read, is read by ourselves, by descriptor,
into the set's small second part, with the corrections of the sidecar. So a point is true of the moment of the second look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from strongroom.clients.base import Monitor, RunHead, Task
from strongroom.clients.box import Bind
from strongroom.clients.exported import Younger, spooled, synchrony
from strongroom.clients.holdings import Holdings
from strongroom.clients.new_set import HOLES, LONGEST, NewSet
from strongroom.clients.numbered import Numbered, Read
from strongroom.clients.overlooked import Overlooked
from strongroom.clients.sidecar import GONE, Row, Sidecar, joined, sort_key, write
from strongroom.clients.tool import Held, Saved, Tool
from strongroom.clients.vault_copies import FileCopies
from strongroom.clients.vault_feed import iso
from strongroom.clients.vault_survey import Sight, Survey, remembered
from strongroom.clients.workroom import Workroom
from strongroom.model import DATABASES, Exported, FileCounts, FileType, Level, Point, Remark, Status, Synchrony, text

# Changed later than this before the survey began: a store through a mapped page may still come without a new ctime.
_FRESH = 60 * 1_000_000_000
_TELL_EVERY = 0.5


class Base(NamedTuple):
    """What a new point is compared with: the set it is built on (None: it is a full one), and the newest of the account.

    ``unseen`` are the first and the last moment (nanoseconds since 1970) of changes that the tool may take for older ones.
    ``sidecar`` is the newest's; ``before`` that of the parent, for a tool that overlooks changes, or what was moved.
    """

    parent: Held | None
    last: Held | None
    sidecar: Sidecar | None
    before: Sidecar | None = None
    unseen: tuple[int, int] = (0, -1)


def unseen(links: Sequence[Held]) -> tuple[int, int]:
    """When a file may have changed that a set built on these does not have, since one was made later than its point's time.

    A tool that compares with the time of a set that was carried takes what changed between the two for old.
    """
    for link in links:
        if link.point.origin is not None:
            return _moment(link.point.started) - _FRESH, _moment(link.point.origin.carried) + _FRESH
    return 0, -1


class Making:
    """Makes one point."""

    def __init__(
        self, tool: Tool, holdings: Holdings, room: Workroom, series: str, task: Task, run: RunHead, monitor: Monitor
    ) -> None:
        self._tool, self._series = tool, series
        self._set = NewSet(tool, holdings, room, series)
        self._task, self._run, self._monitor = task, run, monitor
        self._selected = {place.tree for place in task.account.locations if place.select is not None}
        self._seen = self._changed = self._removed = self._entries = self._bytes = self._read = 0
        self._told = 0.0
        self._masks: dict[bytes, bool] = {}
        self._opened: float | None = None
        self._younger = Younger()

    def make(self, client: str, base: Base, spool: bytes, doubt: str) -> Point:
        """Make the point, in the tool's storage and in the ledger; ``doubt`` is why it cannot be relied on, or empty.

        Raise SourceError, ClientError.
        """
        started = time.time_ns()
        try:
            return self._make(client, base, spool, doubt, started)
        finally:
            if self._task.exports is not None:
                self._task.exports.release()

    def _make(self, client: str, base: Base, spool: bytes, doubt: str, started: int) -> Point:
        told, locations = spooled(self._task, os.path.join(spool, b"databases"))
        self._locations = locations
        self._survey = Survey(locations, self._task.account.users, self._run.excludes)
        self._copies = FileCopies(self._run.substitute)
        # Of a point that was carried here nobody noted which files are wanted by the substitute.
        self._noted = base.last is None or base.last.point.origin is None
        self._unseen = range(base.unseen[0], base.unseen[1] + 1)
        self._opened = told.opened
        walked = time.time_ns()
        first, second = os.path.join(spool, b"first"), os.path.join(spool, b"second")
        for folder in (first, os.path.join(first, b"apart"), second, os.path.join(second, b"late")):
            os.mkdir(folder, 0o700)
        sidecar = os.path.join(first, b"sidecar")
        self._numbered = Numbered(os.path.join(first, b"apart"), 1)
        write(sidecar, self._first_look(base, started))
        saved = self._save(first, base)
        if saved.level is Level.FULL and base.parent is not None:
            self._monitor.note(f"{self._task.account.name}: {self._tool.driver} had no set to build on; it made a full one")
            base = base._replace(parent=None)
        self._numbered = Numbered(os.path.join(second, b"late"), -1)
        corrections = list(self._second_look(Sidecar(sidecar), self._troubled(saved)))
        if doubt:
            self._survey.defects[b""] = doubt
            self._survey.remarks.append(Remark(path=b"", message=doubt))
        point = self._point(client, base, started, saved, told, synchrony(told, walked, time.time_ns(), self._younger))
        held = Held(point=point, series=self._series, data=saved.handle)
        return self._set.commit(held, second, sidecar, corrections)

    # --- the first look -------------------------------------------------------------------------------------------

    def _first_look(self, base: Base, started: int) -> Iterator[Row]:
        trusting = base.sidecar is not None and self._task.level is not Level.FULL
        horizon = _moment(base.last.point.started) - _FRESH if base.last is not None and trusting else 0
        before = base.sidecar.rows() if base.sidecar is not None else iter(())
        made = _moment(base.parent.point.finished) / 1e9 if base.parent is not None else 0.0
        self._overlooked = Overlooked(self._tool, base.before, made)
        for _, last, sight in joined(before, self._survey.look()):
            if sight is None:
                self._removed += last is not None and last.kind != FileType.DIR
                continue
            row = self._surveyed(sight, last, horizon)
            if row is None:
                continue
            if row.kind != FileType.DIR:
                self._seen += 1
                self._changed += last is None or last.identity != row.identity or last.digest != row.digest
            self._tell()
            yield row
        self._read += self._survey.bytes_read
        self._masks |= self._survey.masked

    def _surveyed(self, sight: Sight, last: Row | None, horizon: int) -> Row | None:
        row = self._survey.stat_row(sight)
        kept = remembered(row, last, horizon)
        place = self._set.place(sight.path)
        if sight.kind is FileType.DIR and len(place) > LONGEST >= len(os.path.dirname(place)):
            self._masks[sight.path] = True
        if sight.kind is FileType.FILE and not self._survey.foreign(sight):
            if self._copies.companion(sight.path):
                self._masks[sight.path] = False
                return None
            if self._copies.wants(sight, kept if self._noted else None):
                self._masks[sight.path] = False
                return self._carry(sight, self._copies.reader(self._survey))
            holes = self._mostly_holes(sight)
            if holes and len(place) <= LONGEST:
                self._masks[sight.path] = False
            if holes or self._apart(sight.path) or sight.status.st_ctime_ns in self._unseen:
                return self._carry(sight)
        now = kept or self._survey.read(sight)
        return self._carry(sight) if now is not None and self._overlooked.has(now) else now

    def _apart(self, path: bytes) -> bool:
        """Whether a file is carried by us as a numbered one, since the tool does not bring it back under its name."""
        return text(path.partition(b"/")[0]) in self._selected or not self._set.holds(path)

    def _mostly_holes(self, sight: Sight) -> bool:
        """Whether a file has so many holes that a tool which does not see them would read, and write, for ever."""
        empty = sight.status.st_size - 512 * sight.status.st_blocks
        return "holes" not in self._tool.keeps and empty > HOLES

    def _carry(self, sight: Sight, read: Read | None = None) -> Row | None:
        """Read a file ourselves (``read``: in another way than others) into the next numbered one."""
        return self._numbered.take(sight, read or self._survey.read)

    # --- the set --------------------------------------------------------------------------------------------------

    def _save(self, spool: bytes, base: Base) -> Saved:
        folders = [
            Bind(source=place.path, place=place.tree.encode()) for place in self._locations if place.select is None
        ]
        self._monitor.progress(accounts=self._task.account.name, done=self._counts(), expected_entries=self._seen)
        masks = tuple(self._outer_masks())
        return self._set.save(folders, spool, parent=base.parent, level=self._task.level, masks=masks, progress=self._copied)

    def _copied(self, files: int, size: int) -> None:
        done = FileCounts(seen=files, bytes_read=size)
        self._monitor.progress(accounts=self._task.account.name, done=done, expected_entries=self._seen)

    def _outer_masks(self) -> Iterator[tuple[bytes, bool]]:
        """What is hidden from the tool, without what lies in hidden folders, or in trees that it is not shown."""
        hidden = b"\0"
        for path in sorted(self._masks, key=sort_key):
            if text(path.partition(b"/")[0]) in self._selected or path.startswith(hidden):
                continue
            yield path, self._masks[path]
            hidden = path + b"/"

    def _troubled(self, saved: Saved) -> dict[bytes, str]:
        """What the tool could not read, by stored path; trouble without a path stands under the empty one."""
        top = self._set.place(b"")
        found: dict[bytes, str] = {}
        for trouble in saved.troubles:
            found[trouble.path.removeprefix(top) if trouble.path.startswith(top) else b""] = trouble.message
        return found

    # --- the second look ------------------------------------------------------------------------------------------

    def _second_look(self, first: Sidecar, troubled: dict[bytes, str]) -> Iterator[Row]:
        """The corrections that the sidecar needs; counts what the point holds."""
        unmatched = set(troubled)
        try:
            for path, before, sight in joined(first.rows(), self._survey.look()):
                unmatched.discard(path)
                row = self._seen_again(before, sight, troubled) if sight is not None else None
                if row is None:
                    if before is not None:
                        yield Row(path=path, kind=GONE)
                    continue
                self._entries += 1
                self._note_younger(row)
                self._bytes += row.size if row.kind == FileType.FILE else 0
                self._tell()
                if row is not before:
                    yield row
        finally:
            first.close()
        self._read += self._survey.bytes_read
        # Trouble with something that we never saw under that name: what it hurt, nobody knows.
        for path in sorted(unmatched):
            self._survey.defects[path] = message = f"{self._tool.driver}: {troubled[path]}"
            self._survey.remarks.append(Remark(path=path, message=message))

    def _note_younger(self, row: Row) -> None:
        """Count what changed after the databases' first transaction was opened."""
        if self._opened is None or row.kind == FileType.DIR or row.path.startswith(DATABASES.encode() + b"/"):
            return
        if row.ctime[0] + row.ctime[1] / 1e9 >= self._opened:
            self._younger.add(row.path)

    def _seen_again(self, before: Row | None, sight: Sight, troubled: dict[bytes, str]) -> Row | None:
        self._copies.say(sight.path, self._survey)
        if self._copies.taken(sight.path) or self._copies.companion(sight.path):
            return before
        same = before is not None and not before.defect and self._survey.stat_row(sight).identity == before.identity
        if sight.kind is not FileType.FILE:
            return before if same and sight.kind is not FileType.SOCKET else self._survey.read(sight)
        if same and not (troubled and _touches(sight.path, troubled)):
            return before
        if self._survey.foreign(sight):
            return self._survey.read(sight)
        return self._carry(sight)

    # --- the record -----------------------------------------------------------------------------------------------

    def _point(self, client: str, base: Base, started: int, saved: Saved, told: Exported, in_step: Synchrony) -> Point:
        account, survey = self._task.account, self._survey
        lost = [
            Remark(path=tree.encode(), message=f"there is no folder {text(path)}: nothing of it was backed up")
            for tree, path in (account.absent if self._task.only != DATABASES else ())
        ]
        whole = not survey.defects and not lost and not told.incomplete
        level = self._task.level if base.parent is not None else Level.FULL
        begun, ended = iso(started), iso(time.time_ns())
        return Point(
            id=self._set.id,
            account=account.name,
            time=begun,
            level=level,
            client=client,
            status=Status.COMPLETE if whole else Status.INCOMPLETE,
            run=self._run.id,
            seq=1 + (base.last.point.seq if base.last is not None else 0),
            domains=account.domains,
            server=self._run.server,
            parent=base.parent.point.id if base.parent is not None else None,
            started=begun,
            finished=ended,
            files=self._counts(),
            entries=self._entries,
            bytes=self._bytes,
            stored_bytes=saved.bytes,
            databases=told.databases,
            synchrony=in_step,
            warnings=(*lost, *told.remarks, *survey.remarks),
            only=self._task.only,
        )

    def _counts(self) -> FileCounts:
        unchanged = self._seen - self._changed
        return FileCounts(
            seen=self._seen, changed=self._changed, unchanged=unchanged, removed=self._removed, bytes_read=self._read
        )

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told > _TELL_EVERY:
            self._told = now
            self._monitor.progress(accounts=self._task.account.name, done=self._counts(), expected_entries=0)


def _touches(path: bytes, troubled: dict[bytes, str]) -> bool:
    """Whether trouble was told of a path, or of a folder above it."""
    while path:
        if path in troubled:
            return True
        path = path.rpartition(b"/")[0]
    return False


def _moment(told: str) -> int:
    return int(datetime.fromisoformat(told).timestamp() * 1_000_000_000)
