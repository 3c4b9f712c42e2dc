"""What damage hurts: the snapshots and paths that need a chunk, or what its frame rests on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.mark import ids_in
from strongroom.vault.reader import Reader
from strongroom.vault.record import Row
from strongroom.vault.vault import Vault

# Paths named for one damaged object.
_MOST_PATHS = 1000


class Hurt:
    """Which snapshots and paths need which damaged chunks."""

    def __init__(self, vault: Vault, bad: set[bytes]) -> None:
        self._by: dict[bytes, tuple[set[str], set[bytes]]] = {id: (set(), set()) for id in bad}
        for id in sorted(vault.ids()):
            with contextlib.suppress(DamagedError, AbsentError):
                self._look(vault, id)

    def _look(self, vault: Vault, id: str) -> None:
        reader = vault.reader
        for head in reader.snapshot(id).segments:
            if head.id in self._by:
                self._hurts(head.id, id, head.first)
                continue
            for path, record_id in reader.segment(head):
                try:
                    record = reader.record(record_id)
                except (DamagedError, AbsentError):
                    self._hurts(record_id, id, path)
                    continue
                for row in record.rows:
                    if row.references:
                        self._row(reader, row, id, path + b"/" + row.name)
                for chunk in ids_in(record.own_references):
                    if chunk in self._by:
                        self._hurts(chunk, id, path)

    def _row(self, reader: Reader, row: Row, id: str, path: bytes) -> None:
        ids = set(ids_in(row.references))
        if row.extra.depth:
            try:
                ids.update(ids_in(reader.references(row)))
            except (DamagedError, AbsentError):
                pass
        for chunk in ids & self._by.keys():
            self._hurts(chunk, id, path)
        for chunk in ids:
            for base in self._bases(reader, chunk):
                if base in self._by:
                    self._hurts(base, id, path)

    def _bases(self, reader: Reader, chunk: bytes) -> tuple[bytes, ...]:
        """What a chunk's frame rests on."""
        place = reader.index.find(chunk)
        try:
            return reader.bases(place) if place is not None else ()
        except (DamagedError, AbsentError):
            return ()  # then the chunk itself is named

    def _hurts(self, chunk: bytes, id: str, path: bytes) -> None:
        snapshots, paths = self._by.setdefault(chunk, (set(), set()))
        snapshots.add(id)
        if len(paths) < _MOST_PATHS:
            paths.add(path)

    def by(self, chunks: Iterable[bytes]) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
        """The snapshots and paths that need any of these."""
        found = [self._by[id] for id in chunks if id in self._by]
        snapshots = sorted(set().union(*(item[0] for item in found)))
        paths = sorted(set().union(*(item[1] for item in found)))
        return tuple(snapshots), tuple(paths[:_MOST_PATHS])
