"""One set in the making in a tool's storage: from the name that it gets to the record of its point.

Whatever it is made of, it has a folder of ours beside the account's: the sidecar, and the files that the tool would not bring
back under their names. What is only known when the set is made goes into its small second part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from strongroom.clients.box import Bind, View
from strongroom.clients.bringing import OWN
from strongroom.clients.holdings import Holdings, put
from strongroom.clients.sidecar import Row, digest, write
from strongroom.clients.tool import TAIL, Consolidating, Held, Order, Saved, Tool
from strongroom.clients.workroom import Workroom
from strongroom.errors import ClientError
from strongroom.model import Level, Point

# Tools reach files by one path, which the kernel takes up to 4096 bytes of.
LONGEST = 3500
# More bytes of holes than this in one file are not left to a tool that fills them.
HOLES = 64 << 20


class NewSet:
    """A set of one series. ``id`` is its name, and its point's."""

    def __init__(
        self, tool: Tool, holdings: Holdings, room: Workroom, series: str, *, alone: bool = False
    ) -> None:
        """``alone``: nothing is ever built on it, so that it gets a series of its own."""
        self.tool, self.id = tool, os.urandom(8).hex()
        self.series = f"{series}.{self.id}" if alone else series
        self._holdings = holdings
        self._view = room.below(b"view")

    def place(self, path: bytes) -> bytes:
        """Where the tool sees a stored path."""
        return b"%s/%s/%s" % (self._view, self.series.encode(), path)

    def holds(self, path: bytes) -> bool:
        """Whether the tool brings a file back under its name; the others are numbered files of ours."""
        return len(self.place(path)) <= LONGEST and self.tool.holds(path)

    def save(
        self, folders: Sequence[Bind], own: bytes, *, parent: Held | None = None, level: Level = Level.FULL,
        masks: Sequence[tuple[bytes, bool]] = (), progress: Callable[[int, int], None] | None = None,
    ) -> Saved:  # fmt: skip
        """Have the tool make the set of folders (their places are trees' names), and of our own; raise ClientError."""
        top = self.series.encode() + b"/"
        self._holdings.begin(self.id)
        return self.tool.save(
            Order(
                name=self.id,
                series=self.series,
                view=View(
                    folder=self._view,
                    binds=tuple(Bind(source=bind.source, place=top + bind.place) for bind in (*folders, _own(own))),
                    masks=tuple((top + path, folder) for path, folder in masks),
                ),
                level=level if parent is not None else Level.FULL,
                base=parent.data if parent is not None else "",
                since=parent.point.id if parent is not None else "",
                progress=progress,
            )
        )

    def consolidate(self, tool: Consolidating, chain: Sequence[Held]) -> Saved:
        """Have the tool make the set of those of a chain; raise ClientError."""
        self._holdings.begin(self.id)
        return tool.consolidate(self.id, chain)

    def commit(self, held: Held, second: bytes, sidecar: bytes, corrections: Sequence[Row]) -> Point:
        """Write the point down, with a second part where one is needed; from then on it exists.

        ``sidecar`` is the one that lies in the set.
        """
        held = msgspec.structs.replace(held, sidecar=digest(sidecar))
        written = os.path.join(second, b"corrections")
        if corrections:
            write(written, corrections)
        if corrections or not self._holdings.lists:
            put(os.path.join(second, b"held"), msgspec.msgpack.encode(held))
            name = self.id + TAIL
            self._holdings.begin(name)
            bind = Bind(source=second, place=b"%s/%s" % (self.series.encode(), OWN))
            view = View(folder=self._view, binds=(bind,))
            saved = self.tool.save(Order(name=name, series=self.series, view=view, level=Level.FULL, tail=True))
            if saved.troubles:
                raise ClientError(f"{self.tool.driver} could not copy a file of ours: {saved.troubles[0].message}")
            held = msgspec.structs.replace(held, tail=saved.handle)
        self._holdings.keep_sidecar(self.id, sidecar, written if corrections else None)
        self._holdings.add(held)
        self._holdings.finish(self.id, self.id + TAIL)
        return held.point


def _own(folder: bytes) -> Bind:
    return Bind(source=folder, place=OWN)
