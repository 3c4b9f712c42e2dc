"""Carrying trees from elsewhere into the vault: entries become rows and records as if their folders had been walked.

Chunks are cut as a folder's are, so that what the vault has already is not stored again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from strongroom.vault import record
from strongroom.vault.errors import SourceError
from strongroom.vault.feed import Carried, CarriedEntry, told
from strongroom.vault.messages import Counts, Draw, Drawn, Folder, Walked
from strongroom.vault.record import NOTHING, Own, Record, Row, Type
from strongroom.vault.state import NO_DIGEST, Known
from strongroom.vault.tools import Tools
from strongroom.vault.walk import MOST_ENTRIES, Series

_LONGEST_NAME = 255
# Records and counts are told after so many bytes of records, or of content.
_TELL_RECORDS, _TELL_CONTENT = 256 << 10, 32 << 20


class _Open(NamedTuple):
    """A folder whose entries are still coming."""

    path: bytes
    own: Own
    references: bytes
    rows: list[Row]


class Carrying:
    """One series' trees, carried once."""

    def __init__(self, carried: Carried, series: Series, draw: Draw, tools: Tools) -> None:
        self._carried, self._draw, self._tools = carried, draw, tools
        tools.begin(draw.series, series.alone)
        tools.held[draw.series] = carried
        self._content = tools.content(frozenset(), self._count_bytes, None)
        self._counts = Counts()
        self._open: list[_Open] = []
        self._folders: list[Folder] = []
        self._bytes = 0

    def run(self) -> None:
        """Carry all of it. Raise SourceError where that fails."""
        for entry in self._entries():
            self._take(entry)
        self._close_to(b"")
        self._report()
        self._tools.send(Drawn(self._draw.task, b"", None, {}))

    def _entries(self) -> Iterator[CarriedEntry]:
        """What comes; whatever its maker raises is the failure of this series alone."""
        entries = self._carried.entries()
        while True:
            try:
                entry = next(entries, None)
            except Exception as error:
                raise SourceError(told(error)) from error
            if entry is None:
                return
            yield entry

    def _count_bytes(self, read: int) -> None:
        self._counts.bytes_read += read

    # --- entries --------------------------------------------------------------------------------------------------

    def _take(self, entry: CarriedEntry) -> None:
        above, _, name = entry.path.rpartition(b"/")
        self._close_to(above)
        self._place(above, name, entry)
        row = self._stored(entry)._replace(name=name)
        self._counts.entries += 1
        if row.type == Type.DIR:
            if self._open:
                self._open[-1].rows.append(Row(name, Type.DIR))
            self._open.append(_Open(entry.path, _own(row), row.references, []))
            return
        self._counts.seen += 1
        self._counts.changed += 1
        self._counts.size += row.size if row.type == Type.FILE else 0
        self._open[-1].rows.append(row)
        if self._counts.bytes_read >= _TELL_CONTENT:
            self._report()

    def _place(self, above: bytes, name: bytes, entry: CarriedEntry) -> None:
        """Raise SourceError where no tree can hold an entry of this path after what came before."""
        path = entry.path
        if not self._open:
            top = entry.row.type == Type.DIR and name.decode("utf-8", "replace") in self._carried.names
            if above or not top:
                raise SourceError(f"{path!r} is in no tree that is carried")
            return
        rows = self._open[-1].rows
        if self._open[-1].path != above or (rows and rows[-1].name >= name):
            raise SourceError(f"{path!r} comes out of order")
        if not 0 < len(name) <= _LONGEST_NAME or b"\0" in name or name in (b".", b".."):
            raise SourceError(f"{path!r} is no name for a file")
        if len(rows) >= MOST_ENTRIES:
            raise SourceError(f"over the limit of {MOST_ENTRIES:,} entries in one folder")

    def _stored(self, entry: CarriedEntry) -> Row:
        """The row with its references: content, then large attributes."""
        row = entry.row
        if entry.content is not None:
            extents = ((0, row.size),) if entry.extents is None else entry.extents
            references, made = self._content.stored(entry.content, extents, entry.xattrs, row.extra.flags)
            extra = msgspec.structs.replace(
                row.extra, xattrs=made.xattrs, lengths=made.lengths, depth=made.depth, extents=entry.extents
            )
        else:
            xattrs, references = self._content.attributes.kept(entry.xattrs)
            extra = msgspec.structs.replace(row.extra, xattrs=xattrs)
        return row._replace(references=references, extra=NOTHING if extra == NOTHING else extra)

    # --- folders --------------------------------------------------------------------------------------------------

    def _close_to(self, above: bytes) -> None:
        """Finish the folders that nothing more can come into, now that something below ``above`` comes."""
        while self._open and self._open[-1].path != above:
            folder = self._open[-1]
            if above.startswith(folder.path + b"/"):
                return
            self._finish(self._open.pop())

    def _finish(self, folder: _Open) -> None:
        remark = folder.own.extra.remark
        remarks = [(b"", remark)] if remark else []
        own = msgspec.structs.replace(folder.own, extra=_plain(folder.own.extra))
        node = record.encode(Record(own, folder.rows, remarks, folder.references), self._tools.packer.node_key)
        files = [row for row in folder.rows if row.type != Type.DIR]
        size = sum([row.size for row in files if row.type == Type.FILE])
        # Without a digest, and with a defect to be on the safe side: nothing here was looked at in its folder.
        known = Known(NO_DIGEST, node.id, 0, True, len(files), size)
        self._folders.append(Folder(folder.path, known.pack(), node.references, node.data))
        self._bytes += len(node.references) + len(node.data)
        if self._bytes >= _TELL_RECORDS:
            self._report()

    def _report(self) -> None:
        nodes = self._tools.take_nodes()
        self._tools.send(Walked(self._draw.task, self._folders, nodes, [], [], [], self._counts))
        self._folders, self._counts, self._bytes = [], Counts(), 0


def _own(row: Row) -> Own:
    return Own(
        row.mode, row.uid, row.gid, row.mtime_s, row.mtime_ns, row.ctime_s, row.ctime_ns, row.inode, 0, row.extra
    )  # fmt: skip


def _plain(extra: record.Extra) -> record.Extra:
    """What a folder's own record says: its remark and defect stand in its remarks."""
    kept = msgspec.structs.replace(extra, remark="", defect="")
    return NOTHING if kept == NOTHING else kept
