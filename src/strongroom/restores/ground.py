"""What a request asks for, as the point has it, and where on this server that belongs."""

from __future__ import annotations

import os
import stat

import msgspec

from strongroom.clients.base import Readable
from strongroom.errors import RestoreError, UnknownError
from strongroom.model import Entry, FileType, Frozen, text
from strongroom.paths import owners
from strongroom.restores.request import RestoreRequest
from strongroom.restores.staging import clear_leftovers


class Ground(Frozen, frozen=True):
    """A tree's own place: a folder of the administrator's (``above``), and the tree's name in it.

    ``name`` is empty when the place is the top of the file system, which nothing is beside.
    """

    above: bytes
    name: bytes


def ground_of(request: RestoreRequest, tree: bytes) -> Ground:
    """Where a tree goes; raise RestoreError when the request does not say."""
    if request.to is not None:
        return Ground(above=request.to, name=tree)
    target = request.targets.get(text(tree))
    if target is None:
        raise RestoreError(f"nobody knows where {text(tree)!r} of {request.point.account} belongs here; use --to DIR")
    above, name = os.path.split(os.path.normpath(target))
    return Ground(above=above, name=name)


def trees_of(request: RestoreRequest) -> list[bytes]:
    """The trees that a request's paths are in, each once."""
    return list(dict.fromkeys(path.partition(b"/")[0] for path in request.paths))


def refuse_in_place(client: Readable) -> None:
    """Raise RestoreError for a client that brings files without all attributes: in place, those that stand there would go."""
    if not client.capabilities().in_place:
        raise RestoreError(
            f"points of client {client.name} come back without ACLs and other attributes, so never over what stands there: "
            "say --to DIR, or restore in place with that software itself"
        )


def check_destination(request: RestoreRequest) -> None:
    """Refuse a ``to`` that is no folder, is another user's link, or holds something, unless a mode was given.

    What a killed restore left there goes first, except before a dry run.
    """
    to = request.to
    if to is None:
        return
    shown = text(to)
    try:
        status = os.lstat(to)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        raise RestoreError(f"{shown} is a link that belongs to another user; name the folder itself")
    if not os.path.isdir(to):
        raise RestoreError(f"{shown} is not a folder; name another one")
    folder = os.open(to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not request.dry_run:
            clear_leftovers(folder, request.point.account)
        full = bool(os.listdir(folder))
    finally:
        os.close(folder)
    if full and request.mode is None:
        raise RestoreError(f"{shown} is not empty; name another folder, or say --mode merge or --mode mirror")


def parents_of(request: RestoreRequest, client: Readable) -> list[Entry]:
    """The folders above the asked paths that were not asked for, top down; UnknownError when one is missing."""
    found: dict[bytes, Entry] = {}
    for path in request.paths:
        parts = path.split(b"/")
        for depth in range(1, len(parts)):
            above = b"/".join(parts[:depth])
            if above in found or any(above == p or above.startswith(p + b"/") for p in request.paths):
                continue
            entry = client.lookup(request.point, above)
            if entry is None or entry.type is not FileType.DIR:
                raise UnknownError(f"'{owners(above)}' is not a folder of point {request.point.id}")
            found[above] = entry
    return list(found.values())


def with_known_paths(request: RestoreRequest, client: Readable) -> RestoreRequest:
    """The request without the trees that the point does not have; raise UnknownError for any other missing path."""
    point = request.point
    known = []
    for path in request.paths:
        if client.lookup(point, path) is not None:
            known.append(path)
        elif b"/" in path or len(request.paths) == 1:
            raise UnknownError(f"no '{owners(path)}' in point {point.id}; look with: strongroom ls {point.id[:12]}")
    if not known:
        raise UnknownError(f"point {point.id} holds nothing of what was asked for; see: strongroom show")
    return msgspec.structs.replace(request, paths=tuple(known))
