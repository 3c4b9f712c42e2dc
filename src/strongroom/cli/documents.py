"""The JSON documents of the interface, made from values. Their keys are a promise: add, never rename or drop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from strongroom.model import (
    Account,
    DatabaseCopy,
    Entry,
    FileType,
    Origin,
    Point,
    ReadPlan,
    Remark,
    Status,
    Synchrony,
    text,
)
from strongroom.paths import owners
from strongroom.runs import times

if TYPE_CHECKING:
    from strongroom.model import Verification
    from strongroom.restores.request import DatabaseBack, RestoreResult
    from strongroom.runs.backup import RunResult
    from strongroom.runs.status import Report
    from strongroom.webapps.base import App

Document = dict[str, Any]


def remarks(found: Iterable[Remark]) -> list[Document]:
    """Warnings; one about the whole has an empty path."""
    return [{"path": owners(remark.path) if remark.path else "", "message": remark.message} for remark in found]


def point(value: Point, *, warnings: bool) -> Document:
    """A point, with its warnings or, in lists, without."""
    document: Document = {
        "id": value.id,
        "account": value.account,
        "domains": list(value.domains),
        "time": value.time,
        "level": value.level.value,
        "client": value.client,
        "status": value.status.value,
        "only": value.only,
        "run": value.run,
        "seq": value.seq,
        "parent": value.parent,
        "origin": _origin(value.origin),
        "server": value.server,
        "started": value.started,
        "finished": value.finished,
        "pinned": value.pinned,
        "entries": value.entries,
        "bytes": value.bytes,
        "files": {
            "seen": value.files.seen,
            "changed": value.files.changed,
            "unchanged": value.files.unchanged,
            "removed": value.files.removed,
            "bytes_read": value.files.bytes_read,
        },
        "stored_bytes": value.stored_bytes,
        "databases": [_database(copy) for copy in value.databases],
        "synchrony": _synchrony(value.synchrony),
    }
    return document | {"warnings": remarks(value.warnings)} if warnings else document


def _origin(value: Origin | None) -> Document | None:
    return {"point": value.point, "client": value.client, "carried": value.carried} if value is not None else None


def _database(copy: DatabaseCopy) -> Document:
    return {
        "engine": copy.engine,
        "name": copy.name,
        "status": copy.status.value,
        "bytes": copy.bytes,
        "tables": copy.tables,
        "position": copy.position,
    }


def _synchrony(value: Synchrony) -> Document:
    return {
        "method": value.method,
        "transaction_opened": value.transaction_opened,
        "exports_started": value.exports_started,
        "files_started": value.files_started,
        "files_finished": value.files_finished,
        "gap_seconds": value.gap_seconds,
        "changed_in_gap": value.changed_in_gap,
        "changed_paths": [owners(path) for path in value.changed_paths],
    }


def run(result: RunResult) -> Document:
    """What a backup did; ``failures`` are the accounts without a point."""
    return {
        "run": result.run,
        "status": result.status.value,
        "started": result.started,
        "finished": result.finished,
        "points": [point(each, warnings=True) for each in result.points],
        "failures": [{"account": failure.account, "message": failure.message} for failure in result.failures],
    }


def entry(value: Entry) -> Document:
    """One thing a point holds."""
    document: Document = {
        "path": owners(value.path),
        "type": value.type.value,
        "size": value.size,
        "mode": f"{value.mode:04o}",
        "uid": value.uid,
        "gid": value.gid,
        "mtime": times.iso(value.mtime),
        "links": value.links,
    }
    if value.type is FileType.SYMLINK:
        document["target"] = value.target.decode("utf-8", "surrogateescape")
    if value.type in (FileType.CHAR, FileType.BLOCK):
        document["rdev"] = f"{value.rdev[0]}:{value.rdev[1]}"
    if value.defect:
        document["defect"] = value.defect
    return document


def export(value: Entry) -> Document:
    """A file of a point's databases that is no database's."""
    status = Status.INCOMPLETE if value.defect else Status.COMPLETE
    return {"path": owners(value.path), "bytes": value.size, "status": status.value}


def account(value: Account, apps: Sequence[App] = ()) -> Document:
    """An account of the server, with what is backed up of it and why; ``app_snapshots`` are those of ``apps`` that have some."""
    return {
        "account": value.name,
        "domains": list(value.domains),
        "owner": value.owner,
        "suspended": value.suspended is not None,
        "suspended_because": value.suspended,
        "databases": list(value.databases),
        "mailboxes": list(value.mailboxes),
        "apps": [f"{app.kind}:{text(app.path)}" for app in apps],
        "app_snapshots": [app.app for app in apps if app.snapshots],
        "locations": [
            {
                "tree": location.tree,
                "path": location.path.decode("utf-8", "surrogateescape"),
                "why": location.why,
                "need": "required" if location.required else "recommended",
                "select": [
                    {
                        "pattern": selection.pattern.decode("utf-8", "surrogateescape"),
                        "reason": selection.reason,
                        "need": "required" if selection.required else "recommended",
                    }
                    for selection in location.selections
                ],
                "exclude": [
                    {"pattern": exclusion.pattern.decode("utf-8", "surrogateescape"), "reason": exclusion.reason}
                    for exclusion in location.exclude
                ],
            }
            for location in value.locations
        ],
    }


def status(report: Report) -> Document:
    """Whether every account is covered; ``gone`` are accounts with points that are not on this server."""
    return {
        "status": "attention" if report.attention else "ok",
        "accounts": [
            {
                "account": each.account,
                "last_complete": each.last_complete,
                "point": each.point,
                "client": each.client,
                "age_seconds": each.age_seconds,
                "problems": list(each.problems),
            }
            for each in report.accounts
        ],
        "gone": list(report.gone),
    }


def plan(value: ReadPlan) -> Document:
    """What a restore would read, oldest first."""
    return {
        "reads": [
            {"run": step.run, "level": step.level.value, "what": step.what, "bytes": step.bytes} for step in value.reads
        ],
        "bytes": value.bytes,
        "seconds": value.seconds,
    }


def restore(result: RestoreResult) -> Document:
    """What a restore did, or (with ``dry_run`` true) what it would do: ``files`` counts the same in both."""
    document: Document = {
        "restore": result.id,
        "status": result.status.value,
        "account": result.account,
        "point": result.point,
        "files": {
            "written": result.files.written,
            "unchanged": result.files.unchanged,
            "deleted": result.files.deleted,
            "bytes": result.files.bytes,
        },
        "databases": [_database_back(back) for back in result.databases],
        "undo": result.undo,
        "warnings": remarks(result.warnings),
    }
    forecast = result.forecast
    if forecast is None:
        return document
    return document | {
        "dry_run": True,
        "files": {
            "written": forecast.written + forecast.replaced,
            "replaced": forecast.replaced,
            "unchanged": forecast.unchanged,
            "deleted": forecast.deleted,
            "bytes": forecast.bytes,
        },
        "writes": [owners(path) for path in forecast.writes],
        "replaces": [owners(path) for path in forecast.replaces],
        "deletes": [owners(path) for path in forecast.deletes],
    }


def _database_back(back: DatabaseBack) -> Document:
    return {
        "engine": back.wish.engine,
        "name": back.wish.name,
        "table": back.wish.table,
        "into": back.wish.into,
        "status": back.status.value,
        "replaces": back.replaces,
        "bytes": back.bytes,
        "kept": back.kept,
        "messages": list(back.messages),
    }


def check(found: Verification) -> Document:
    """What a client's storage has that cannot be read back."""
    return {
        "status": "damaged" if found.damage else "clean",
        "objects": found.objects,
        "bytes_read": found.bytes_read,
        "damage": [
            {
                "object": damage.object,
                "points": list(damage.points),
                "paths": [owners(path) for path in damage.paths],
                "message": damage.message,
            }
            for damage in found.damage
        ],
    }
