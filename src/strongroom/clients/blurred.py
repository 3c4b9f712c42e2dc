"""What a tool that compares whole seconds takes for unchanged, and is not: such files are carried by ourselves."""

from __future__ import annotations

from strongroom.clients.sidecar import Row, Sidecar, sort_key
from strongroom.model import FileType


class Blurred:
    """Asked of rows in their order; ``before`` is the sidecar of the set that the tool compares with (None: of none)."""

    def __init__(self, before: Sidecar | None) -> None:
        self._rows = before.rows() if before is not None else iter(())
        self._row = next(self._rows, None)

    def has(self, row: Row) -> bool:
        """Whether a file's content is not the tool's of that set, and the tool cannot know."""
        key = sort_key(row.path)
        while self._row is not None and sort_key(self._row.path) < key:
            self._row = next(self._rows, None)
        before = self._row
        if before is None or before.path != row.path or not row.digest:
            return False
        if before.kind != FileType.FILE or row.kind != FileType.FILE:
            return False
        looks = (before.mtime[0], before.ctime[0], before.size) == (row.mtime[0], row.ctime[0], row.size)
        # What we carried then, the tool has from another moment, or not at all.
        return looks and (before.digest != row.digest or before.place != 0)
