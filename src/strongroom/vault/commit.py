"""Committing series: trees, barrier, index, barrier, snapshots, barrier; then, and only then, it is told (I1 to I5)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from strongroom.vault import bases, pack, snapshot
from strongroom.vault import header as headers
from strongroom.vault.errors import AbsentError, DamagedError, VaultError
from strongroom.vault.footing import Footing
from strongroom.vault.frame import Chunk, Kind
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.messages import Walked
from strongroom.vault.series import Outcome, SeriesRun
from strongroom.vault.session import Session
from strongroom.vault.snapshot import SegmentHead, Snapshot
from strongroom.vault.source import fingerprint
from strongroom.vault.state import State, unpack
from strongroom.vault.storage import Storage
from strongroom.vault.trees import TreeKeeper

# What is known of a series' folders: a map, or the name of the file that says it already.
_Known = dict[bytes, bytes] | str
_Mapped = tuple[SeriesRun, list[SegmentHead], _Known]
# So many snapshots are on their way to the disk together; each has a descriptor open meanwhile.
_TOGETHER = 64


class _Made(NamedTuple):
    snapshot: Snapshot
    outcome: Outcome
    known: _Known


class Committer:
    """Keeps a run's tree nodes and packs, and makes snapshots of what is ready."""

    def __init__(
        self, storage: Storage, state: State, session: Session, footing: Footing, describe: Callable[[Outcome], bytes]
    ) -> None:
        self._storage, self._state, self._session, self._describe = storage, state, session, describe
        self._keys, self._index, self._reader = footing.keys, footing.index, footing.reader
        self._trees = TreeKeeper(storage, footing.keys, footing.index)
        self._put: list[bytes] = []
        self._announced = False

    def keep(self, run: SeriesRun, walked: Walked) -> None:
        """Store the tree nodes of a part of a series."""
        for folder in walked.folders:
            node = Chunk(unpack(folder.known).record, folder.body, folder.references)
            run.stored += self._trees.add(run.scope, node)
        for other in walked.nodes:
            run.stored += self._trees.add(run.scope, Chunk(other.id, other.body, other.references))

    def put_pack(self, pack_id: bytes, path: str, size: int) -> None:
        """Put a pack that is finished in its spool; before the first of those that not all programs know, say that."""
        if self._index.growing_kind(pack_id) == Kind.PREFIXED and not self._announced:
            headers.announce(self._storage, headers.PREFIXED)
            self._announced = True
        self._storage.put(pack.name_of(pack_id), self._storage.spool(path))
        self._put.append(pack_id)
        self._index.finish_pack(pack_id, size)

    def commit(self, ready: Sequence[SeriesRun]) -> Iterator[Outcome]:
        """Make the snapshots of series whose packs are all put.

        The index has a barrier of its own, so that no run of it outlives a power loss that one of its packs did not: whoever
        sees a chunk in the index may rely on its pack.
        """
        mapped = [(run, *self._map_of(run)) for run in ready]
        if not mapped:
            return
        mapped[0][0].stored += self._trees.flush()
        self._storage.barrier()
        self._index.publish()
        self._put.clear()
        self._trees.put.clear()
        # Runs that a killed process put may be seen, relied on, and not durable yet.
        self._storage.distrust(INDEX)
        self._storage.barrier()
        self._session.insist()
        made = [
            one for at in range(0, len(mapped), _TOGETHER) for one in self._put_snapshots(mapped[at : at + _TOGETHER])
        ]
        self._storage.barrier()
        self._remember(made)
        for item in made:
            yield item.outcome

    def _map_of(self, run: SeriesRun) -> tuple[list[SegmentHead], _Known]:
        """A series' map, stored, and what to remember of its folders."""
        base = run.base
        if (
            base is not None
            and base.trusted
            and base.digests
            and not run.folders
            and not run.removed
            and run.same_trees
        ):
            segments = self._segments(base.snapshot)
            if segments is not None and all(self._index.known(head.id) for head in segments):
                return segments, os.path.basename(base.file)
        last = (self._state.load_base(base.file) if base.file else None) if base else {}
        if last is None:
            assert base is not None  # noqa: S101 - only a base can have lost its file
            last = bases.last_known(self._reader, base.snapshot) if base.digests else {}
        known = run.map_of(last)
        records = ((path, packed[16 : 16 + ID_SIZE]) for path, packed in known.items())
        heads = []
        for head, node in snapshot.build_map(records, self._keys.node_key(run.scope)):
            run.stored += self._trees.add(run.scope, node)
            heads.append(head)
        return heads, known

    def _segments(self, id: str) -> list[SegmentHead] | None:
        """The map of a snapshot, or None when it cannot be read: then it is made again."""
        try:
            return self._reader.snapshot(id).segments
        except (AbsentError, DamagedError):
            return None

    def _put_snapshots(self, mapped: Sequence[_Mapped]) -> list[_Made]:
        """Put a few snapshots, the disk at work on all of them while the first is waited for."""
        made = [self._snapshot(*parts) for parts in mapped]
        with contextlib.ExitStack() as unused:
            spools = []
            for item in made:
                spools.append(spool := self._storage.spool())
                unused.callback(spool.discard)
                spool.append(snapshot.encode(item.snapshot, self._keys))
                spool.hasten()
            for item, spool in zip(made, spools, strict=True):
                self._storage.put(snapshot.name_of(item.snapshot.id), spool)
        return made

    def _snapshot(self, run: SeriesRun, segments: list[SegmentHead], known: _Known) -> _Made:
        outcome = run.outcome(os.urandom(8).hex())
        made = Snapshot(
            id=outcome.id, series=run.request.series, seq=outcome.seq, parent=outcome.parent, level=outcome.level,
            complete=outcome.complete, scan_started=run.scan_started, scope=run.scope, segments=segments,
            sources=run.request.names, filter=fingerprint(run.request.sources),
            entries=run.counts.entries, detail=self._describe(outcome),
        )  # fmt: skip
        return _Made(made, outcome, known)

    def _remember(self, committed: Sequence[_Made]) -> None:
        """What only makes the next run faster: losing it loses nothing, and a full disk there unmakes no snapshot."""
        with contextlib.suppress(OSError):
            self._index.reload()
            summaries = self._state.summaries()
            summaries.update({item.snapshot.id: snapshot.summary(item.snapshot) for item in committed})
            self._state.remember_summaries(summaries.values())
            for made, outcome, known in committed:
                if outcome.request.sources:  # what a feed alone knew would stand in the way of what the folders were
                    self._state.remember_base(made.series, made.id, made.level, known)

    def discard(self) -> None:
        """Remove packs that no index run names: nothing refers to them, and on a full disk they would stop the next run."""
        self._trees.discard()
        for pack_id in (*self._put, *self._trees.put):
            with contextlib.suppress(VaultError):
                self._storage.delete(pack.name_of(pack_id))
        self._index.close()
