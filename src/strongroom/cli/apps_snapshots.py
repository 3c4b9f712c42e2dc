"""``apps enable`` to ``apps lock``: the snapshots of one web app, and what is kept of its updates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.apps_command import command
from strongroom.cli.invocation import Invocation
from strongroom.cli.output import escaped, size, table
from strongroom.counting import counted
from strongroom.errors import UsageError

if TYPE_CHECKING:
    from strongroom.model import Remark
    from strongroom.webapps.base import App, Change, Snapshot

_LOCKS = ("none", "major", "minor")
_SHORT = 12


@command("enable")
@click.argument("app")
@click.pass_obj
def enable(invocation: Invocation, app: str) -> int:
    """Turn snapshots on: a git repository in the app's folder, and a first snapshot.

    Updates are assured from then on.
    """
    found = invocation.finder.find(app)
    return _answer(invocation, found, invocation.snapshots.enable(found))


@command("disable")
@click.argument("app")
@click.pass_obj
def disable(invocation: Invocation, app: str) -> None:
    """Turn snapshots off: the repository goes, with all snapshots."""
    found = invocation.finder.find(app)
    invocation.snapshots.disable(found)
    line = f"{escaped(found.app)}: snapshots are off, and those there were are gone"
    invocation.answer({"app": found.app, "snapshots": False}, [line], summary=True)


@command("snapshot")
@click.argument("app")
@click.option("--label", default="By hand", show_default=True, help="What it is called in the list.")
@click.pass_obj
def snapshot(invocation: Invocation, app: str, label: str) -> int:
    """Take a snapshot: files and database of one moment."""
    found = invocation.finder.find(app)
    return _answer(invocation, found, invocation.snapshots.take(found, label))


@command("snapshots")
@click.argument("app")
@click.pass_obj
def snapshots(invocation: Invocation, app: str) -> None:
    """List an app's snapshots, newest first."""
    found = invocation.finder.find(app)
    taken = invocation.snapshots.list(found)
    rows = [
        (
            each.id[:_SHORT],
            each.time,
            escaped(each.version),
            counted(each.files, "entry", "entries"),
            size(each.bytes),
            escaped(", ".join(each.databases)),
            escaped(each.label) + _remark(each),
        )
        for each in taken
    ]
    heads = ("SNAPSHOT", "TIME", "VERSION", "FILES", "SIZE", "DATABASE", "LABEL")
    invocation.answer([_document(found, each) for each in taken], table(heads, rows))


@command("diff")
@click.argument("app")
@click.argument("snapshot", default="latest")
@click.argument("other", required=False)
@click.pass_obj
def diff(invocation: Invocation, app: str, snapshot: str, other: str | None) -> None:
    """What changed since a snapshot (the latest), or from one to another: files, attributes, tables."""
    found = invocation.finder.find(app)
    changes = invocation.snapshots.diff(found, snapshot, other)
    documents = [
        {"path": _path(found, change), "change": change.change, "what": list(change.what)} for change in changes
    ]
    lines = (f"{each.change:8} {escaped(_path(found, each))}{_what(each)}" for each in changes)
    invocation.answer(documents, lines)


@command("rollback")
@click.argument("app")
@click.argument("snapshot", default="latest")
@click.option("--only", type=click.Choice(["files", "databases"]), help="Only the files, or only the database.")
@click.pass_obj
def rollback(invocation: Invocation, app: str, snapshot: str, only: str | None) -> int:
    """Put files and database back as a snapshot has them.

    What is there now is kept in a snapshot first, so that a rollback can be rolled back. Caches and uploads stay.
    """
    from strongroom.cli import documents
    from strongroom.model import Status

    found = invocation.finder.find(app)
    with invocation.updates.alone(found):
        back = invocation.snapshots.rollback(found, snapshot, only=only)
        invocation.updater.forget(found, invocation.layout.account(found.account))
    changed = back.files.written or back.files.deleted
    if changed and (note := invocation.layout.after_restore(found.account)) is not None:
        invocation.teller.note(note)
    counts = {name: getattr(back.files, name) for name in ("written", "unchanged", "deleted", "bytes")}
    document = {
        "app": back.app,
        "snapshot": back.snapshot,
        "before": back.before,
        "status": back.status.value,
        "files": counts,
        "databases": list(back.databases),
        "warnings": documents.remarks(back.warnings),
    }
    what = [f"{back.files.written:,} written, {back.files.deleted:,} taken away"] if only != "databases" else []
    what += [escaped(name) for name in back.databases]
    lines = [*_warnings(back.warnings), f"{escaped(back.app)}: as in {back.snapshot[:_SHORT]}: {', '.join(what)}"]
    if back.before:
        lines.append(f"what was there before: strongroom apps rollback {escaped(back.app)} {back.before[:_SHORT]}")
    invocation.answer(document, lines, summary=True)
    return int(back.status is not Status.COMPLETE)


