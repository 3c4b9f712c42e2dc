"""Packs that are dead for the most part, written anew with what lives in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from strongroom.vault import pack, parents, session
from strongroom.vault.errors import DamagedError, FullError
from strongroom.vault.frame import TARGET, Chunk, Kind, Sealer
from strongroom.vault.index import FrameEntry, FramePlace, PackEntry, PackHead
from strongroom.vault.liveness import Dead, entries, insist_lost, lives
from strongroom.vault.mark import Reached, ids_in, mark
from strongroom.vault.vault import Vault


def rewrite(vault: Vault, dead: Dead, forgotten: frozenset[str]) -> list[PackEntry]:
    """Write sparse packs anew; returns the new packs, durable after the next barrier."""
    made = _Repacker(vault)
    reached = Reached(vault.state.folder)
    lost = frozenset(session.lost(vault.storage, vault.keys, vault.index).chunks)
    try:
        if dead.sparse:
            kept = parents.listed_ids(vault.storage) - forgotten
            roots = [head.id for id in kept for head in vault.reader.snapshot(id).segments]
            for _ in mark(vault.reader, roots, reached):
                pass  # what is lost was accepted as lost when liveness was worked out
            sparse = {head.id for head, _ in dead.sparse}
            for entry in entries(vault):
                if entry.id in sparse:
                    made.carry(entry, reached, lost)
        made.finish()
    except (DamagedError, FullError):
        made.discard()
        raise
    finally:
        reached.close()
    return made.entries


class _Repacker:
    """Carries living chunks over into new packs; ids stay, so nothing else changes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._writers: dict[int, pack.PackWriter] = {}
        self._sealers: dict[int, Sealer] = {}
        self._bundle: list[Chunk] = []
        self._of = (0, 0)
        self.entries: list[PackEntry] = []

    def carry(self, entry: PackEntry, reached: Reached, lost: Collection[bytes]) -> None:
        """Copy what lives of one pack; what is lost stays behind. Raise DamagedError for what nobody knew to be lost."""
        reader = self._vault.reader
        head = PackHead(entry.id, entry.kind, entry.size)
        for frame in entry.frames:
            living = [id for id in ids_in(frame.ids) if lives(self._vault, entry.id, id, reached, set())]
            if not living:
                continue
            place = FramePlace(head, frame.offset, frame.size)
            try:
                decoded = reader.read_frame(place)
            except DamagedError as error:
                insist_lost(living, lost, str(error))
                continue
            whole = []
            for id in living:
                found = decoded.chunk(id)
                if found is not None and reader.check_chunk(entry.kind, decoded.scope, id, found):
                    whole.append(Chunk(id, *found))
                else:
                    insist_lost([id], lost, f"chunk {id.hex()} is not what was stored")
            if entry.kind == Kind.PREFIXED:
                if whole:
                    self._carry_whole(place, whole)
                continue
            for chunk in whole:
                self._add(entry.kind, decoded.scope, chunk)

    def _carry_whole(self, place: FramePlace, living: Sequence[Chunk]) -> None:
        """Copy a prefixed frame as it is: made anew without what it rests on it would be large.

        The index names those of its chunks that live, and no others: these may stand elsewhere by now, or nobody needs them.
        """
        sealed = self._vault.reader.sealed(place)
        writer = self._writer(Kind.PREFIXED)
        made = writer.append_prefixed(sealed.scope, sealed.items, sealed.references, sealed.body)
        writer.frames[-1] = FrameEntry(made.offset, made.size, b"".join([chunk.id for chunk in living]))
        if writer.full:
            self._put(Kind.PREFIXED)

    def _add(self, kind: int, scope: int, chunk: Chunk) -> None:
        if self._of != (kind, scope) or sum(len(item.data) for item in self._bundle) >= TARGET:
            self._append()
            self._of = (kind, scope)
        self._bundle.append(chunk)

    def _append(self) -> None:
        if not self._bundle:
            return
        kind, scope = self._of
        writer = self._writer(kind)
        writer.append(scope, self._bundle)
        self._bundle = []
        if writer.full:
            self._put(kind)

    def _writer(self, kind: int) -> pack.PackWriter:
        writer = self._writers.get(kind)
        if writer is None:
            sealer = self._sealers.setdefault(kind, Sealer(self._vault.keys, Kind(kind)))
            writer = self._writers[kind] = pack.PackWriter(self._vault.storage, self._vault.keys, sealer, Kind(kind))
        return writer

    def _put(self, kind: int) -> None:
        writer = self._writers.pop(kind)
        size = writer.finish()
        self._vault.storage.put(pack.name_of(writer.id), writer.spool)
        self.entries.append(PackEntry(writer.id, kind, size, writer.frames))

    def discard(self) -> None:
        """Remove what was written: nothing refers to it yet."""
        for writer in self._writers.values():
            writer.spool.discard()
        for entry in self.entries:
            self._vault.storage.delete(pack.name_of(entry.id))

    def finish(self) -> None:
        """Put what is open."""
        self._append()
        for kind in list(self._writers):
            self._put(kind)
