"""What differs between points: the versions of a path, where a name occurs, and two points compared."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

from strongroom.clients.base import Client
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Frozen, Point
from strongroom.runs.order import newest_first

_ACL = b"system.posix_acl_"


class Version(Frozen):
    """One state of one path, and the points that hold it, oldest first."""

    entry: Entry
    points: tuple[Point, ...]


class Change(Frozen):
    """A path that differs between two points: ``added``, ``removed``, or ``changed`` (and then in ``what``)."""

    path: bytes
    change: str
    what: tuple[str, ...] = ()


def content_key(entry: Entry) -> Hashable:
    """What two contents have in common when they are equal: the client's identity of it, else what stat can tell."""
    if entry.type is not FileType.FILE:
        return None
    try:
        hash(entry.content)
    except TypeError:
        return (entry.size, entry.mtime, entry.ctime)
    return (entry.size, entry.content) if entry.content is not None else (entry.size, entry.mtime, entry.ctime)


def version_key(entry: Entry) -> Hashable:
    """What makes two sights of a path one version: all that a restore of it would bring back, link counts excepted."""
    return (
        entry.type,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime,
        entry.size if entry.type is FileType.FILE else 0,
        entry.target,
        entry.rdev,
        entry.flags,
        frozenset(entry.xattrs),
        content_key(entry),
    )


Clients = Callable[[Point], Client]
# Is told of each point that cannot be looked into, and why: it hides none of the others.
Blind = Callable[[Point, ClientError], None]


def history(points: Iterable[Point], path: bytes, client_of: Clients, blind: Blind) -> list[Version]:
    """Each distinct version of a stored path of one account, the one that appeared last first."""
    found: dict[Hashable, _Sighting] = {}
    for point in reversed(newest_first(points)):
        try:
            entry = client_of(point).lookup(point, path)
        except ClientError as error:
            blind(point, error)
            continue
        if entry is not None:
            found.setdefault((point.client, version_key(entry)), _Sighting(entry, [])).points.append(point)
    return [Version(entry=each.entry, points=tuple(each.points)) for each in reversed(found.values())]


def search(
    points: Iterable[Point], pattern: str, client_of: Clients, shown: Callable[[bytes], str], blind: Blind
) -> list[Version]:
    """Each distinct version of each path that a shell pattern means, sorted by path.

    A pattern with a slash is matched against the path as ``shown`` writes it (``*`` matches slashes too), another
    against the name alone.
    """
    matches = re.compile(fnmatch.translate(pattern)).match
    whole = "/" in pattern
    found: dict[Hashable, _Sighting] = {}
    for point in reversed(newest_first(points)):
        try:
            for entry in _listed(client_of(point), point):
                path = shown(entry.path)
                # A tree's own folder has no name that an owner could know.
                if b"/" in entry.path and matches(path if whole else path.rpartition("/")[2]):
                    key = (point.client, entry.path, version_key(entry))
                    found.setdefault(key, _Sighting(entry, [])).points.append(point)
        except ClientError as error:
            blind(point, error)
    ordered = sorted(found.values(), key=lambda each: each.entry.path.split(b"/"))
    return [Version(entry=each.entry, points=tuple(each.points)) for each in ordered]


def _listed(client: Client, point: Point) -> Iterator[Entry]:
    yield from client.walk(point, trees(client, point), listing=True)


class _Sighting(NamedTuple):
    entry: Entry
    points: list[Point]


def trees(client: Client, point: Point) -> list[bytes]:
    """The names of the trees that a point has."""
    return [tree for tree in (b"data", b"info", b"databases") if client.lookup(point, tree) is not None]


def compare(old: Iterable[Entry], new: Iterable[Entry], *, one_client: bool) -> Iterator[Change]:
    """What changed from one walk to another, in their order.

    Contents of two different clients (``one_client`` false) can be compared by size and time alone.
    """
    before, after = iter(old), iter(new)
    left, right = next(before, None), next(after, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _order(left) < _order(right)):
            assert left is not None  # noqa: S101  (one of the two is there)
            yield Change(path=left.path, change="removed")
            left = next(before, None)
        elif left is None or _order(right) < _order(left):
            yield Change(path=right.path, change="added")
            right = next(after, None)
        else:
            what = tuple(name for name, differs in _differences(left, right, one_client) if differs)
            if what:
                yield Change(path=left.path, change="changed", what=what)
            left, right = next(before, None), next(after, None)


def _order(entry: Entry) -> list[bytes]:
    """Where an entry stands in a walk: below its folder, among its siblings by name."""
    return entry.path.split(b"/")


def _differences(old: Entry, new: Entry, one_client: bool) -> Iterator[tuple[str, bool]]:
    files = old.type is new.type is FileType.FILE
    # How many names a folder has counts its subfolders, which are listed themselves.
    linked = FileType.DIR not in (old.type, new.type)
    by_stat = (old.size, old.mtime) != (new.size, new.mtime)
    yield "content", files and (content_key(old) != content_key(new) if one_client else by_stat)
    yield "mode", old.mode != new.mode
    yield "owner", (old.uid, old.gid) != (new.uid, new.gid)
    yield "mtime", old.mtime != new.mtime
    yield "xattr", _attributes(old, acl=False) != _attributes(new, acl=False)
    yield "acl", _attributes(old, acl=True) != _attributes(new, acl=True)
    yield "flags", old.flags != new.flags
    yield "rdev", old.rdev != new.rdev
    yield "type", old.type is not new.type
    yield "target", old.target != new.target
    yield "links", linked and old.links != new.links


def _attributes(entry: Entry, *, acl: bool) -> frozenset[tuple[bytes, bytes]]:
    return frozenset(pair for pair in entry.xattrs if pair[0].startswith(_ACL) == acl)
