"""A worker's walk over the folders of an account: what is unchanged is recognised, what is not is recorded anew.

Folders are opened one below the other by descriptor, without following links; a folder that is a link when it is opened is
no folder. The walk gives folders away when another worker has nothing to do.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import NamedTuple

import msgspec

from strongroom.vault import bases
from strongroom.vault.errors import SourceError
from strongroom.vault.feed import Carried, Feed
from strongroom.vault.findings import Findings
from strongroom.vault.messages import Donate, Work
from strongroom.vault.recording import Recorder
from strongroom.vault.scan import CLOCK_LAG, open_folder, scan
from strongroom.vault.source import Filter, Source, Take
from strongroom.vault.state import Known, unpack
from strongroom.vault.substitute import Substitute
from strongroom.vault.tools import HUNGRY, ROTATE, Tools

# Changed later than this before the scan began: a store through a mapped page may still come without a new ctime.
FRESH = 60 * 1_000_000_000
_DEEPEST = 4000
# A folder with more entries than this is over the limit: its record alone would fill the memory.
MOST_ENTRIES = 2_000_000
_MOUNTED = "another file system is mounted here: left out"
_VANISHED = "vanished before it could be read"
_NONE: frozenset[str] = frozenset()


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
    """An open folder of the walk, the device it is on, and the folders in it that are still to come."""

    fd: int
    path: bytes
    device: int
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
    """Walks tasks of one series that are compared with one snapshot, one at a time."""

    def __init__(self, series: Series, work: Work, tools: Tools, depth: int) -> None:
        self._series, self._tools, self._depth = series, tools, depth
        self._shared, self._key = tools.shared, tools.digest_key
        self._filters = [Filter(source) for source in series.sources]
        self._base = bases.load(tools.state, work.base, lambda: tools.reader) if work.base else {}
        self._recorder = Recorder(tools, series.owners, series.substitute, self._base)

    def run(self, work: Work) -> None:
        """Walk one task's folders and what is below them. Raise SourceError when the source itself cannot be opened."""
        base, once = work.base, work.recheck is not None
        self._work, self._source, self._filter = work, self._series.sources[work.source], self._filters[work.source]
        self._use_digest = base is not None and base.trusted and base.digests and not once
        self._horizon = base.scan_started - FRESH if base else 0
        younger_than = None if once or work.opened_ns is None else work.opened_ns - CLOCK_LAG
        self._findings = Findings(work.task, younger_than, self._tools.send, self._tools.take_nodes)
        self._tools.begin(work.series, self._series.alone)
        self._sound = self._tools.all_sound
        root = self._open_root()
        try:
            device = os.fstat(root).st_dev
            self._recorder.begin(work, self._findings, device, self._horizon)
            for path in work.paths:
                self._from(root, device, path, below=not once)
        finally:
            os.close(root)
        self._findings.tell()

    # --- the walk -------------------------------------------------------------------------------------------------

    def _open_root(self) -> int:
        try:
            return open_folder(self._work.root or self._source.path)
        except OSError as error:
            where = (self._work.root or self._source.path).decode("utf-8", "backslashreplace")
            raise SourceError(f"cannot open {where}: {error.strerror}; nothing of it was backed up") from error

    def _from(self, root: int, device: int, path: bytes, *, below: bool) -> None:
        """Open a folder by the components of its path, and walk from there (or look at it alone)."""
        fd, own, above = os.dup(root), os.fstat(root), path.partition(b"/")[0]
        for name in path.split(b"/")[1:]:
            try:
                inner = open_folder(name, fd)
            except OSError as error:
                self._unopened(fd, path, os.fsdecode(name), error)
                os.close(fd)
                return
            os.close(fd)
            fd, own, above = inner, os.fstat(inner), above + b"/" + name
            if self._beyond(above, own, device):
                self._recorder.placeholder(path, own, _MOUNTED, defect=False)
                os.close(fd)
                return
            device = own.st_dev
        stack = [_Level(fd, path, device, self._visit(fd, path, own))]
        try:
            while below and stack:
                if self._shared[HUNGRY]:
                    self._donate(stack)
                level = stack[-1]
                if level.folders:
                    self._descend(stack, level, level.folders.pop())
                else:
                    os.close(stack.pop().fd)
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
        if self._beyond(path, own, level.device):
            self._recorder.placeholder(path, own, _MOUNTED, defect=False)
        elif len(stack) >= self._depth:
            self._recorder.placeholder(path, own, f"over the limit of {self._depth} levels: left out", defect=True)
        elif folders := self._visit(fd, path, own):
            stack.append(_Level(fd, path, own.st_dev, folders))
            return
        os.close(fd)

    def _beyond(self, path: bytes, own: os.stat_result, device: int) -> bool:
        """Whether a folder is on another file system than the one it is in, and nobody asked for it by name."""
        return own.st_dev != device and not self._filter.leads(self._below(path))

    def _below(self, path: bytes) -> bytes:
        return path[len(self._source.name) + 1 :]

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

    def _unopened(self, parent: int, path: bytes, name: str, error: OSError) -> None:
        """A folder that could not be opened: gone, swapped for something else, or closed to us."""
        self._findings.removed.append(path)
        if error.errno == errno.ENOENT:
            self._findings.remark(path, _VANISHED, defect=False)
            return
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            self._findings.remark(path, "swapped for something else while it was backed up", defect=True)
            return
        try:
            own = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            self._findings.remark(path, _VANISHED, defect=False)
            return
        self._recorder.placeholder(path, own, f"could not be read: {error.strerror}", defect=True)

    # --- one folder -----------------------------------------------------------------------------------------------

    def _visit(self, fd: int, path: bytes, own: os.stat_result) -> list[str]:
        """Recognise or record a folder; returns the folders in it that are to be walked."""
        try:
            look = scan(fd, own, self._key)
        except OSError as error:
            self._recorder.placeholder(path, own, f"could not be read: {error.strerror}", defect=True)
            return []
        if len(look.names) + len(look.folders) > MOST_ENTRIES:
            self._recorder.placeholder(path, own, f"over the limit of {MOST_ENTRIES:,} entries: left out", defect=True)
            return []
        folders, left_out = look.folders, _NONE
        below = self._below(path)
        if self._filter.touches(below):
            folders = [name for name in folders if self._take(below, name, folder=True) is not Take.NOTHING]
            left_out = frozenset(n for n in look.names if self._take(below, n, folder=False) is not Take.ALL)
        packed = self._base.get(path)
        known = unpack(packed) if packed is not None else None
        if known is not None and self._use_digest and known.digest == look.digest and self._reusable(known):
            self._findings.same(known)
        else:
            self._recorder.record(fd, path, look, folders, left_out, known)
        if self._shared[ROTATE]:
            self._shared[ROTATE] = 0
            self._tools.rotate()
        return folders

    def _reusable(self, known: Known) -> bool:
        if known.defect or known.newest >= self._horizon:
            return False
        return self._sound or not self._tools.is_lost(known.record)

    def _take(self, below: bytes, name: str, *, folder: bool) -> Take:
        encoded = os.fsencode(name)
        return self._filter.take(below + b"/" + encoded if below else encoded, folder=folder)
