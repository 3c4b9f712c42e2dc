"""The index, made again from packs: each names what it holds."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Collection

from strongroom.vault import pack
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.index import Index, PackEntry, moment_of, put_run
from strongroom.vault.keys import Keys
from strongroom.vault.storage import Listed, Storage


def unindexed(storage: Storage, index: Index, buried: Collection[bytes]) -> list[Listed]:
    """The listed packs that no index run names and no tombstone covers, in the order in which they came."""
    known = {pack.name_of(entry.id) for entry in index.packs} | {pack.name_of(id) for id in buried}
    return sorted((item for item in storage.list(pack.PREFIX) if item.name not in known), key=lambda item: item.received)


def rebuild(storage: Storage, keys: Keys, index: Index, packs: Collection[Listed]) -> int:
    """Put index runs for these packs, durably; returns how many could be read.

    Of a chunk in two packs the later counts, so what was lost is put where it was among the runs that are there.
    """
    moments = sorted(moment_of(name) for name in index.runs)
    groups: dict[int | None, list[PackEntry]] = {}
    for item in packs:
        with contextlib.suppress(DamagedError, AbsentError):
            kind, frames, _ = pack.read_frames(storage, keys, item.name, item.size)
            at = bisect_right(moments, int(item.received * 1e6))
            groups.setdefault(moments[at] - 1 if at < len(moments) else None, []).append(
                PackEntry(pack.id_of(item.name), kind, item.size, frames)
            )
    for moment, entries in groups.items():
        put_run(storage, keys, entries, moment)
    storage.barrier()
    if groups:
        index.reload()
    return sum(len(entries) for entries in groups.values())
