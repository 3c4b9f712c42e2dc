"""What a tool takes for unchanged, and is not: such files are carried by ourselves."""

from __future__ import annotations

from strongroom.clients.sidecar import Row, Sidecar, sort_key
from strongroom.clients.tool import Overlooking, Tool
from strongroom.model import FileType


def by_age(tool: Tool) -> bool:
    """Whether a set of this tool has what is younger than another, and restores need both: what was moved here is in neither."""
    return not (tool.alone or tool.replays or tool.merges)


class Overlooked:
    """Asked of rows in their order; ``before`` is the sidecar of the set that the new one is built on (None: on none), ``made``
    when that was done (seconds since 1970).
    """

    def __init__(self, tool: Tool, before: Sidecar | None, made: float) -> None:
        self._tool = tool if isinstance(tool, Overlooking) else None
        self._made = made if before is not None and by_age(tool) else None
        self._rows = before.rows() if before is not None else iter(())
        self._row = next(self._rows, None)

    def has(self, now: Row) -> bool:
        """Whether the tool takes a file that changed for an old one, or has never had it as it is.

        What we carried then we carry again, since what the tool read of it nobody knows.
        """
        key = sort_key(now.path)
        while self._row is not None and sort_key(self._row.path) < key:
            self._row = next(self._rows, None)
        before = self._row if self._row is not None and self._row.path == now.path else None
        if not now.digest:
            return False
        known = before is not None and before.kind == FileType.FILE
        if self._made is not None:
            # A folder that is renamed takes its files along, and these are no younger for it.
            return now.ctime[0] <= self._made and not (known and before is not None and before.digest == now.digest)
        if self._tool is None or before is None or not known or (before.digest == now.digest and before.place == 0):
            return False
        return self._tool.overlooks(before, now)
