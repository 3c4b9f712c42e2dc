"""Copying a point to another client, or its own chain into a new full point, and telling the catalog."""

from __future__ import annotations

from strongroom.clients.base import Client, Monitor
from strongroom.errors import BusyError
from strongroom.model import Frozen, Point, Status
from strongroom.runs.catalog import Catalog
from strongroom.runs.locks import Locks

# How long a copy waits for a run that is backing up the account.
PATIENCE_SECONDS = 60.0


class Copied(Frozen):
    """The point that the target has now; ``made`` is false where it was there already, or stood alone."""

    point: Point
    made: bool


def copy(
    point: Point, source: Client, target: Client, catalog: Catalog, state: bytes, monitor: Monitor,
    *, patience: float = PATIENCE_SECONDS,
) -> Copied:  # fmt: skip
    """Copy a point of ``source`` to ``target``; the catalog is up to date with both.

    Raise BusyError while another run is at work on the account there, and what `Client.carry` raises.
    """
    there = _there(point, target, catalog)
    if there is not None:
        return Copied(point=there, made=False)
    with Locks(state) as locks:
        key = f"{target.name}/{point.account}"
        wait = f"{point.account}: another run is at work on it; waiting up to {patience:.0f} seconds"
        if locks.take([key], patience, lambda _: monitor.note(wait)):
            raise BusyError(f"another run is at work on {point.account}; copy again when that has ended")
        made = target.carry(point, source, monitor)
        if made.id == point.id:
            return Copied(point=made, made=False)
        catalog.record(made)
    return Copied(point=made, made=True)


def _there(point: Point, target: Client, catalog: Catalog) -> Point | None:
    """A point of the target that stands for the same moment and needs no other; a worse one than ours does not count."""
    for each in catalog.copies(point):
        worse = each.status is not Status.COMPLETE and point.status is Status.COMPLETE
        chained = point.client == target.name and each.parent is not None
        if each.client == target.name and not worse and not chained:
            return each
    return None
