"""A foreign client beside whose own points stand those that others made with the same software: they are adopted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property

from strongroom.clients.adopted import Adopted, Adoption
from strongroom.clients.adopted_reader import AdoptedReader
from strongroom.clients.base import Client, Monitor
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.holdings import Ledger, LocalLedger, State
from strongroom.clients.sidecar import Sidecar
from strongroom.clients.tool import Held, Tool
from strongroom.clients.workroom import Workroom
from strongroom.errors import ClientError
from strongroom.model import Entry, Point, ReadPlan


class AdoptingClient(ForeignClient):
    """The port `clients.base.Client` over a `Tool` and what it says of others' sets."""

    def __init__(
        self, name: str, tool: Tool, room: Workroom, ledger: Ledger | None, configuration: str, adoption: Adoption
    ) -> None:
        super().__init__(name, tool, room, ledger, configuration)
        self._adoption = adoption
        self._reader = AdoptedReader(adoption, room)
        self._passed = LocalLedger(os.path.join(room.folder, b"passed"))

    def close(self) -> None:
        """See the port."""
        self._reader.close()
        super().close()

    @cached_property
    def _adopted(self) -> dict[str, Adopted]:
        """The points that others made, without those that somebody forgot here."""
        passed = self._passed.read()
        return {id: adopted for id, adopted in self._adoption.all().items() if id not in passed}

    def ids(self) -> set[str]:
        """See the port."""
        return super().ids() | self._adopted.keys()

    def forget(self, ids: Sequence[str]) -> None:
        """See the port. What was adopted is only passed over from now on: it is another's to take away."""
        for id in ids:
            if id in self._adopted:
                self._passed.write(id, State.FORGOTTEN)
                del self._adopted[id]
        super().forget([id for id in ids if id in self._holdings.all()])

    def held(self, id: str) -> Held:
        """See `ForeignClient`."""
        adopted = self._adopted.get(id)
        return Held(point=adopted.point, series="", data=adopted.chain[-1].name) if adopted else super().held(id)

    def _sidecar(self, held: Held) -> Sidecar:
        adopted = self._adopted.get(held.point.id)
        return self._reader.sidecar(adopted) if adopted else super()._sidecar(held)

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """See the port."""
        adopted = self._adopted.get(point.id)
        if adopted is None or listing:
            yield from super().walk(point, paths, listing=listing)
            return
        yield from self._reader.walk(adopted, self._rows(self.held(point.id), paths), paths)

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port."""
        adopted = self._adopted.get(point.id)
        yield from self._reader.contents(adopted, entries) if adopted else super().contents(point, entries)

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port."""
        adopted = self._adopted.get(point.id)
        if adopted is None:
            return super().plan(point, paths)
        held = self.held(point.id)
        return self._adoption.plan(adopted, list(self._rows(held, paths or self._trees(held))))

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """See the port."""
        if source is self and point.id in self._adopted:
            raise ClientError(f"point {point.id} is adopted from others: copy it to another client, such as vault")
        return super().carry(point, source, monitor)
