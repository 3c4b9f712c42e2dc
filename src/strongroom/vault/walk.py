"""A worker's walk over the folders of an account: what is unchanged is recognised, what is not is read.

Folders are opened one below the other by descriptor, without following links; a folder that is a link when it is opened is
no folder. The walk gives folders away when another worker has nothing to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from operator import itemgetter
from typing import NamedTuple

import msgspec

from strongroom.vault import content, record
from strongroom.vault.content import ContentReader
from strongroom.vault.errors import AbsentError, DamagedError, SourceError, VaultError
from strongroom.vault.feed import Carried, Feed
from strongroom.vault.messages import MOST_YOUNGER, Base, Counts, Donate, Folder, Linked, Remark, Walked, Work
from strongroom.vault.reader import Reader
from strongroom.vault.record import NOTHING, Defect, Extra, Own, Record, Row, Type
from strongroom.vault.scan import CLOCK_LAG, Scan, newest, open_folder, scan
from strongroom.vault.source import Filter, Source, Take
from strongroom.vault.state import NO_DIGEST, Known, undigested, unpack
from strongroom.vault.substitute import Substitute, companions, mains
from strongroom.vault.tools import HUNGRY, ROTATE, Tools

# Changed later than this before the scan began: a store through a mapped page may still come without a new ctime.
FRESH = 60 * 1_000_000_000
_BATCH_FOLDERS = 200
_BATCH_ENTRIES = 20_000
_BATCH_BYTES = 256 << 10
_DEEPEST = 4000
# A folder with more entries than this is over the limit: its record alone would fill the memory.
MOST_ENTRIES = 2_000_000
_MOUNTED = "another file system is mounted here: left out"
_BILLION = 1_000_000_000


class Series(msgspec.Struct, frozen=True):
    """What a worker must know of an account: its sources, whose files with several links are its own, whether it shares
    chunks with all (no name) or only with what is stored under the same name, its feed, and what copies files in place of us.
    """

    sources: tuple[Source, ...]
    owners: frozenset[int]
    alone: str
    feed: Feed | Carried | None = None
    substitute: Substitute | None = None


class _Level(NamedTuple):
    """An open folder of the walk, and the folders in it that are still to come."""

    fd: int
    path: bytes
    folders: list[str]


def raise_descriptor_limit() -> int:
    """Let the walk hold a descriptor for each level; returns how deep it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DEEPEST + 96
    if soft != resource.RLIM_INFINITY and soft < wanted:
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return max(wanted - 96, 16)
    return _DEEPEST


