"""Snapshots that others made in a repository, as points: one for each account whose folders such a snapshot holds.

Each stands alone. What a snapshot holds never changes, so it is looked into once; and nothing is asked as long as the
repository is as it was, or (on another host, where that cannot be seen) for an hour.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol

from blake3 import blake3

from strongroom.clients import adopted
from strongroom.clients.adopted import UNSIGNED, Adopted, Found, Link, by_account
from strongroom.clients.bringing import FEW
from strongroom.clients.places import Places
from strongroom.clients.sidecar import Row
from strongroom.config import Config
from strongroom.config.identity import server_id
from strongroom.config.values import Repository
from strongroom.errors import ClientError
from strongroom.model import FileType, Frozen, Level, ReadPlan, ReadStep

_WARNING = (
    "adopted from a {driver} that Strongroom did not run: whether files and databases are in step, and what was left out, "
    "nobody knows"
)
_SECONDS, _BYTES_PER_SECOND = 3.0, 60_000_000
_ASKED_AGAIN_SECONDS = 3600
_WILD = re.compile(r"[*?\[]")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")


class Snapshot(Frozen):
    """A snapshot: what its tool finds it by, the host that it was made on, and when (seconds since 1970)."""

    id: str
    host: str
    time: int


class Snapshots(Protocol):
    """What a tool with a repository has beside, so that others' snapshots can be adopted. Errors are ClientError."""

    driver: str

    def others(self) -> list[Snapshot]:
        """All that are not ours."""

    def folders(self, snapshot: str, globs: Sequence[str]) -> Iterator[str]:
        """The folders of a snapshot that shell patterns fit, by absolute paths; a wildcard fits no slash."""

    def listed(self, snapshot: str, folders: Sequence[str]) -> Iterator[Row]:
        """What is at and below folders of a snapshot, by absolute paths, in no order; others may be among it."""

    def fetch(self, snapshot: str, places: Sequence[bytes], target: bytes) -> None:
        """Bring back what is at absolute paths, with attributes, into an empty folder that stands for the root."""


