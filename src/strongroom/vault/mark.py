"""What snapshots need: the chunks and nodes reachable from them, and the chunks that frames of these rest on.

Only references are read (class ``meta``), never content: the cost is the number of distinct tree nodes. The set of what was
reached is a `Table` on disk, so memory does not grow with the vault.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from strongroom.vault import snapshot
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.frame import Kind
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.reader import Reader
from strongroom.vault.storage import Storage
from strongroom.vault.table import Place, Table

_HERE = Place(0, 0, 0)


class Reached:
    """A set of ids on disk."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._table = Table.scratch(folder)

    def __contains__(self, id: bytes) -> bool:
        return self._table.get(id) is not None

    def add(self, ids: Iterable[bytes]) -> None:
        """Add ids."""
        self._table.add((id, _HERE) for id in ids)

    def close(self) -> None:
        """Remove it."""
        self._table.close()


def ids_in(references: bytes) -> Iterator[bytes]:
    """References one by one."""
    return (references[at : at + ID_SIZE] for at in range(0, len(references), ID_SIZE))


def mark(reader: Reader, start: Iterable[bytes], reached: Reached) -> Iterator[tuple[bytes, str]]:
    """Add all that is reachable from ``start`` to ``reached``; yields ids that cannot be read, with the reason."""
    pending = [id for id in dict.fromkeys(start) if id not in reached]
    reached.add(pending)
    while pending:
        below: dict[bytes, None] = {}
        for id in pending:
            try:
                place = reader.locate(id)
                needed = ids_in(reader.node(id)[1]) if place.pack.kind == Kind.TREE else reader.bases(place)
            except (AbsentError, DamagedError) as error:
                yield id, str(error)
                continue
            below.update(dict.fromkeys(needed))
        pending = [id for id in below if id not in reached]
        reached.add(pending)


def records_needing(reader: Reader, storage: Storage, chunks: set[bytes]) -> list[bytes]:
    """The tree nodes, and the chunks, that directly or through others need any of these chunks, of all snapshots."""
    needing: dict[bytes, bool] = {}

    def needs(id: bytes) -> bool:
        if id not in needing:
            needing[id] = id in chunks
            try:
                if not needing[id]:
                    place = reader.locate(id)
                    below = ids_in(reader.node(id)[1]) if place.pack.kind == Kind.TREE else reader.bases(place)
                    found = [needs(each) for each in below]  # all of them: each has to be told
                    needing[id] = any(found)
            except (AbsentError, DamagedError):
                needing[id] = True
        return needing[id]

    for item in storage.list(snapshot.PREFIX):
        try:
            made = reader.snapshot(item.name.removeprefix(snapshot.PREFIX))
        except (AbsentError, DamagedError):
            continue
        for head in made.segments:
            needs(head.id)
    return [id for id, needed in needing.items() if needed and id not in chunks]
