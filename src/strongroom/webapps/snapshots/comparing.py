"""What differs between two snapshots, or between one and what is there now: files with their attributes, tables by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from strongroom.errors import SnapshotError
from strongroom.exports import manifest as manifests
from strongroom.exports.base import Export
from strongroom.exports.manifest import Manifest
from strongroom.model import Entry
from strongroom.runs import versions
from strongroom.settings.schedules import Target
from strongroom.webapps.base import App, Change
from strongroom.webapps.snapshots import databases
from strongroom.webapps.snapshots.lines import decode, encode
from strongroom.webapps.snapshots.stored import Stored

Manifests = dict[str, Manifest]


def snapshots(app: App, one: Stored, other: Stored) -> list[Change]:
    """From one snapshot to another."""
    files = _files(app, one.entries(), other.entries())
    return files + _tables(_manifests(app, one), _manifests(app, other))


def live(app: App, one: Stored, entries: Iterable[Entry], there: Manifests) -> list[Change]:
    """From a snapshot to what is there now."""
    # Through the same lines as the snapshot's, so that what no snapshot holds makes no difference.
    now = decode(b"".join(encode(entries, app.stored)), app.stored)
    return _files(app, one.entries(), now) + _tables(_manifests(app, one), there)


def drawn(exports: Sequence[tuple[Target, Export]]) -> Manifests:
    """The manifests of open exports, which are read to their end and not kept."""
    found: Manifests = {}
    for target, export in exports:
        content = b""
        for file in export.files():
            last = [piece for piece in file.pieces if file.path.endswith(manifests.NAME.encode())]
            if file.failure:
                raise SnapshotError(f"{target.name} cannot be compared: {file.failure}")
            content = b"".join(last) or content
        found[target.name] = manifests.decode(content)
    return found


def _manifests(app: App, stored: Stored) -> Manifests:
    targets = [Target(account=app.account, engine=copy.engine, database=copy.name) for copy in stored.facts.databases]
    return {target.name: databases.manifest_of(target, stored.databases, stored.read) for target in targets}


def _files(app: App, old: Iterable[Entry], new: Iterable[Entry]) -> list[Change]:
    return [
        Change(path=change.path[len(app.stored) + 1 :], change=change.change, what=change.what)
        for change in versions.compare(old, new, one_client=True)
    ]


def _tables(old: Manifests, new: Manifests) -> list[Change]:
    """Tables and definitions whose export differs, by the content of its files."""
    changes = []
    for name in sorted(old.keys() | new.keys()):
        before, after = _by_path(old.get(name)), _by_path(new.get(name))
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) != after.get(path):
                change = "changed" if path in before and path in after else "added" if path in after else "removed"
                shown = path.removeprefix("tables/").removesuffix(".sql")
                where = f"databases:/{name.replace(':', '/', 1)}/{shown}"
                changes.append(
                    Change(path=where.encode(), change=change, what=("content",) if change == "changed" else ())
                )
    return changes


def _by_path(manifest: Manifest | None) -> dict[str, str]:
    return {file.path: file.blake3 for file in manifest.files} if manifest else {}