class SnapshotAdoption:
    """The port `adopted.Adoption` over `Snapshots`; ``watched`` is the folder of a repository whose names change with it."""

    def __init__(self, tool: Snapshots, config: Config, name: str, folder: bytes, watched: str) -> None:
        settings = config.clients[name]
        assert isinstance(settings, Repository)  # noqa: S101  (its driver has one)
        self.driver = tool.driver
        self._tool, self._name, self._places = tool, name, Places(config)
        self._hosts = (os.uname().nodename,) if settings.hosts is None else settings.hosts
        self._watched = watched if settings.url.startswith("/") else ""
        self._server, self._folder = server_id(config.server), folder
        asked = repr((self._server, self._hosts, self._places.globs, settings.url))
        self._asked = blake3(asked.encode("utf-8", "surrogateescape")).hexdigest(8)
        self._known: dict[str, Adopted] | None = None

    def all(self) -> dict[str, Adopted]:
        """See the port."""
        if self._known is None:
            kept = adopted.read(self._folder) or Found(mark="")
            if not kept.mark.startswith(self._asked):
                kept = Found(mark="")
            self._known = {each.point.id: each for each in self._found(kept).found}
        return self._known

    def _found(self, kept: Found) -> Found:
        try:
            mark = f"{self._asked} {self._mark()}"
            if kept.mark == mark or not self._hosts:
                return kept
            snapshots = [each for each in self._tool.others() if each.host in self._hosts]
            there, seen = {each.id for each in snapshots}, set(kept.seen)
            for snapshot in snapshots:
                if snapshot.id not in seen:
                    # The first look at a large repository takes long: one that is interrupted goes on where it was.
                    more, seen_now = tuple(self._of(snapshot)), (*kept.seen, snapshot.id)
                    kept = Found(mark=self._asked, found=(*kept.found, *more), seen=seen_now)
                    adopted.keep(self._folder, kept)
        except (ClientError, OSError):
            # Whether the repository can be read matters when something is asked of it; what it holds is known.
            if not self._watched:
                adopted.keep(self._folder, Found(mark=mark, found=kept.found, seen=kept.seen))
            return kept
        found = tuple(each for each in kept.found if each.point.run in there)
        now = Found(mark=mark, found=found, seen=tuple(sorted(there)))
        adopted.keep(self._folder, now)
        return now

    def _mark(self) -> str:
        """What is another as soon as there is another snapshot. Raise OSError where there is no repository."""
        if not self._watched:
            return str(int(time.time()) // _ASKED_AGAIN_SECONDS)
        names = "\n".join(sorted(os.listdir(self._watched)))
        return blake3(names.encode("utf-8", "surrogateescape")).hexdigest(8)

    def _of(self, snapshot: Snapshot) -> Iterator[Adopted]:
        places = filter(None, map(self._places.of, self._tool.folders(snapshot.id, self._places.searched)))
        for account, folders in by_account(set(places)):
            at, warning = snapshot.time, _WARNING.format(driver=self.driver)
            own = {"client": self._name, "server": self._server, "warning": warning}
            point = adopted.point(account, snapshot.id, Level.FULL, begun=at, ended=at, **own)
            yield Adopted(point=point, chain=(Link(id=0, name=snapshot.id, level=Level.FULL),), places=folders)

    # --- what they hold -------------------------------------------------------------------------------------------

    def rows(self, adopted: Adopted) -> Iterator[Row]:
        """See the port."""
        trees = {os.fsencode(place): tree.encode() for tree, place in adopted.places}
        for row in self._tool.listed(adopted.chain[-1].name, [place for _, place in adopted.places]):
            for place, tree in trees.items():
                if row.path == place or row.path.startswith(place + b"/"):
                    yield _stored(row, tree + row.path[len(place) :])

    def plan(self, adopted: Adopted, rows: Sequence[Row]) -> ReadPlan:
        """See the port."""
        size = sum(row.size for row in rows if row.kind == FileType.FILE)
        run = adopted.chain[-1].name
        step = ReadStep(run=run, level=Level.FULL, what=f"{len(rows):,} entries; {self.driver}'s {run}", bytes=size)
        return ReadPlan(reads=(step,), bytes=size, seconds=round(_SECONDS + size / _BYTES_PER_SECOND, 1))

    def bring(self, adopted: Adopted, places: Sequence[bytes], target: bytes) -> bytes:
        """See the port. More than a few are not named one by one: all of the account is brought."""
        if len(places) > FEW:
            places = [os.fsencode(place) for _, place in adopted.places]
        self._tool.fetch(adopted.chain[-1].name, places, target)
        return target

    def is_content(self, row: Row, pieces: Iterable[bytes]) -> bool:
        """See the port: such tools check what they bring themselves."""
        return True


def _stored(row: Row, path: bytes) -> Row:
    """A row at its stored path. A file is taken for the same as long as its size and times are."""
    told = repr((path, row.size, row.mtime, row.ctime)).encode()
    digest = UNSIGNED + blake3(told).digest(16) if row.kind == FileType.FILE else b""
    return Row(
        path=path, kind=row.kind, mode=row.mode, uid=row.uid, gid=row.gid, mtime=row.mtime, ctime=row.ctime,
        size=row.size, target=row.target, digest=digest,
    )  # fmt: skip


def expanded(globs: Sequence[str], below: Callable[[set[str]], Iterable[str]]) -> Iterator[str]:
    """The folders that shell patterns fit; ``below`` lists the folders in folders, and is asked once for each step down."""
    waiting = [_begun(glob) for glob in globs]
    while waiting:
        names: dict[str, list[str]] = {}
        for path in below({lead or "/" for lead, _ in waiting}):
            above, _, name = path.rpartition("/")
            names.setdefault(above, []).append(name)
        further = []
        for lead, (part, *rest) in waiting:
            for name in names.get(lead, ()):
                if fnmatchcase(name, part):
                    further.append((f"{lead}/{name}", rest))
        yield from (path for path, rest in further if not rest)
        waiting = [(path, rest) for path, rest in further if rest]


def _begun(glob: str) -> tuple[str, list[str]]:
    """A pattern as the folder that it begins with, and the names and patterns that follow: the last name at least."""
    parts = glob.strip("/").split("/")
    sure = 0
    while sure < len(parts) - 1 and not _WILD.search(parts[sure]):
        sure += 1
    return "".join(f"/{part}" for part in parts[:sure]), parts[sure:]


def moment(told: str) -> tuple[int, int]:
    """A moment as tools print it, in seconds since 1970 and nanoseconds; without a zone it is UTC. Raise ClientError."""
    found = _MOMENT.fullmatch(told)
    if found is None:
        raise ClientError(f"{told!r} was listed as a time, which is none")
    second, fraction, zone = found.groups()
    at = datetime.fromisoformat(second + ("+00:00" if zone in (None, "Z") else zone))
    return int(at.timestamp()), int((fraction or "").ljust(9, "0"))
