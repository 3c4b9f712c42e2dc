"""Drawing a feed: its files become rows and records like those of folders, cut and stored as they come.

A file's size and chunks are known at its end; a few mebibytes of it are in memory, and none on a disk in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import itemgetter
from typing import TypeVar

from strongroom.vault import record
from strongroom.vault.cutting import Cutter, Pieces
from strongroom.vault.errors import SourceError, VaultError
from strongroom.vault.feed import Feed, FeedFile, told
from strongroom.vault.messages import Counts, Draw, Drawn, Folder, Remark, Walked
from strongroom.vault.prefixing import LEAST, LastVersion
from strongroom.vault.record import NOTHING, Defect, Extra, Own, Record, Row, Type
from strongroom.vault.state import NO_DIGEST, Known
from strongroom.vault.tools import Tools
from strongroom.vault.walk import MOST_ENTRIES, Series

# The coordinating process hears how far a large file is after so many bytes.
_TELL_EVERY = 32 << 20
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_LONGEST_NAME = 255
_BILLION = 1_000_000_000
_T = TypeVar("_T")


class Drawing:
    """One feed, drawn once."""

    def __init__(self, feed: Feed, series: Series, draw: Draw, tools: Tools) -> None:
        self._feed, self._draw, self._tools = feed, draw, tools
        tools.begin(draw.series, series.alone)
        tools.held[draw.series] = feed
        self._rows: dict[bytes, dict[bytes, Row]] = {self._feed.name.encode(): {}}
        self._records_before = self._last_records()
        self._rows_before: dict[bytes, dict[bytes, Row]] = {}
        self._counts = Counts()
        self._remarks: list[Remark] = []

    def run(self) -> None:
        """Draw all of it. Raise SourceError when the feed fails."""
        files = self._from_feed(self._feed.files)
        cutter = self._tools.cutter()
        while (file := self._from_feed(lambda: next(files, None))) is not None:
            self._file(file, cutter)
        result = self._from_feed(self._feed.result)
        self._report(self._records(), self._removed())
        roots = {name: bytes(path) for name, path in self._feed.roots.items()}
        self._tools.send(Drawn(self._draw.task, result, self._feed.opened_ns, roots))

    def _from_feed(self, asked: Callable[[], _T]) -> _T:
        """What the producer answers; whatever it raises is its own failure and not the run's."""
        try:
            return asked()
        except Exception as error:
            raise self._refused(told(error)) from error

    def _refused(self, why: str) -> SourceError:
        return SourceError(f"{self._feed.name}: {why}")

    # --- files ----------------------------------------------------------------------------------------------------

    def _file(self, file: FeedFile, cutter: Cutter) -> None:
        folder, name = self._place(file.path)
        before = self._before(folder).get(name)
        version = self._last_version(before)
        stream = Pieces(lambda: self._from_feed(lambda: next(file.pieces, None)))
        ids: list[bytes] = []
        lengths: list[int] = []
        for data in stream.chunks(cutter):
            ids.append(self._tools.packer.data(data, version))
            lengths.append(len(data))
            self._counts.bytes_read += len(data)
            if self._counts.bytes_read >= _TELL_EVERY:
                self._report([], [])
        if file.failure:
            row = _row(name, 0, b"", Extra(defect=Defect.UNREAD, remark=file.failure))
            self._remarks.append(Remark(folder + b"/" + name, file.failure, True))
        else:
            references, sizes, depth = cutter.listed(b"".join(ids), lengths)
            extra = Extra(lengths=sizes, depth=depth) if sizes or depth else NOTHING
            row = _row(name, sum(lengths), references, extra)
        self._rows[folder][name] = row
        self._count(row, before)

    def _count(self, row: Row, before: Row | None) -> None:
        self._counts.seen += 1
        self._counts.entries += 1
        self._counts.size += row.size
        same = before is not None and (before.references, before.extra) == (row.references, row.extra)
        if same and not row.extra.defect:
            self._counts.unchanged += 1
        else:
            self._counts.changed += 1

    def _place(self, path: bytes) -> tuple[bytes, bytes]:
        """The folder of a file, made with those above it, and its name. Raise SourceError where no tree can hold it."""
        *above, name = path.split(b"/")
        for part in (*above, name):
            if not 0 < len(part) <= _LONGEST_NAME or b"\0" in part or part in (b".", b".."):
                raise self._refused(f"{path!r} is no name for a file")
        folder = self._feed.name.encode()
        for part in above:
            below = folder + b"/" + part
            if below not in self._rows:
                self._enter(folder, Row(part, Type.DIR), path)
                self._rows[below] = {}
            folder = below
        self._enter(folder, Row(name, Type.FILE), path)
        return folder, name

    def _enter(self, folder: bytes, row: Row, path: bytes) -> None:
        rows = self._rows[folder]
        if row.name in rows:
            raise self._refused(f"{path!r} comes in the place of another file")
        if len(rows) >= MOST_ENTRIES:
            raise self._refused(f"over the limit of {MOST_ENTRIES:,} entries in one folder")
        rows[row.name] = row

    # --- last time's ----------------------------------------------------------------------------------------------

    def _last_records(self) -> dict[bytes, bytes]:
        """The ids of last time's records by path; none where they cannot be found any more."""
        if not self._draw.last:
            return {}
        reader = self._tools.reader
        try:
            return dict(reader.directories(reader.snapshot(self._draw.last), self._feed.name.encode()))
        except VaultError:
            return {}

    def _before(self, folder: bytes) -> dict[bytes, Row]:
        """Last time's rows of a folder by name; none where its record is not there or cannot be read."""
        if folder not in self._rows_before:
            rows: list[Row] = []
            if (id := self._records_before.get(folder)) is not None:
                try:
                    rows = self._tools.reader.record(id).rows
                except VaultError:
                    rows = []  # damaged: nothing is compared with it, and everything stored all the same
            self._rows_before[folder] = {row.name: row for row in rows}
        return self._rows_before[folder]

    def _last_version(self, before: Row | None) -> LastVersion | None:
        """What a large file held last time, for its new chunks to be compressed against."""
        if before is None or before.type != Type.FILE or before.size < LEAST:
            return None
        reader = self._tools.reader
        try:
            return LastVersion(reader.references(before), reader.lengths(before))
        except VaultError:
            return None  # damaged: it is stored as if it were new

    def _removed(self) -> list[bytes]:
        """Last time's folders that are gone; files that are gone are counted."""
        for folder, rows in self._rows.items():
            for row in self._before(folder).values():
                if row.type == Type.FILE and row.name not in rows:
                    self._counts.removed += 1
        return [path for path in self._records_before if path not in self._rows]

    # --- results --------------------------------------------------------------------------------------------------

    def _records(self) -> list[Folder]:
        now = divmod(time.time_ns(), _BILLION)
        folders = []
        for path, rows in self._rows.items():
            ordered = sorted(rows.values(), key=itemgetter(0))
            made = Record(Own(_FOLDER_MODE, 0, 0, *now, *now, 0), ordered, [])
            node = record.encode(made, self._tools.packer.node_key)
            files = [row for row in ordered if row.type == Type.FILE]
            # Without a digest, and with a defect to be on the safe side: a feed is drawn anew each time.
            known = Known(NO_DIGEST, node.id, 0, True, len(files), sum([row.size for row in files]))
            folders.append(Folder(path, known.pack(), node.references, node.data))
        self._counts.entries += len(folders)
        return folders

    def _report(self, folders: list[Folder], removed: list[bytes]) -> None:
        nodes = self._tools.take_nodes()
        self._tools.send(Walked(self._draw.task, folders, nodes, removed, self._remarks, [], self._counts))
        self._remarks, self._counts = [], Counts()


def _row(name: bytes, size: int, references: bytes, extra: Extra) -> Row:
    """A file of root's that was made just now."""
    now = divmod(time.time_ns(), _BILLION)
    return Row(name, Type.FILE, _FILE_MODE, 0, 0, size, *now, *now, 0, 1, references, extra)
