"""``ls``, ``history``, ``find`` and ``diff``: what points hold."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command
from strongroom.cli.output import escaped, size, table, write_json_list, write_lines
from strongroom.counting import counted
from strongroom.errors import ClientError, UnknownError
from strongroom.paths import owners, stored

if TYPE_CHECKING:
    from strongroom.clients.base import Client
    from strongroom.model import Entry, Point, Time
    from strongroom.runs.versions import Change

_KINDS = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}


@command()
@click.argument("point", metavar="POINT")
@click.argument("path", default="/", metavar="[PATH]")
@click.option("-R", "--recursive", is_flag=True, help="All that is below, too.")
@click.option("-l", "--long", is_flag=True, help="Type, mode, links, owner, size, time and target as well.")
@click.pass_obj
def ls(invocation: Invocation, point: str, path: str, recursive: bool, long: bool) -> None:
    """List what a point holds at a path.

    PATH is as the account's owner sees it, '/' when none is given; what the panel knows of the account is below
    'info:/'.
    """
    from strongroom.cli import documents

    found = invocation.named_point(point)
    entries = _listed(invocation.client(found.client), found, path, recursive)
    if invocation.json:
        write_json_list(documents.entry(entry) for entry in entries)
    else:
        write_lines(map(_long if long else _short, entries))


def _listed(client: Client, point: Point, path: str, recursive: bool) -> Iterable[Entry]:
    from strongroom.model import FileType

    where = stored(path)
    if where == b"info" and client.lookup(point, where) is None:
        return []  # the panel keeps nothing of such an account: the server's own, or one of a plain layout
    top = existing(client, point, path)
    if top.type is not FileType.DIR:
        return [top]
    if not recursive:
        return client.ls(point, where)
    return (entry for entry in client.walk(point, [where], listing=True) if entry.path != where)


def existing(client: Client, point: Point, path: str) -> Entry:
    """The entry at an owner's path; raise UnknownError when the point has none there."""
    entry = client.lookup(point, stored(path))
    if entry is None:
        raise UnknownError(
            f"no '{path}' in point {point.id} of {point.account}; look with: strongroom ls {point.id[:12]}"
        )
    return entry


def _short(entry: Entry) -> str:
    return escaped(owners(entry.path))


def _long(entry: Entry) -> str:
    mode = stat.filemode(_KINDS[entry.type] | entry.mode)
    what = f"{entry.rdev[0]}, {entry.rdev[1]}" if entry.type in ("char", "block") else str(entry.size)
    target = f" -> {escaped(entry.target)}" if entry.type == "symlink" else ""
    defect = f"  ({escaped(entry.defect)})" if entry.defect else ""
    columns = f"{mode} {entry.links:>3} {entry.uid:>5} {entry.gid:>5} {what:>12} {_local(entry.mtime)}"
    return f"{columns} {_short(entry)}{target}{defect}"


def _local(moment: Time) -> str:
    """A time on the clock of the wall, where the C library knows that year."""
    from strongroom.runs import times

    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.seconds))
    except (OverflowError, OSError, ValueError):
        return times.iso(moment, 0)


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("path", metavar="PATH")
@click.option("--client", metavar="NAME", help="Only points of this client.")
@click.pass_obj
def history(invocation: Invocation, account: str, path: str, client: str | None) -> int:
    """Show each version of one path, and the points that hold it."""
    from strongroom.runs import times
    from strongroom.runs.versions import history as versions_of

    where = stored(path)
    blind = _Blind()
    points = _points(invocation, account, client)
    found = versions_of(points, where, lambda point: invocation.client(point.client), blind)
    if not found:
        blind.refuse()
        raise UnknownError(
            f"no point of {account} has '{path}'; look for its name with: strongroom find {account} NAME"
        )
    document = [
        {
            "version": len(found) - at,
            "type": version.entry.type.value,
            "size": version.entry.size,
            "mtime": times.iso(version.entry.mtime),
            "first_point": version.points[0].id,
            "last_point": version.points[-1].id,
            "points": [point.id for point in version.points],
        }
        for at, version in enumerate(found)
    ]
    rows = [
        (
            str(len(found) - at),
            version.entry.type.value,
            size(version.entry.size),
            _local(version.entry.mtime),
            _span(version.points),
        )
        for at, version in enumerate(found)
    ]
    invocation.answer(document, table(("VERSION", "TYPE", "SIZE", "MODIFIED", "IN POINTS"), rows))
    return blind.told(invocation)


