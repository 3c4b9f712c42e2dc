"""The coordinating process's way of storing tree nodes: in packs of their own, never among file content."""

from __future__ import annotations

from strongroom.vault.frame import TARGET, Chunk, Kind, Sealer
from strongroom.vault.index import Index
from strongroom.vault.keys import Keys
from strongroom.vault.pack import PackWriter, name_of
from strongroom.vault.storage import Storage


class TreeKeeper:
    """Bundles nodes into frames, frames into packs."""

    def __init__(self, storage: Storage, keys: Keys, index: Index) -> None:
        self._storage, self._keys, self._index = storage, keys, index
        self._sealer: Sealer | None = None
        self._pack: PackWriter | None = None
        self._scope = 0
        self._bundle: dict[bytes, Chunk] = {}
        self._size = 0
        self.put: list[bytes] = []

    def add(self, scope: int, node: Chunk) -> int:
        """Store a node unless it is known; returns the bytes of a frame where one was appended, else 0."""
        if node.id in self._bundle or self._index.known(node.id):
            return 0
        written = 0
        if scope != self._scope:
            written = self._append()
            self._scope = scope
        self._bundle[node.id] = node
        self._size += len(node.data) + len(node.references)
        return written + (self._append() if self._size >= TARGET else 0)

    def _append(self) -> int:
        if not self._bundle:
            return 0
        if self._pack is None:
            self._sealer = self._sealer or Sealer(self._keys, Kind.TREE)
            self._pack = PackWriter(self._storage, self._keys, self._sealer, Kind.TREE)
        entry = self._pack.append(self._scope, list(self._bundle.values()))
        self._index.add_frame(self._pack.id, Kind.TREE, entry)
        self._bundle, self._size = {}, 0
        if self._pack.full:
            self._finish()
        return entry.size

    def flush(self) -> int:
        """Append what waits and put the open pack; durable after the next barrier. Returns bytes appended."""
        written = self._append()
        self._finish()
        return written

    def _finish(self) -> None:
        if self._pack is None:
            return
        pack, self._pack = self._pack, None
        size = pack.finish()
        self._storage.put(name_of(pack.id), pack.spool)
        self.put.append(pack.id)
        self._index.finish_pack(pack.id, size)

    def discard(self) -> None:
        """Drop the open pack."""
        if self._pack is not None:
            self._pack.spool.discard()
            self._pack = None
