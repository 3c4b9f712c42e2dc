"""A writer taken to pieces: what a run does to the vault, in its own functions and its own order, one step at a time.

`RULES` names what such a writer must keep to; one may be broken, to prove that the proof would notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from blake3 import blake3

from strongroom.vault import pack, parents, session, snapshot
from strongroom.vault.errors import AbsentError, StorageError
from strongroom.vault.footing import known
from strongroom.vault.frame import Chunk, Item, Kind, Sealer, compress_against
from strongroom.vault.index import PREFIX as INDEX
from strongroom.vault.index import Index
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.reader import Reader
from strongroom.vault.record import Own, Record, Row, Type, encode
from strongroom.vault.session import Session
from strongroom.vault.snapshot import Snapshot
from strongroom.vault.trees import TreeKeeper
from strongroom.vault.vault import Vault

RULES = (
    "the session comes before the look at tombstones",
    "the index is loaded after the look at tombstones",
    "the parent is chosen after the look at tombstones",
    "what a tombstone covers is stored again",
    "a forgotten parent is none",
    "what rests on what a tombstone covers is stored again",
    "nothing new rests on what a tombstone covers",
)


class Writer:
    """Backs up folders of one file each; unchanged ones keep their parent's records unseen.

    ``resting`` says of some files what they are stored against, where that can be relied on.
    """

    def __init__(
        self,
        vault: Vault,
        series: str,
        id: str,
        wanted: Sequence[bytes],
        *,
        resting: Mapping[bytes, bytes] | None = None,
        broken: str = "",
    ) -> None:
        self._resting = resting or {}
        self._vault, self._storage, self._keys = vault, vault.storage, vault.keys
        self._series, self.id, self._wanted, self._broken = series, id, wanted, broken
        self.committed = False
        self.content: dict[bytes, bytes] = {}

    def steps(self) -> Iterator[str]:
        """Back up, step by step."""
        order = [self._begin, self._look_for_tombstones, self._load_index, self._choose_parent]
        if self._broken == RULES[0]:
            order = [order[1], order[0], order[2], order[3]]
        elif self._broken == RULES[1]:
            order = [order[2], order[0], order[1], order[3]]
        elif self._broken == RULES[2]:
            order = [order[3], order[0], order[1], order[2]]
        self._packs: frozenset[bytes] = frozenset()
        self._snapshots: frozenset[str] = frozenset()
        for step in order:
            step()
            yield step.__name__.strip("_")
        try:
            self._append()
            yield "append"
            self._publish()
            yield "publish"
            self._session.insist()
            self._commit()
            self.committed = True
            yield "commit"
        except (AbsentError, StorageError):
            pass  # a writer that cannot go on is no loss
        self._session.close()
        self._index.close()
        yield "end"

    def _begin(self) -> None:
        self._session = Session(self._storage)

    def _look_for_tombstones(self) -> None:
        stones = session.tombstones(self._storage, self._keys)
        self._packs, self._snapshots = session.buried(stones.values())

    def _load_index(self) -> None:
        self._index = Index(self._storage, self._keys, self._vault.state.index_folder)

    def _choose_parent(self) -> None:
        buried = frozenset[str]() if self._broken == RULES[4] else self._snapshots
        known = parents.learn(self._storage, self._vault.state, self._keys)
        self._own = sorted(
            (item for id, item in known.items() if item.series == self._series and id not in buried),
            key=lambda item: item.seq,
        )

    def _append(self) -> None:
        self._index.treat_as_absent(frozenset() if self._broken == RULES[3] else self._packs, frozenset())
        self._reader = reader = Reader(self._storage, self._keys, self._index)
        self._folders: dict[bytes, bytes] = {}
        if self._own:
            parent = reader.snapshot(self._own[-1].id)
            for path, record_id in reader.directories(parent):
                self._folders[path] = record_id
        self._trees = TreeKeeper(self._storage, self._keys, self._index)
        self._packs_made: dict[Kind, pack.PackWriter] = {}
        for data in self._wanted:
            id = self._id(data)
            if not self._known(id, self._broken == RULES[5]):
                self._store(Chunk(id, data))
            row = Row(b"file", Type.FILE, size=len(data), references=id)
            node = encode(Record(Own(0o755, 0, 0, 0, 0, 0, 0, 0), [row], []), self._keys.node_key(0))
            self._trees.add(0, node)
            self._folders[b"data/" + data[:8].hex().encode()] = node.id

    def _id(self, data: bytes) -> bytes:
        return blake3(data, key=self._keys.chunk_key(0)).digest(ID_SIZE)

    def _known(self, id: bytes, carelessly: bool) -> bool:
        return self._index.known(id) if carelessly else known(self._index, self._reader, id)

    def _pack(self, kind: Kind) -> pack.PackWriter:
        if kind not in self._packs_made:
            sealer = Sealer(self._keys, kind)
            self._packs_made[kind] = pack.PackWriter(self._storage, self._keys, sealer, kind)
        return self._packs_made[kind]

    def _store(self, chunk: Chunk) -> None:
        below = self._resting.get(chunk.data)
        if below is not None and (self._broken == RULES[6] or self._known(self._id(below), False)):
            made = self._pack(Kind.PREFIXED)
            items = [Item(chunk.id, len(chunk.data), 1)]
            entry = made.append_prefixed(0, items, self._id(below), compress_against(below, chunk.data))
        else:
            made = self._pack(Kind.DATA)
            entry = made.append(0, [chunk])
        self._index.add_frame(made.id, made.kind, entry)

    def _publish(self) -> None:
        for made in self._packs_made.values():
            size = made.finish()
            self._storage.put(pack.name_of(made.id), made.spool)
            self._index.finish_pack(made.id, size)
        self._segments = []
        for head, node in snapshot.build_map(self._folders.items(), self._keys.node_key(0)):
            self._trees.add(0, node)
            self._segments.append(head)
        self._trees.flush()
        self._storage.barrier()
        self._index.publish()
        self._storage.distrust(INDEX)
        self._storage.barrier()

    def _commit(self) -> None:
        made = Snapshot(
            id=self.id, series=self._series, seq=self._own[-1].seq + 1 if self._own else 1, parent=None,
            level="incremental", complete=True, scan_started=0, scope=0, segments=self._segments, sources=["data"],
            filter=b"", entries=0, detail=b"",
        )  # fmt: skip
        self._storage.put(snapshot.name_of(self.id), snapshot.encode(made, self._keys))
        self._storage.barrier()
