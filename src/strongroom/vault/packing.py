"""A worker's way of storing chunks: ask what is known, bundle what is not, compress, encrypt, append.

Chunks wait until there is about a mebibyte of them and are asked about together, while the next ones are being read. What
is new goes into frames, in the order of the folders: text with text, and what does not compress with its like; new chunks
of a large file whose last version is at hand go into windows (`prefixing`). One thread beside the reader compresses, encrypts
and writes (those calls release the interpreter's lock).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from blake3 import blake3

from strongroom.vault.appending import ALONE, Appender, Bundle, compressible
from strongroom.vault.errors import VaultError
from strongroom.vault.frame import TARGET, Chunk
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.messages import Ask, Done, Failed, FromWorker, Known, Node
from strongroom.vault.prefixing import LastVersion, Spot, Windows
from strongroom.vault.reader import Reader
from strongroom.vault.storage import Storage

# Asked about together at the latest after this many chunks or bytes.
_BATCH_CHUNKS = 512
_BATCH_BYTES = TARGET
# Ids of chunks in flight that are remembered, so that a worker does not send the same content twice.
_MOST_IN_FLIGHT = 20_000
_QUEUE = 3


class _Rotate(NamedTuple):
    pass


class _Pending(NamedTuple):
    chunk: Chunk
    spot: Spot | None


class Packer:
    """Takes the chunks of one worker (the port `cutting.Keep`)."""

    def __init__(
        self,
        storage: Storage,
        keys: Keys,
        send: Callable[[FromWorker], None],
        answer: Callable[[], Known],
        reader: Callable[[], Reader],
    ) -> None:
        self._storage, self._keys = storage, keys
        self._send, self._answer, self._new_reader = send, answer, reader
        self.nodes: list[Node] = []
        self._series = self._scope = -1
        self._chunk_key = self.node_key = b""
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._asked: list[_Pending] = []
        self._windows: Windows | None = None
        self._in_flight: set[bytes] = set()
        self._bundles: dict[bool, list[Chunk]] = {True: [], False: []}
        self._bundled = {True: 0, False: 0}
        self._queue: queue.Queue[Bundle | _Rotate | Done | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._write, name="packer", daemon=True)
        self._thread.start()

    # --- the port -------------------------------------------------------------------------------------------------

    def data(self, data: bytes, version: LastVersion | None = None) -> bytes:
        """Store file content; returns its id. ``version`` is what the same file held last time."""
        id = blake3(data, key=self._chunk_key).digest(ID_SIZE)
        spot = version.spot(id, len(data)) if version is not None else None
        if id not in self._in_flight:
            self._in_flight.add(id)
            self._pending.append(_Pending(Chunk(id, data), spot))
            self._pending_bytes += len(data)
            if self._pending_bytes >= _BATCH_BYTES or len(self._pending) >= _BATCH_CHUNKS:
                self._ask()
        return id

    def node(self, node: Chunk) -> None:
        """Store a tree node: it goes to the coordinating process with the folders."""
        self.nodes.append(Node(node.id, node.references, node.data))

    # --- the walker's side ----------------------------------------------------------------------------------------

    def begin(self, series: int, scope: int) -> None:
        """Chunks belong to this series from now on; a frame never holds bytes of two."""
        if series == self._series:
            return
        self.flush()
        if scope != self._scope:
            self._chunk_key, self.node_key = self._keys.chunk_key(scope), self._keys.node_key(scope)
        self._series, self._scope = series, scope

    def flush(self) -> None:
        """Send everything on its way."""
        while self._pending or self._asked:
            self._ask()
        if self._windows is not None:
            self._windows.close()
        for compress in (True, False):
            self._submit(compress)
        self._in_flight.clear()

    def done(self, task: int) -> None:
        """Report a task done once all its content is appended."""
        self.flush()
        self._queue.put(Done(task))

    def rotate(self) -> None:
        """Finish the open pack, so that what waits for it can be committed."""
        self.flush()
        self._queue.put(_Rotate())

    def finish(self) -> None:
        """Finish the open pack and end the thread."""
        self.rotate()
        self._queue.put(None)
        self._thread.join()

    def _ask(self) -> None:
        """Take the answer for the last batch, and ask about the next."""
        if self._asked:
            bits = self._answer().bits
            for (chunk, spot), known in zip(self._asked, bits, strict=True):
                if not known:
                    self._take(chunk, spot)
        self._asked, self._pending, self._pending_bytes = self._pending, [], 0
        if self._asked:
            self._send(Ask(b"".join([pending.chunk.id for pending in self._asked])))
        if len(self._in_flight) > _MOST_IN_FLIGHT:
            self._in_flight.clear()

    def _take(self, chunk: Chunk, spot: Spot | None) -> None:
        if spot is not None:
            if self._windows is None:
                self._windows = Windows(self._new_reader(), self._reliable, self._window)
            if self._windows.takes(chunk.id):
                self._windows.add(chunk, spot)
                return
        self._bundle(chunk)

    def _reliable(self, ids: list[bytes]) -> list[bytes]:
        """Which chunks can be relied on; asked between two batches."""
        if not ids:
            return []
        self._send(Ask(b"".join(ids)))
        return [id for id, known in zip(ids, self._answer().bits, strict=True) if known]

    def _window(self, chunks: list[Chunk], bases: list[bytes]) -> None:
        if bases:
            self._queue.put(Bundle(self._series, self._scope, chunks, True, bases))
            return
        for chunk in chunks:
            self._bundle(chunk)

    def _bundle(self, chunk: Chunk) -> None:
        compress = compressible(chunk.data)
        if len(chunk.data) >= ALONE:
            self._queue.put(Bundle(self._series, self._scope, [chunk], compress))
            return
        self._bundles[compress].append(chunk)
        self._bundled[compress] += len(chunk.data)
        if self._bundled[compress] >= TARGET:
            self._submit(compress)

    def _submit(self, compress: bool) -> None:
        if self._bundles[compress]:
            self._queue.put(Bundle(self._series, self._scope, self._bundles[compress], compress))
            self._bundles[compress], self._bundled[compress] = [], 0

    # --- the thread -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        appender = Appender(self._storage, self._keys, self._send, self._new_reader)
        broken = False
        while (item := self._queue.get()) is not None:
            if broken:
                continue
            try:
                if isinstance(item, Bundle):
                    appender.append(item)
                elif isinstance(item, Done):
                    self._send(item)
                else:
                    appender.finish()
            except VaultError as error:
                broken = True
                self._fail(str(error))
            except OSError:
                broken = True  # the coordinating process is gone, and with it the run
            except Exception as error:  # were this thread to end, the walk would wait for it for ever
                broken = True
                self._fail(f"a worker failed, which is a fault in strongroom: {error!r}")

    def _fail(self, message: str) -> None:
        with contextlib.suppress(OSError):
            self._send(Failed(None, message))