class _Blind:
    """The points that could not be looked into, by client."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[Point, ClientError]]] = {}

    def __call__(self, point: Point, error: ClientError) -> None:
        self._found.setdefault(point.client, []).append((point, error))

    def refuse(self) -> None:
        """Raise the first error, where there was one: what nobody could look for is not known to be absent."""
        for points in self._found.values():
            raise points[0][1]

    def told(self, invocation: Invocation) -> int:
        """Say which they are, in a line for each client; the exit status that follows."""
        for client, points in self._found.items():
            point, error = points[0]
            invocation.teller.note(
                f"client {client}: {counted(len(points), 'point')} cannot be looked into, the first {point.id}: {error}"
            )
        return 1 if self._found else 0


def _points(invocation: Invocation, account: str, client: str | None) -> list[Point]:
    from strongroom.runs.choosing import with_points

    catalog = invocation.catalog(client)
    return catalog.of(with_points(invocation.subject(account, client), catalog), client=client)


def _span(points: tuple[Point, ...]) -> str:
    first, last = points[0], points[-1]
    if first is last:
        return f"{first.id[:12]} ({first.time[:10]})"
    return f"{first.id[:12]} ({first.time[:10]}) to {last.id[:12]} ({last.time[:10]}), {counted(len(points), 'point')}"


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("pattern", metavar="PATTERN")
@click.option("--client", metavar="NAME", help="Only points of this client.")
@click.pass_obj
def find(invocation: Invocation, account: str, pattern: str, client: str | None) -> int:
    """Find where a name occurs across points.

    PATTERN is a shell pattern for a name or, when it has a slash, for the whole path.
    """
    from strongroom.runs import times
    from strongroom.runs.versions import search

    points = _points(invocation, account, client)
    blind = _Blind()
    found = search(points, pattern, lambda point: invocation.client(point.client), owners, blind)
    if not found:
        blind.refuse()
    document = [
        {
            "path": owners(version.entry.path),
            "type": version.entry.type.value,
            "size": version.entry.size,
            "mtime": times.iso(version.entry.mtime),
            "points": [point.id for point in version.points],
        }
        for version in found
    ]
    rows = [
        (
            _short(version.entry),
            version.entry.type.value,
            size(version.entry.size),
            _local(version.entry.mtime),
            _span(version.points),
        )
        for version in found
    ]
    invocation.answer(document, table(("PATH", "TYPE", "SIZE", "MODIFIED", "IN POINTS"), rows) or ["nothing found"])
    return blind.told(invocation)


@command()
@click.argument("old", metavar="POINT")
@click.argument("new", metavar="POINT")
@click.argument("path", required=False, metavar="[PATH]")
@click.pass_obj
def diff(invocation: Invocation, old: str, new: str, path: str | None) -> None:
    """Show what changed from one point to another."""
    from strongroom.runs.versions import compare

    before, after = _both(invocation, old, new)
    changes = compare(
        _walk(invocation, before, path, after),
        _walk(invocation, after, path, before),
        one_client=before.client == after.client,
    )
    if invocation.json:
        write_json_list({"path": owners(each.path), "change": each.change, "what": list(each.what)} for each in changes)
    else:
        write_lines(map(_change, changes))


def _both(invocation: Invocation, old: str, new: str) -> tuple[Point, Point]:
    """The two points; where one of them is just ``latest``, it is that of the other's account."""
    from strongroom.runs.choosing import LATEST

    if old == LATEST and new != LATEST:
        after = invocation.named_point(new)
        return invocation.newest_beside(after), after
    before = invocation.named_point(old)
    return before, invocation.newest_beside(before) if new == LATEST else invocation.named_point(new)


def _walk(invocation: Invocation, point: Point, path: str | None, other: Point) -> Iterator[Entry]:
    from strongroom.runs.versions import trees

    client = invocation.client(point.client)
    if path is None:
        return client.walk(point, trees(client, point))
    if client.lookup(point, stored(path)) is None:
        # What one of the two lacks was added or removed; what both lack is a mistake.
        existing(invocation.client(other.client), other, path)
        return iter(())
    return client.walk(point, [stored(path)])


def _change(change: Change) -> str:
    sign = {"added": "+", "removed": "-", "changed": "~"}[change.change]
    what = f"  ({', '.join(change.what)})" if change.what else ""
    return f"{sign} {escaped(owners(change.path))}{what}"
