"""What a worker works with, made when it is first needed.

A walk over what did not change needs no key: it begins while the passphrase is still being stretched, and what needs the
keys (records, content, last time's records) waits for them here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from strongroom.vault.content import ContentReader
from strongroom.vault.cutting import Cutter
from strongroom.vault.errors import VaultError
from strongroom.vault.feed import Carried, Feed, told
from strongroom.vault.header import Chunker
from strongroom.vault.index import Index
from strongroom.vault.keys import Keys
from strongroom.vault.mark import ids_in
from strongroom.vault.messages import (
    Done,
    FromWorker,
    Known,
    Node,
    Release,
    Released,
    ToWorker,
    Unlocked,
    receive_work,
    send,
)
from strongroom.vault.pipe import Pipe
from strongroom.vault.reader import Reader
from strongroom.vault.record import Row
from strongroom.vault.state import State
from strongroom.vault.storage import Storage
from strongroom.vault.substitute import Substitute

if TYPE_CHECKING:
    from strongroom.vault.packing import Packer

# Positions in the memory shared with the coordinating process: some worker has nothing to do; finish your open pack.
HUNGRY, ROTATE = 0, 1
# Decoded frames that a worker's reader keeps: two windows of a large file rest on much the same.
_KEPT_BYTES = 16 << 20


class Tools:
    """One worker's storage, keys, packer and reader."""

    def __init__(self, pipe: Pipe, storage: Storage, state: State, chunker: Chunker, shared: memoryview) -> None:
        self.storage, self.state, self.shared = storage, state, shared
        self._pipe, self._chunker = pipe, chunker
        self._sending = threading.Lock()
        self._unlocked: Unlocked | None = None
        self._series, self._alone = 0, ""
        self._packer: Packer | None = None
        # The feeds that this worker has drawn and not released, by series.
        self.held: dict[int, Feed | Carried] = {}
        self.digest_key = state.digest_key()

    # --- talking --------------------------------------------------------------------------------------------------

    def send(self, message: FromWorker) -> None:
        """Send to the coordinating process; the packer's thread does so too."""
        with self._sending:
            send(self._pipe, message)

    def receive(self) -> ToWorker:
        """The next message that is not done with at once. Raise EOFError."""
        while isinstance(message := receive_work(self._pipe), Unlocked | Release):
            if isinstance(message, Unlocked):
                self._unlocked = message
            else:
                self.send(Released(message.series, self._release(message.series)))
        return message

    def _release(self, series: int) -> str:
        """Release a feed; returns what went wrong."""
        try:
            self.held.pop(series).release()
        except Exception as error:
            return told(error)
        return ""

    def release(self) -> None:
        """Release every feed: the coordinating process is gone, or done with us."""
        for series in list(self.held):
            self._release(series)

    def _known(self) -> Known:
        message = self.receive()
        assert isinstance(message, Known)  # noqa: S101 - nothing else is sent to a worker that asked
        return message

    # --- what needs keys ------------------------------------------------------------------------------------------

    def _unlock(self) -> Unlocked:
        if self._unlocked is None:
            message = receive_work(self._pipe)
            assert isinstance(message, Unlocked)  # noqa: S101 - nothing else is sent to a worker at work
            self._unlocked = message
        return self._unlocked

    @cached_property
    def keys(self) -> Keys:
        """The vault's keys, waited for."""
        told = self._unlock()
        return Keys(
            vault_id=told.vault_id,
            public=told.public,
            id=told.id,
            index=told.index,
            meta=told.meta,
            private=told.private,
        )

    @cached_property
    def _lost(self) -> frozenset[bytes]:
        """Chunks and nodes that could not be read back, and the nodes that need them."""
        told = self._unlocked  # where anything is lost or doubtful, the keys are here before the first task
        return frozenset((*told.lost_chunks, *told.lost_records) if told else ())

    @property
    def _doubtful(self) -> bool:
        return self._unlocked is not None and self._unlocked.doubtful

    @property
    def all_sound(self) -> bool:
        """Whether every record can be relied on: nothing is lost or doubtful."""
        return not self._lost and not self._doubtful

    def is_lost(self, record: bytes) -> bool:
        """Whether a folder's record cannot be relied on without a look at what it refers to."""
        return record in self._lost or self._doubtful

    def all_there(self, row: Row) -> bool:
        """Whether everything that a row refers to can be relied on."""
        ids = list(ids_in(row.references))
        if any(id in self._lost for id in ids):
            return False
        if not self._doubtful:
            return True
        try:
            if row.extra.depth:
                ids += ids_in(self.reader.references(row))
        except VaultError:
            return False
        return all(self.reader.index.find(id) is not None for id in ids)

    @cached_property
    def reader(self) -> Reader:
        """Reads last time's records."""
        return self._new_reader()

    def _new_reader(self) -> Reader:
        index = Index(self.storage, self.keys, self.state.index_folder)
        return Reader(self.storage, self.keys, index, kept=_KEPT_BYTES)

    @property
    def packer(self) -> Packer:
        """Takes what is to be stored."""
        if self._packer is None:
            from strongroom.vault.packing import Packer  # late: a quiet night stores nothing

            self._packer = Packer(self.storage, self.keys, self.send, self._known, self._new_reader)
            self._packer.begin(self._series, self.keys.scope(self._alone))
        return self._packer

    def content(
        self, owners: frozenset[int], count: Callable[[int], None], substitute: Substitute | None
    ) -> ContentReader:
        """Reads the files of a series whose own users are ``owners``."""
        seed = self.keys.chunker_seed(self.keys.scope(self._alone))
        return ContentReader(self.packer, self._chunker, seed, owners, count, substitute)

    def cutter(self) -> Cutter:
        """Cuts what is stored now."""
        return Cutter(self.packer, self._chunker, self.keys.chunker_seed(self.keys.scope(self._alone)))

    # --- tasks ----------------------------------------------------------------------------------------------------

    def begin(self, series: int, alone: str) -> None:
        """What is stored from now on belongs to this series, and is shared with all, or ``alone`` under that name."""
        self._series, self._alone = series, alone
        if self._packer is not None:
            self._packer.begin(series, self.keys.scope(alone))

    def take_nodes(self) -> list[Node]:
        """Tree nodes made since the last call."""
        if self._packer is None:
            return []
        nodes, self._packer.nodes = self._packer.nodes, []
        return nodes

    def done(self, task: int) -> None:
        """Report a task done, after its content."""
        if self._packer is None:
            self.send(Done(task))
        else:
            self._packer.done(task)

    def rotate(self) -> None:
        """Finish the open pack."""
        if self._packer is not None:
            self._packer.rotate()

    def finish(self) -> None:
        """Finish everything."""
        if self._packer is not None:
            self._packer.finish()
