"""The index, made again from packs: each names what it holds."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Collection

from strongroom.vault import pack
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.index import FrameEntry, FramePlace, Index, PackEntry, PackHead, moment_of, put_run
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.reader import Reader
from strongroom.vault.storage import Listed, Storage


def unindexed(storage: Storage, index: Index, buried: Collection[bytes]) -> list[Listed]:
    """The listed packs that no index run names and no tombstone covers, in the order in which they came."""
    known = {pack.name_of(entry.id) for entry in index.packs} | {pack.name_of(id) for id in buried}
    return sorted(
        (item for item in storage.list(pack.PREFIX) if item.name not in known), key=lambda item: item.received
    )


def rebuild(reader: Reader, packs: Collection[Listed]) -> int:
    """Put index runs for these packs, durably; returns how many could be read.

    Of a chunk in two packs the later counts, so what was lost is put where it was among the runs that are there.
    """
    storage, keys, index = reader.storage, reader.keys, reader.index
    moments = sorted(moment_of(name) for name in index.runs)
    groups: dict[int | None, list[PackEntry]] = {}
    for item in packs:
        with contextlib.suppress(DamagedError, AbsentError):
            kind, frames, _ = pack.read_frames(storage, keys, item.name, item.size)
            head = PackHead(pack.id_of(item.name), kind, item.size)
            frames = [frame for frame in frames if _may_count(reader, head, frame)]
            at = bisect_right(moments, int(item.received * 1e6))
            groups.setdefault(moments[at] - 1 if at < len(moments) else None, []).append(
                PackEntry(head.id, kind, item.size, frames)
            )
    if not groups:
        return 0
    # No run of the index may outlive a power loss that one of its packs does not.
    storage.distrust(pack.PREFIX)
    storage.barrier()
    for moment, entries in groups.items():
        put_run(storage, keys, entries, moment)
    storage.barrier()
    index.reload()
    return sum(len(entries) for entries in groups.values())


def _may_count(reader: Reader, head: PackHead, frame: FrameEntry) -> bool:
    """Whether a frame may be named in the index; where it repeats what is there, it has to read back first."""
    ids = [frame.ids[at : at + ID_SIZE] for at in range(0, len(frame.ids), ID_SIZE)]
    if not any(reader.index.find(id) for id in ids):
        return True
    try:
        decoded = reader.read_frame(FramePlace(head, frame.offset, frame.size))
    except DamagedError:
        return False
    found = {id: decoded.chunk(id) for id in ids}
    return all(data and reader.check_chunk(head.kind, decoded.scope, id, data) for id, data in found.items())
