"""Making a folder's record: rows that are as they were are last time's, everything else is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from operator import itemgetter

from strongroom.vault import record
from strongroom.vault.content import ContentReader
from strongroom.vault.errors import VaultError
from strongroom.vault.findings import Findings
from strongroom.vault.messages import Linked, Work
from strongroom.vault.record import NOTHING, Defect, Extra, Own, Record, Row, Type
from strongroom.vault.rows import same
from strongroom.vault.scan import Scan
from strongroom.vault.state import Known
from strongroom.vault.substitute import Substitute, companions, mains
from strongroom.vault.tools import Tools

_BILLION = 1_000_000_000


class Recorder:
    """Records the folders of one series; `begin` comes before the first of each task.

    ``base`` is what the snapshot that is compared with knew of each folder.
    """

    def __init__(
        self, tools: Tools, owners: frozenset[int], substitute: Substitute | None, base: Mapping[bytes, bytes]
    ) -> None:
        self._tools, self._owners, self._substitute, self._base = tools, owners, substitute, base
        self._below: dict[bytes, list[bytes]] | None = None
        self._reading: ContentReader | None = None
        # Files with several links, by inode: ctime, size and row, so that each is read once.
        self._links: dict[int, tuple[int, int, Row]] = {}

    def begin(self, work: Work, findings: Findings, device: int, horizon: int) -> None:
        """A task of a source on this device; what changed after the ``horizon`` (nanoseconds) is read again."""
        self._findings, self._device, self._horizon = findings, device, horizon
        self._trusted = work.base is not None and work.base.trusted
        self._trusted_links = work.recheck or {}

    def _read_bytes(self, size: int) -> None:
        self._findings.counts.bytes_read += size

    def _content(self, device: int) -> ContentReader:
        """What reads this series' files, in a folder on this device; made when there is one to read, since it needs the keys."""
        if self._reading is None:
            self._reading = self._tools.content(self._owners, self._read_bytes, self._substitute)
        self._reading.enter(device, self._trusted_links)
        return self._reading

    def record(self, fd: int, path: bytes, look: Scan, folders: list[str], left_out: Set[str], known: Known | None) -> None:
        """Record a folder with these folders in it, and with its files but for those ``left_out``."""
        before = self._last_record(known)
        rows_before = {row.name: row for row in before.rows} if before else {}
        reading = self._content(look.own.st_dev)
        remarks = [(os.fsencode(name), "vanished while its folder was read") for name in look.vanished]
        rows: list[Row] = []
        beside, again = self._beside(look, before)
        counts = self._findings.counts
        entries = zip(look.names, look.stats, strict=True)
        for name, stat in sorted(entries, key=lambda entry: entry[0] in beside) if beside else entries:
            if name in left_out:
                continue
            if beside and beside.get(name) in reading.copies:
                remarks.append((os.fsencode(name), f"left out: what it holds is in the copy of {_shown(beside[name])}"))
                continue
            last = rows_before.get(os.fsencode(name))
            row = self._row(reading, fd, name, stat, None if name in again else last)
            if row is None:
                remarks.append((os.fsencode(name), "vanished before it could be read"))
                continue
            rows.append(row)
            if row.extra.defect == Defect.FOREIGN and row.links > 1:
                place = (look.own.st_ino, row.name)
                self._findings.linked.append(Linked(row.inode, row.links, row.ctime, path, place))
            if row == last:
                counts.unchanged += 1
            else:
                counts.changed += 1
        self._findings.changed_late(path, rows)
        files = len(rows)
        size = sum([row.size for row in rows if row.type == Type.FILE])
        rows.extend([Row(os.fsencode(name), Type.DIR) for name in folders])
        rows.sort(key=itemgetter(0))
        self._compare_names(path, rows, before)
        extra, references, unread = self._own_attributes(reading, fd, look.own, before)
        if unread:
            remarks.append((b"", unread))
        made = Record(self._own(look.own, extra), rows, remarks, references)
        node = record.encode(made, self._tools.packer.node_key)
        self._findings.recorded(path, look, made, node, files, size)

    def placeholder(self, path: bytes, own: os.stat_result, message: str, *, defect: bool) -> None:
        """The record of a folder whose content is left out: itself, and why. What was below last time is not there now."""
        self._findings.removed.append(path)
        node = record.encode(Record(self._own(own, NOTHING), [], [(b"", message)]), self._tools.packer.node_key)
        self._findings.left_out(path, node, message, defect=defect)

    # --- one entry ------------------------------------------------------------------------------------------------

    def _row(self, reading: ContentReader, fd: int, name: str, stat: os.stat_result, last: Row | None) -> Row | None:
        if last is not None and self._trusted and self._as_before(last, stat):
            return last
        several = stat.st_nlink > 1 and stat.st_mode & 0o170000 == 0o100000
        if several:
            seen = self._links.get(stat.st_ino)
            if seen is not None and seen[:2] == (stat.st_ctime_ns, stat.st_size):
                return seen[2]._replace(name=os.fsencode(name))
        row = reading.row(fd, name, stat)
        if several and row is not None and not row.extra.defect:
            self._links[stat.st_ino] = (row.ctime, row.size, row)
        return row

    def _as_before(self, last: Row, stat: os.stat_result) -> bool:
        if last.extra.defect or last.extra.remark or stat.st_ctime_ns >= self._horizon or not same(last, stat):
            return False
        return self._tools.all_there(last)

    def _beside(self, look: Scan, before: Record | None) -> tuple[dict[str, str], set[str]]:
        """Companions of files that the substitute may copy, each with that file's name; and the files to read again.

        What was written to such a file may stand in its companion alone, now or when it was copied last, and its own stat
        would not tell.
        """
        substitute = self._substitute
        if substitute is None:
            return {}, set()
        beside = companions(substitute, look.names, look.stats)
        told = [os.fsdecode(name) for name, _ in before.remarks] if before else []
        return beside, {*beside.values(), *mains(substitute, told)}

    # --- last time ------------------------------------------------------------------------------------------------

    def _last_record(self, known: Known | None) -> Record | None:
        if known is None:
            return None
        try:
            return self._tools.reader.record(known.record)
        except VaultError:
            return None  # damaged: everything is read again, which heals it

    def _compare_names(self, path: bytes, rows: list[Row], before: Record | None) -> None:
        """Count files that are gone, and tell of folders that are gone with all that was below."""
        removed = self._findings.removed
        if before is None:
            now = {row.name for row in rows if row.type == Type.DIR}
            removed += [path + b"/" + name for name in self._folders_before(path) if name not in now]
            return
        kinds = {row.name: row.type == Type.DIR for row in rows}
        for row in before.rows:
            was_folder = row.type == Type.DIR
            if kinds.get(row.name) is not was_folder:
                if was_folder:
                    removed.append(path + b"/" + row.name)
                else:
                    self._findings.counts.removed += 1

    def _folders_before(self, path: bytes) -> list[bytes]:
        """The names of last time's folders in a folder, where its record cannot be read: by the map alone."""
        if self._below is None:
            self._below = {}
            for known in self._base:
                above, _, name = known.rpartition(b"/")
                self._below.setdefault(above, []).append(name)
        return self._below.get(path, [])

    def _own_attributes(
        self, reading: ContentReader, fd: int, own: os.stat_result, before: Record | None
    ) -> tuple[Extra, bytes, str]:
        """A folder's own extended attributes: last time's, or read now; and why they could not be."""
        if before is not None and self._trusted and own.st_ctime_ns < self._horizon:
            same = (before.own.inode, before.own.ctime) == (own.st_ino, own.st_ctime_ns)
            if same and not before.own_references:
                return before.own.extra, b"", ""
        try:
            return (*reading.folder(fd), "")
        except OSError as error:
            return NOTHING, b"", f"attributes could not be read: {error.strerror}"

    def _own(self, stat: os.stat_result, extra: Extra) -> Own:
        mount = int(stat.st_dev != self._device)
        return Own(
            stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, *divmod(stat.st_mtime_ns, _BILLION),
            *divmod(stat.st_ctime_ns, _BILLION), stat.st_ino, mount, extra,
        )  # fmt: skip


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