class Walker:
    """Walks tasks of one series at a time."""

    def __init__(self, series: Series, work: Work, tools: Tools, depth: int) -> None:
        self._series, self._tools, self._depth = series, tools, depth
        self._shared = tools.shared
        self._filters = [Filter(source) for source in series.sources]
        self._base = _load_base(tools, work.base) if work.base else {}
        self._below: dict[bytes, list[bytes]] | None = None
        self._reading: ContentReader | None = None
        self._links: dict[int, tuple[int, int, Row]] = {}
        self._start(work)

    def _start(self, work: Work) -> None:
        self._work = work
        self._source = self._series.sources[work.source]
        self._filter = self._filters[work.source]
        base = work.base
        self._trusted = base is not None and base.trusted
        self._use_digest = self._trusted and base is not None and base.digests and work.recheck is None
        self._horizon = base.scan_started - FRESH if base else 0
        self._trusted_links = work.recheck or {}
        opened = work.opened_ns if work.recheck is None else None
        self._younger_than = None if opened is None else opened - CLOCK_LAG
        self._counts = Counts()
        self._folders: list[Folder] = []
        self._bytes = 0
        self._removed: list[bytes] = []
        self._remarks: list[Remark] = []
        self._linked: list[Linked] = []
        self._younger: list[bytes] = []
        self._younger_count = 0

    def _read_bytes(self, size: int) -> None:
        self._counts.bytes_read += size

    def _content(self) -> ContentReader:
        """What reads this series' files; made when there is one to read, since it needs the keys."""
        if self._reading is None:
            self._reading = self._tools.content(self._series.owners, self._read_bytes, self._series.substitute)
        self._reading.enter(self._device, self._trusted_links)
        return self._reading

    # --- the walk -------------------------------------------------------------------------------------------------

    def run(self, work: Work) -> None:
        """Walk one task's folders and what is below them. Raise SourceError when the source itself cannot be opened."""
        self._start(work)
        self._tools.begin(work.series, self._series.alone)
        root = self._open_root()
        try:
            self._device = os.fstat(root).st_dev
            for path in work.paths:
                self._from(root, path)
        finally:
            os.close(root)
        self._report()

    def _open_root(self) -> int:
        try:
            return open_folder(self._work.root or self._source.path)
        except OSError as error:
            where = (self._work.root or self._source.path).decode("utf-8", "backslashreplace")
            raise SourceError(f"cannot open {where}: {error.strerror}; nothing of it was backed up") from error

    def _from(self, root: int, path: bytes) -> None:
        """Open a folder by the components of its path, and walk from there."""
        fd = os.dup(root)
        for name in path.split(b"/")[1:]:
            try:
                below = open_folder(name, fd)
            except OSError as error:
                self._unopened(fd, path, os.fsdecode(name), error)
                os.close(fd)
                return
            os.close(fd)
            fd = below
        own = os.fstat(fd)
        if own.st_dev != self._device:
            self._placeholder(path, own, _MOUNTED, defect=False)
            os.close(fd)
            return
        stack = [_Level(fd, path, self._visit(fd, path, own))]
        try:
            while stack:
                level = stack[-1]
                if not level.folders or self._work.recheck is not None:
                    os.close(stack.pop().fd)
                    continue
                if self._shared[HUNGRY]:
                    self._donate(stack)
                    if not level.folders:
                        continue
                self._descend(stack, level, level.folders.pop())
        finally:
            for level in stack:
                os.close(level.fd)

    def _descend(self, stack: list[_Level], level: _Level, name: str) -> None:
        path = level.path + b"/" + os.fsencode(name)
        try:
            fd = open_folder(name, level.fd)
        except OSError as error:
            self._unopened(level.fd, path, name, error)
            return
        own = os.fstat(fd)
        if own.st_dev != self._device:
            self._placeholder(path, own, _MOUNTED, defect=False)
        elif len(stack) >= self._depth:
            self._placeholder(path, own, f"over the limit of {self._depth} levels: left out", defect=True)
        elif folders := self._visit(fd, path, own):
            stack.append(_Level(fd, path, folders))
            return
        os.close(fd)

    def _donate(self, stack: list[_Level]) -> None:
        """Give half of the topmost waiting folders to a worker that has none."""
        for level in stack:
            if len(level.folders) > 1 or (level.folders and level is not stack[-1]):
                self._shared[HUNGRY] = 0
                given = level.folders[: (len(level.folders) + 1) // 2]
                del level.folders[: len(given)]
                paths = [level.path + b"/" + os.fsencode(name) for name in given]
                self._tools.send(Donate(self._work.task, paths))
                return

    # --- one folder -----------------------------------------------------------------------------------------------

    def _visit(self, fd: int, path: bytes, own: os.stat_result) -> list[str]:
        """Recognise or record a folder; returns the folders in it that are to be walked."""
        try:
            look = scan(fd, own, self._tools.digest_key)
        except OSError as error:
            self._placeholder(path, own, f"could not be read: {error.strerror}", defect=True)
            return []
        if len(look.names) + len(look.folders) > MOST_ENTRIES:
            self._placeholder(path, own, f"over the limit of {MOST_ENTRIES:,} entries: left out", defect=True)
            return []
        folders = look.folders
        if not self._filter.trivial:
            folders = [name for name in folders if self._take(path, name, folder=True) is not Take.NOTHING]
        packed = self._base.get(path)
        known = unpack(packed) if packed is not None else None
        self._counts.entries += 1
        if known is not None and self._use_digest and known.digest == look.digest and self._reusable(known):
            self._counts.seen += known.entries
            self._counts.unchanged += known.entries
            self._counts.entries += known.entries
            self._counts.size += known.size
        else:
            self._record(fd, path, look, folders, known)
        if self._counts.entries > _BATCH_ENTRIES:
            self._report()
        if self._shared[ROTATE]:
            self._shared[ROTATE] = 0
            self._tools.rotate()
        return list(folders)

    def _reusable(self, known: Known) -> bool:
        return not known.defect and known.newest < self._horizon and not self._tools.is_lost(known.record)

    def _take(self, path: bytes, name: str, *, folder: bool) -> Take:
        below = path[len(self._source.name) + 1 :]
        encoded = os.fsencode(name)
        return self._filter.take(below + b"/" + encoded if below else encoded, folder=folder)

    def _record(self, fd: int, path: bytes, look: Scan, folders: list[str], known: Known | None) -> None:
        """Make a folder's record, reading what cannot be taken from last time's."""
        before = self._last_record(known)
        rows_before = {row.name: row for row in before.rows} if before else {}
        reading = self._content()
        remarks = [(os.fsencode(name), "vanished while its folder was read") for name in look.vanished]
        rows: list[Row] = []
        beside, again = self._beside(look, before)
        entries = zip(look.names, look.stats, strict=True)
        for name, stat in sorted(entries, key=lambda entry: entry[0] in beside) if beside else entries:
            if not self._filter.trivial and self._take(path, name, folder=False) is not Take.ALL:
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
                ctime = row.ctime_s * _BILLION + row.ctime_ns
                self._linked.append(Linked(row.inode, row.links, ctime, path, (look.own.st_ino, row.name)))
            if row == last:
                self._counts.unchanged += 1
            else:
                self._counts.changed += 1
        if self._younger_than is not None:
            self._tell_younger(path, rows, self._younger_than)
        files = len(rows)
        size = sum([row.size for row in rows if row.type == Type.FILE])
        rows.extend([Row(os.fsencode(name), Type.DIR) for name in folders])
        rows.sort(key=itemgetter(0))
        self._compare_names(path, rows, before)
        extra, references, unread = self._own_attributes(reading, fd, look.own, before)
        if unread:
            remarks.append((b"", unread))
        self._counts.seen += files
        self._counts.entries += files
        self._counts.size += size
        self._emit(path, look, Record(_own(look.own, extra), rows, remarks, references), files, size)

    def _beside(self, look: Scan, before: Record | None) -> tuple[dict[str, str], set[str]]:
        """Companions of files that the substitute may copy, each with that file's name; and the files to read again.

        What was written to such a file may stand in its companion alone, now or when it was copied last, and its own stat
        would not tell.
        """
        substitute = self._series.substitute
        if substitute is None:
            return {}, set()
        beside = companions(substitute, look.names, look.stats)
        told = [os.fsdecode(name) for name, _ in before.remarks] if before else []
        return beside, {*beside.values(), *mains(substitute, told)}

    def _tell_younger(self, path: bytes, rows: list[Row], than: int) -> None:
        """Note what was changed since the feed's moment. Folders that are used again by digest are older by a minute."""
        younger = [row.name for row in rows if row.ctime_s * _BILLION + row.ctime_ns >= than]
        self._younger_count += len(younger)
        self._younger += [path + b"/" + name for name in younger[: MOST_YOUNGER - len(self._younger)]]

    def _last_record(self, known: Known | None) -> Record | None:
        if known is None:
            return None
        try:
            return self._tools.reader.record(known.record)
        except VaultError:
            return None  # damaged: everything is read again, which heals it

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
            self._links[stat.st_ino] = (row.ctime_s * _BILLION + row.ctime_ns, row.size, row)
        return row

    def _as_before(self, last: Row, stat: os.stat_result) -> bool:
        if last.extra.defect or last.extra.remark or stat.st_ctime_ns >= self._horizon or not content.same(last, stat):
            return False
        return self._tools.all_there(last)

    def _compare_names(self, path: bytes, rows: list[Row], before: Record | None) -> None:
        """Count files that are gone, and tell of folders that are gone with all that was below."""
        if before is None:
            now = {row.name for row in rows if row.type == Type.DIR}
            self._removed += [path + b"/" + name for name in self._folders_before(path) if name not in now]
            return
        kinds = {row.name: row.type == Type.DIR for row in rows}
        for row in before.rows:
            was_folder = row.type == Type.DIR
            if kinds.get(row.name) is not was_folder:
                if was_folder:
                    self._removed.append(path + b"/" + row.name)
                else:
                    self._counts.removed += 1

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
            last = before.own
            same = (last.inode, last.ctime_s * _BILLION + last.ctime_ns) == (own.st_ino, own.st_ctime_ns)
            if same and not before.own_references:
                return last.extra, b"", ""
        try:
            return (*reading.folder(fd), "")
        except OSError as error:
            return NOTHING, b"", f"attributes could not be read: {error.strerror}"

    # --- results --------------------------------------------------------------------------------------------------

    def _emit(self, path: bytes, look: Scan, made: Record, files: int, size: int) -> None:
        node = record.encode(made, self._tools.packer.node_key)
        told = bool(made.remarks)
        for row in made.rows:
            if row.extra.remark:
                told = True
                defect = row.extra.defect in (Defect.UNREAD, Defect.CHANGED)
                self._remarks.append(Remark(path + b"/" + row.name, row.extra.remark, defect))
        for name, message in made.remarks:
            self._remarks.append(Remark(path + b"/" + name if name else path, message, not name))
        known = Known(look.digest, node.id, newest(look), told, files, size)
        self._add_folder(Folder(path, known.pack(), node.references, node.data))

    def _add_folder(self, folder: Folder) -> None:
        self._folders.append(folder)
        self._bytes += len(folder.references) + len(folder.body)
        if len(self._folders) >= _BATCH_FOLDERS or self._bytes > _BATCH_BYTES:
            self._report()

    def _report(self) -> None:
        nodes = self._tools.take_nodes()
        walked = Walked(
            self._work.task, self._folders, nodes, self._removed, self._remarks, self._linked, self._counts, self._younger,
            self._younger_count,
        )  # fmt: skip
        self._folders, self._removed, self._remarks, self._linked = [], [], [], []
        self._younger, self._younger_count = [], 0
        self._counts, self._bytes = Counts(), 0
        self._tools.send(walked)

    def _unopened(self, parent: int, path: bytes, name: str, error: OSError) -> None:
        """A folder that could not be opened: gone, swapped for something else, or closed to us."""
        self._removed.append(path)
        if error.errno == errno.ENOENT:
            self._remarks.append(Remark(path, "vanished before it could be read", False))
            return
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            self._remarks.append(Remark(path, "swapped for something else while it was backed up", True))
            return
        try:
            own = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            self._remarks.append(Remark(path, "vanished before it could be read", False))
            return
        self._placeholder(path, own, f"could not be read: {error.strerror}", defect=True)

    def _placeholder(self, path: bytes, own: os.stat_result, message: str, *, defect: bool) -> None:
        """The record of a folder whose content is left out: itself, and why. What was below last time is not there now."""
        self._removed.append(path)
        node = record.encode(Record(_own(own, NOTHING), [], [(b"", message)]), self._tools.packer.node_key)
        known = Known(NO_DIGEST, node.id, 0, True, 0, 0)
        self._remarks.append(Remark(path, message, defect))
        self._counts.entries += 1
        self._add_folder(Folder(path, known.pack(), node.references, node.data))


def _own(stat: os.stat_result, extra: Extra) -> Own:
    return Own(
        stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, *divmod(stat.st_mtime_ns, _BILLION),
        *divmod(stat.st_ctime_ns, _BILLION), stat.st_ino, 0, extra,
    )  # fmt: skip


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _load_base(tools: Tools, base: Base) -> dict[bytes, bytes]:
    """What a snapshot knew of each folder: as this machine remembers, else from the snapshot, without digests."""
    known = tools.state.load_base(base.file) if base.file else None
    return last_known(tools.reader, base.snapshot) if known is None else known


def last_known(reader: Reader, snapshot: str) -> dict[bytes, bytes]:
    """The records of a snapshot by path; what cannot be read of its map is not known, and so read again."""
    found: dict[bytes, bytes] = {}
    with contextlib.suppress(AbsentError, DamagedError):
        for head in reader.snapshot(snapshot).segments:
            with contextlib.suppress(AbsentError, DamagedError):
                found.update((path, undigested(id)) for path, id in reader.segment(head))
    return found
