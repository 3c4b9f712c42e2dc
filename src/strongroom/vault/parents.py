"""Which snapshot a run compares with.

Within a series the newest by sequence number is the parent; a differential run compares with the newest full one. Forgotten
snapshots are never chosen (their records may be swept once this session has ended, not before; see docs/invariants.md, I8).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from strongroom.vault import snapshot
from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.keys import Keys
from strongroom.vault.messages import Base
from strongroom.vault.snapshot import Summary
from strongroom.vault.source import fingerprint as fingerprint_of
from strongroom.vault.state import State
from strongroom.vault.storage import Storage

# Of a snapshot that has no folders, but a feed alone.
NO_FOLDERS = fingerprint_of(())
FULL, DIFFERENTIAL, INCREMENTAL = "full", "differential", "incremental"


class Parent(msgspec.Struct, frozen=True):
    """What one series of a run is compared with; ``base`` is None where there is nothing, ``sources`` names its trees."""

    seq: int
    level: str
    snapshot: str | None
    base: Base | None
    entries: int
    sources: tuple[str, ...] = ()


def remembered(storage: Storage, state: State) -> dict[str, Summary] | None:
    """The summaries of all listed snapshots, or None when some are not remembered on this machine."""
    listed = listed_ids(storage)
    known = state.summaries()
    if not listed <= set(known):
        return None
    return {id: known[id] for id in listed}


def learn(storage: Storage, state: State, keys: Keys) -> dict[str, Summary]:
    """The summaries of all listed snapshots, reading those not remembered; a damaged one is left out (check tells)."""
    known = state.summaries()
    found: dict[str, Summary] = {}
    for id in listed_ids(storage):
        try:
            found[id] = known.get(id) or snapshot.summary(snapshot.decode(storage.get(snapshot.name_of(id)), id, keys))
        except (AbsentError, DamagedError):
            continue
    if found != known:
        state.remember_summaries(found.values())
    return found


def listed_ids(storage: Storage) -> set[str]:
    """The ids of the snapshots in the storage."""
    return {item.name.removeprefix(snapshot.PREFIX) for item in storage.list(snapshot.PREFIX)}


def by_series(summaries: Iterable[Summary]) -> dict[str, list[Summary]]:
    """The summaries of each series: looked through once, however many accounts there are."""
    found: dict[str, list[Summary]] = {}
    for item in summaries:
        found.setdefault(item.series, []).append(item)
    return found


def newest_with(own: Iterable[Summary], tree: str) -> str:
    """The newest of a series' snapshots that has a tree, or nothing. The parent need not have it: not every run takes all."""
    having = [item for item in own if tree in item.sources]
    return max(having, key=lambda item: item.seq).id if having else ""


def alone(parent: Parent) -> Parent:
    """What a snapshot that is carried from elsewhere is compared with: nothing, whatever there is before it."""
    return Parent(parent.seq, FULL, None, None, 0)


def choose(state: State, own: Iterable[Summary], series: str, level: str, fingerprint: bytes) -> Parent:
    """Which of its ``own`` snapshots a series is compared with at a level; the level is full where there is none.

    What has folders is compared with what had folders: a snapshot of a feed alone says nothing about them.
    """
    own = sorted(own, key=lambda item: item.seq)
    seq = own[-1].seq + 1 if own else 1
    if fingerprint != NO_FOLDERS:
        own = [item for item in own if item.filter != NO_FOLDERS] or own
    fulls = [item for item in own if item.level == FULL]
    if not own or (level == DIFFERENTIAL and not fulls):
        return Parent(seq, FULL, own[-1].id if own else None, None, 0)
    chosen = fulls[-1] if level == DIFFERENTIAL else own[-1]
    files = {head.snapshot: head.file for head in state.base_heads(series)}
    file = files.get(chosen.id)
    base = Base(
        snapshot=chosen.id,
        scan_started=chosen.scan_started,
        file=state.base_path(series, file) if file else "",
        trusted=level != FULL,
        digests=bool(file) and chosen.filter == fingerprint,
    )
    return Parent(seq, level, chosen.id, base, chosen.entries, tuple(chosen.sources))
