"""A point that arrives in foreign software: carried from another client, or made of a chain that is there already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime

import msgspec

from strongroom.clients.base import Client
from strongroom.clients.bringing import Brought
from strongroom.clients.carrying import Carrying
from strongroom.clients.holdings import Holdings
from strongroom.clients.new_set import NewSet
from strongroom.clients.sidecar import Row, Sidecar
from strongroom.clients.tool import Consolidating, Held, Saved, Tool
from strongroom.clients.vault_carry import origin
from strongroom.clients.workroom import Workroom
from strongroom.model import Level, Point, Remark, Status


class Arrival:
    """Makes one full point of an account, whose sets are of this series; what is not its newest gets one of its own.

    ``client`` is the name of the client that it arrives in, ``doubt`` why no point of it can be relied on (empty: nothing).
    """

    def __init__(self, tool: Tool, holdings: Holdings, room: Workroom, series: str) -> None:
        self._tool, self._holdings, self._room, self._series = tool, holdings, room, series
        self._last = next(reversed(holdings.of(series)), None)

    def carried(self, point: Point, source: Client, client: str, doubt: str) -> Point:
        """Build a point of another client, or the end of a chain, in the state folder, and save it. Raise ClientError."""
        aside = self.aside(point)
        with self._room.spare() as spool:
            new = NewSet(self._tool, self._holdings, self._room, self._series, alone=aside)
            carrying = Carrying(new, point, source, spool)
            saved = carrying.save()
            second = spool + b"/second"
            os.mkdir(second, 0o700)
            made = self._point(carrying.tally.told(point), new.id, saved, client, doubt)
            held = Held(point=made, series=new.series, data=saved.handle, aside=aside)
            return new.commit(held, second, carrying.sidecar, [])

    def consolidated(self, tool: Consolidating, held: Held, brought: Brought, client: str, doubt: str) -> Point:
        """Have the tool make the chain that ends with a set into a full one. Raise ClientError."""
        with self._room.spare() as spool:
            new = NewSet(self._tool, self._holdings, self._room, held.series)
            saved = new.consolidate(tool, self._holdings.chain(held))
            second = spool + b"/second"
            os.mkdir(second, 0o700)
            sidecar, corrections = self._parts(held, brought, second)
            made = self._point(held.point, new.id, saved, client, doubt)
            whole = Held(point=made, series=held.series, data=saved.handle, aside=self.aside(held.point))
            return new.commit(whole, second, sidecar, corrections)

    def aside(self, point: Point) -> bool:
        """Whether the account has a newer point here, so that nothing is built on this one."""
        return self._last is not None and _moment(self._last.point) > _moment(point)

    def _parts(self, held: Held, brought: Brought, second: bytes) -> tuple[bytes, Sequence[Row]]:
        """A set's own sidecar, and the corrections in its second part; what else that has is copied for the new one's."""
        sidecar, tail = brought.own(held)
        if tail is None:
            return sidecar, []
        if os.path.isdir(tail + b"/late"):
            shutil.copytree(os.fsdecode(tail) + "/late", os.fsdecode(second) + "/late", symlinks=True)
        written = tail + b"/corrections"
        return sidecar, list(Sidecar(written).rows()) if os.path.isfile(written) else []

    def _point(self, point: Point, id: str, saved: Saved, client: str, doubt: str) -> Point:
        """The point that it becomes: the same, but for what tells it apart and what it cost."""
        return msgspec.structs.replace(
            point,
            id=id,
            level=Level.FULL,
            client=client,
            status=Status.INCOMPLETE if doubt else point.status,
            seq=1 + (self._last.point.seq if self._last is not None else 0),
            parent=None,
            pinned=False,
            stored_bytes=saved.bytes,
            warnings=(*point.warnings, Remark(path=b"", message=doubt)) if doubt else point.warnings,
            origin=origin(point),
        )


def _moment(point: Point) -> datetime:
    return datetime.fromisoformat(point.time)
