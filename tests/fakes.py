"""Fakes of the ports that commands and runs stand on: a client in memory, and a monitor that remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from strongroom.clients.base import Capabilities, Client, ExportFile, Failure, Monitor, RunHead, Task
from strongroom.errors import ClientError, UnknownError
from strongroom.model import (
    Entry,
    Exported,
    FileCounts,
    FileType,
    Level,
    Location,
    Origin,
    Point,
    Pruned,
    ReadPlan,
    ReadStep,
    Remark,
    Status,
    Synchrony,
    Time,
    Verification,
)

START = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


class Notes:
    """A monitor that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.calls = 0

    def progress(self, *, accounts: str, done: FileCounts, expected_entries: int) -> None:
        self.calls += 1

    def read_back(self, done: int, expected: int) -> None:
        self.calls += 1

    def note(self, message: str) -> None:
        self.notes.append(message)


def file(path: bytes, content: bytes = b"", *, mtime: int = 1_700_000_000, mode: int = 0o644, **more: object) -> Entry:
    """A file of a point; its content is its identity."""
    return Entry(
        path=path,
        type=FileType.FILE,
        mode=mode,
        uid=1000,
        gid=1000,
        mtime=Time(mtime, 5),
        size=len(content),
        stored=len(content),
        content=content,
        **more,  # type: ignore[arg-type]
    )


def folder(path: bytes, *, mtime: int = 1_700_000_000, mode: int = 0o755) -> Entry:
    """A folder of a point."""
    return Entry(path=path, type=FileType.DIR, mode=mode, uid=1000, gid=1000, mtime=Time(mtime), links=2)


def tree(*entries: Entry) -> dict[bytes, Entry]:
    """Entries by path, with the folders that they need."""
    found = {entry.path: entry for entry in entries}
    for entry in entries:
        parent = entry.path
        while b"/" in parent:
            parent = parent.rpartition(b"/")[0]
            found.setdefault(parent, folder(parent))
    return found


class FakeExports:
    """Databases without any content."""

    opened: float | None = None
    roots: Mapping[str, bytes] = {}

    def files(self) -> Iterator[ExportFile]:
        return iter(())

    def result(self) -> Exported:
        return Exported()

    def release(self) -> None:
        pass


class FakeClient:
    """A client in memory. ``trees`` holds what the next backup of an account finds; ``fails`` why one has no point."""

    name = "vault"

    def __init__(self) -> None:
        self.held: dict[str, Point] = {}
        self.entries: dict[str, dict[bytes, Entry]] = {}
        self.trees: dict[str, dict[bytes, Entry]] = {}
        self.remarks: dict[str, tuple[Remark, ...]] = {}
        self.fails: dict[str, str] = {}
        self.raises: Exception | None = None
        self.tasks: list[Task] = []
        self.locations: list[Location] = []
        self.loads = 0
        self.pruned = 0
        self.locked = False
        self.clock = START
        self.server = ""

    def add(self, account: str, entries: dict[bytes, Entry] | None = None, **more: object) -> Point:
        """Make a point as a backup would."""
        mine = [point for point in self.held.values() if point.account == account]
        seq = 1 + max((point.seq for point in mine), default=0)
        self.clock += timedelta(hours=1)
        now = self.clock.isoformat(timespec="microseconds").replace("+00:00", "Z")
        given: dict[str, object] = {
            "id": hashlib.sha256(f"{self.name}{account}{seq}".encode()).hexdigest()[:16],
            "account": account,
            "time": now,
            "level": Level.INCREMENTAL if mine else Level.FULL,
            "client": self.name,
            "status": Status.COMPLETE,
            "run": "run1",
            "server": self.server,
            "seq": seq,
            "started": now,
            "finished": now,
            "files": FileCounts(seen=len(entries or {}), changed=1, bytes_read=10),
            "entries": len(entries or {}),
            "stored_bytes": 7,
            "synchrony": Synchrony(files_started=now, files_finished=now),
        }
        point = Point(**(given | more))  # type: ignore[arg-type]
        self.held[point.id] = point
        self.entries[point.id] = dict(
            sorted((entries or tree(folder(b"data"))).items(), key=lambda item: item[0].split(b"/"))
        )
        return point

    def capabilities(self) -> Capabilities:
        return Capabilities(driver=self.name, version="1", levels=tuple(Level))

    def close(self) -> None:
        pass

    def backup(self, tasks: Sequence[Task], run: RunHead, monitor: Monitor) -> Iterator[Point | Failure]:
        for task in tasks:
            self.tasks.append(task)
            name = task.account.name
            monitor.progress(accounts=name, done=FileCounts(seen=1), expected_entries=1)
            if name in self.fails:
                yield Failure(account=name, message=self.fails[name])
                continue
            if self.raises:
                raise self.raises
            remarks = self.remarks.get(name, ())
            yield self.add(
                name,
                self.trees.get(name),
                level=task.level,
                run=run.id,
                server=run.server,
                domains=task.account.domains,
                warnings=remarks,
                status=Status.INCOMPLETE if remarks else Status.COMPLETE,
            )

    def unlock(self) -> None:
        if self.locked:
            raise ClientError("the passphrase opens nothing")

    def points(self) -> list[Point]:
        return list(self.held.values())

    def ids(self) -> set[str]:
        return set(self.held)

    def load(self, ids: Iterable[str]) -> list[Point]:
        self.loads += 1
        return [self.held[name] for name in ids]

    def lookup(self, point: Point, path: bytes) -> Entry | None:
        return self.entries[point.id].get(path)

    def ls(self, point: Point, path: bytes) -> list[Entry]:
        entries = self.entries[point.id]
        if path not in entries or entries[path].type is not FileType.DIR:
            raise UnknownError(f"no folder {path!r}")
        return [entry for name, entry in entries.items() if name.rpartition(b"/")[0] == path]

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        for name, entry in self.entries[point.id].items():
            if any(name == path or name.startswith(path + b"/") for path in paths):
                yield entry

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        for number, entry in enumerate(entries):
            if isinstance(entry.content, bytes) and entry.content:
                yield number, 0, entry.content

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        step = ReadStep(run=point.run, level=point.level, what=b",".join(paths).decode(), bytes=12)
        return ReadPlan(reads=(step,), bytes=12, seconds=0.5)

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        if source is self:
            return point
        first = point.origin or Origin(point=point.id, client=point.client, carried="2026-11-25T00:00:00.000000Z")
        entries = {entry.path: entry for entry in source.walk(point, [b"data"])}
        return self.add(point.account, entries, time=point.time, level=Level.FULL, status=point.status, origin=first)

    def forget(self, ids: Sequence[str]) -> None:
        for name in ids:
            del self.held[name]

    def prune(self, *, dry_run: bool) -> Pruned:
        self.pruned += not dry_run
        return Pruned(freed_bytes=100, held_bytes=0, objects=2)

    def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
        if read_data:
            monitor.read_back(500, int(1000 * read_data))
        return Verification(objects=3, bytes_read=int(1000 * read_data))
