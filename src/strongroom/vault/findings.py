"""What a worker found on a task and has not told yet; it is told in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from strongroom.vault.frame import Chunk
from strongroom.vault.messages import MOST_YOUNGER, Counts, Folder, Linked, Node, Remark, Walked
from strongroom.vault.record import Defect, Record, Row
from strongroom.vault.scan import Scan, newest
from strongroom.vault.state import NO_DIGEST, Known

_BATCH_FOLDERS = 200
_BATCH_ENTRIES = 20_000
_BATCH_BYTES = 256 << 10


class Findings:
    """Of one task. ``younger_than``: files that changed at this moment (nanoseconds) or later are to be named."""

    def __init__(
        self,
        task: int,
        younger_than: int | None,
        send: Callable[[Walked], None],
        take_nodes: Callable[[], list[Node]],
    ) -> None:
        self._task, self._younger_than = task, younger_than
        self._send, self._take_nodes = send, take_nodes
        self._begin()

    def _begin(self) -> None:
        self.counts = Counts()
        self.removed: list[bytes] = []
        self.linked: list[Linked] = []
        self._folders: list[Folder] = []
        self._remarks: list[Remark] = []
        self._younger: list[bytes] = []
        self._younger_count = 0
        self._bytes = 0

    def same(self, known: Known) -> None:
        """A folder with all its files is as it was."""
        counts = self.counts
        counts.seen += known.entries
        counts.unchanged += known.entries
        counts.entries += known.entries + 1
        counts.size += known.size
        if counts.entries > _BATCH_ENTRIES:
            self.tell()

    def recorded(self, path: bytes, look: Scan, made: Record, node: Chunk, files: int, size: int) -> None:
        """A folder has a record, with so many files of so many bytes."""
        told = bool(made.remarks)
        for row in made.rows:
            if row.extra.remark:
                told = True
                defect = row.extra.defect in (Defect.UNREAD, Defect.CHANGED)
                self.remark(path + b"/" + row.name, row.extra.remark, defect=defect)
        for name, message in made.remarks:
            self.remark(path + b"/" + name if name else path, message, defect=not name)
        self.counts.seen += files
        self.counts.entries += files + 1
        self.counts.size += size
        self._add(path, Known(look.digest, node.id, newest(look), told, files, size), node)

    def left_out(self, path: bytes, node: Chunk, message: str, *, defect: bool) -> None:
        """A folder's content is left out, and why; its record has only itself."""
        self.remark(path, message, defect=defect)
        self.counts.entries += 1
        self._add(path, Known(NO_DIGEST, node.id, 0, True, 0, 0), node)

    def remark(self, path: bytes, message: str, *, defect: bool) -> None:
        """Something is to be said of a path."""
        self._remarks.append(Remark(path, message, defect))

    def changed_late(self, path: bytes, rows: Sequence[Row]) -> None:
        """Note what was changed since the feed's moment. Folders that are used again by digest are older by a minute."""
        if self._younger_than is None:
            return
        younger = [row.name for row in rows if row.ctime >= self._younger_than]
        self._younger_count += len(younger)
        self._younger += [path + b"/" + name for name in younger[: MOST_YOUNGER - len(self._younger)]]

    def read(self, size: int) -> None:
        """So many bytes were read."""
        self.counts.bytes_read += size

    def _add(self, path: bytes, known: Known, node: Chunk) -> None:
        self._folders.append(Folder(path, known.pack(), node.references, node.data))
        self._bytes += len(node.references) + len(node.data)
        if len(self._folders) >= _BATCH_FOLDERS or self._bytes > _BATCH_BYTES or self.counts.entries > _BATCH_ENTRIES:
            self.tell()

    def tell(self) -> None:
        """Tell the coordinating process what there is."""
        walked = Walked(
            self._task, self._folders, self._take_nodes(), self.removed, self._remarks, self.linked, self.counts,
            self._younger, self._younger_count,
        )  # fmt: skip
        self._begin()
        self._send(walked)
