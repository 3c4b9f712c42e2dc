"""A vault, opened: the one way in for what lies above.

Opening costs one passphrase stretching (about 0.2 s), which a run of backups does beside its walk; what needs no key (the ids
of the snapshots) does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from strongroom.vault import header as headers
from strongroom.vault import parents, session
from strongroom.vault.errors import AbsentError
from strongroom.vault.header import Chunker, Header
from strongroom.vault.index import Index
from strongroom.vault.keys import DEAR, Cost, Keys
from strongroom.vault.reader import Reader
from strongroom.vault.snapshot import Snapshot
from strongroom.vault.state import State
from strongroom.vault.storage import Storage

if TYPE_CHECKING:
    from strongroom.vault.run import Progress
    from strongroom.vault.series import Outcome, Request, SeriesFailure


class Vault:
    """One vault, with the part of the state folder that is its own."""

    def __init__(self, storage: Storage, state_folder: str, passphrase: bytes) -> None:
        self.storage = storage
        self.header: Header = headers.load(storage)
        self.state = State(f"{state_folder}/{self.header.id.hex()}")
        self._passphrase = passphrase
        self._opened: Keys | None = None

    @property
    def keys(self) -> Keys:
        """The vault's keys. Raise PassphraseError."""
        if self._opened is None:
            self._opened, slot = headers.unlock(self.storage, self.header, self._passphrase, self.state.slot())
            self.state.remember_slot(slot)
        return self._opened

    def unlock(self) -> Keys:
        """The vault's keys, asked for as an act. Raise PassphraseError."""
        return self.keys

    @cached_property
    def index(self) -> Index:
        """The index."""
        return Index(self.storage, self.keys, self.state.index_folder)

    @cached_property
    def reader(self) -> Reader:
        """Reads chunks, records and snapshots."""
        return Reader(self.storage, self.keys, self.index)

    # --- snapshots ------------------------------------------------------------------------------------------------

    def ids(self) -> set[str]:
        """The ids of the snapshots that are not forgotten."""
        forgotten = self.forgotten()  # looked at first: a sweeper deletes the snapshot before its tombstone
        return parents.listed_ids(self.storage) - forgotten

    def forgotten(self) -> frozenset[str]:
        """Snapshots that a tombstone covers; needs the keys only where there is a tombstone."""
        if not self.storage.list(session.TOMBSTONES):
            return frozenset()
        return session.buried(session.tombstones(self.storage, self.keys).values())[1]

    def snapshot(self, id: str) -> Snapshot:
        """One snapshot. Raise AbsentError, DamagedError."""
        if id in self.forgotten():
            raise AbsentError(f"snapshot {id} was forgotten")
        return self.reader.snapshot(id)

    # --- backing up -----------------------------------------------------------------------------------------------

    def backup(
        self,
        requests: Sequence[Request],
        *,
        workers: int,
        describe: Callable[[Outcome], bytes],
        progress: Callable[[Progress], None],
    ) -> Iterator[Outcome | SeriesFailure]:
        """Back up several series at once; see `Run.outcomes`."""
        from strongroom.vault.run import Run  # late: most commands make no backup

        run = Run(
            self.storage, self.state, self.unlock, requests, describe=describe, progress=progress, workers=workers
        )
        yield from run.outcomes()


def create(
    storage: Storage,
    passphrase: bytes,
    *,
    dedup: str = "vault",
    cost: Cost = DEAR,
    chunker: Chunker = headers.CHUNKER,
) -> None:
    """Make a vault; ``cost`` is that of stretching the passphrase. Raise FormatError when there is a vault."""
    headers.create(storage, passphrase, dedup=dedup, cost=cost, chunker=chunker)


def exists(storage: Storage) -> bool:
    """Whether there is a vault in a storage. Raise FormatError for one of a newer program."""
    try:
        headers.load(storage)
    except AbsentError:
        return False
    return True