@command("reset")
@click.argument("app")
@click.pass_obj
def reset(invocation: Invocation, app: str) -> None:
    """Forget that an app's last update failed: the next update tries again."""
    found = invocation.finder.find(app)
    with invocation.updates.alone(found):
        invocation.states.change(found, failed="")
        invocation.updater.forget(found, invocation.layout.account(found.account))
    line = f"{escaped(found.app)}: no longer marked as failed"
    invocation.answer({"app": found.app, "failed": False}, [line], summary=True)


@command("lock")
@click.argument("app")
@click.argument("level", metavar="none|major|minor")
@click.pass_obj
def lock(invocation: Invocation, app: str, level: str) -> None:
    """Say which updates an app takes: all, those of its major version, those of its minor version."""
    from strongroom.webapps.base import Lock

    if app in _LOCKS:
        app, level = level, app
    if level not in _LOCKS:
        raise UsageError(f"'{level}' is not one of {', '.join(_LOCKS)}")
    found = invocation.finder.find(app)
    invocation.states.change(found, locked=Lock(level))
    takes = {"none": "all updates", "major": "updates of its major version", "minor": "updates of its minor version"}
    line = f"{escaped(found.app)}: takes {takes[level]}"
    invocation.answer({"app": found.app, "locked": level}, [line], summary=True)


def _answer(invocation: Invocation, app: App, taken: Snapshot) -> int:
    from strongroom.model import Status

    lines = _warnings(taken.warnings)
    what = ", ".join([counted(taken.files, "entry", "entries"), size(taken.bytes), *map(escaped, taken.databases)])
    lines.append(f"{escaped(app.app)}: snapshot {taken.id[:_SHORT]}, {what}")
    invocation.answer(_document(app, taken), lines, summary=True)
    return int(taken.status is not Status.COMPLETE)


def _document(app: App, taken: Snapshot) -> dict[str, Any]:
    from strongroom.cli import documents

    return {
        "id": taken.id,
        "app": app.app,
        "snapshot": taken.id,
        "time": taken.time,
        "label": taken.label,
        "version": taken.version,
        "status": taken.status.value,
        "files": taken.files,
        "bytes": taken.bytes,
        "databases": list(taken.databases),
        "gap_seconds": taken.gap_seconds,
        "sealed": taken.sealed,
        "warnings": documents.remarks(taken.warnings),
    }


def _remark(taken: Snapshot) -> str:
    said = [] if taken.status == "complete" else ["incomplete"]
    said += [] if taken.sealed else ["not made on this server"]
    return f" ({', '.join(said)})" if said else ""


def _warnings(found: Iterable[Remark]) -> list[str]:
    from strongroom.paths import owners

    return [
        f"warning: {escaped(owners(each.path)) + ': ' if each.path else ''}{escaped(each.message)}" for each in found
    ]


def _path(app: App, change: Change) -> str:
    from strongroom.model import text

    if change.path.startswith(b"databases:/"):
        return text(change.path)
    return text(app.path.rstrip(b"/") + b"/" + change.path if change.path else app.path)


def _what(change: Change) -> str:
    return f" ({', '.join(change.what)})" if change.what else ""
