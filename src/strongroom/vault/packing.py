"""A worker's way of storing chunks: ask what is known, bundle what is not, compress, encrypt, append.

Chunks wait until there is about a mebibyte of them and are asked about together, while the next ones are being read. What
is new goes into frames, in the order of the folders: text with text, and what does not compress with its like. One thread
beside the reader compresses, encrypts and writes (those calls release the interpreter's lock).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from blake3 import blake3

from strongroom.vault.codec import zstd
from strongroom.vault.errors import VaultError
from strongroom.vault.frame import TARGET, Chunk, Kind, Sealer
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.messages import Ask, Done, Failed, Framed, FromWorker, Known, Node, Packed
from strongroom.vault.pack import PackWriter
from strongroom.vault.storage import Storage

# Asked about together at the latest after this many chunks or bytes.
_BATCH_CHUNKS = 512
_BATCH_BYTES = TARGET
# A chunk of this size is a frame of its own.
_ALONE = 512 << 10
# Ids of chunks in flight that are remembered, so that a worker does not send the same content twice.
_MOST_IN_FLIGHT = 20_000
_QUEUE = 3

# How compressed formats begin; zstd gains nothing on them.
_COMPRESSED = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"wOF2",
    b"OggS", b"ID3", b"Rar!", b"7z\xbc\xaf", b"\x1aE\xdf\xa3",
)  # fmt: skip
_SAMPLE = 4096
_probe = zstd.ZstdCompressor(level=1)


class _Frame(NamedTuple):
    series: int
    scope: int
    chunks: list[Chunk]
    compress: bool


class _Rotate(NamedTuple):
    pass


def compressible(data: bytes) -> bool:
    """Whether zstd is worth its time: known beginnings, then a sample from the middle of larger chunks."""
    if data.startswith(_COMPRESSED) or data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return False
    if len(data) < 4 * _SAMPLE:
        return True
    middle = len(data) // 2
    sample = data[middle : middle + _SAMPLE]
    return len(_probe.compress(sample, mode=zstd.ZstdCompressor.FLUSH_FRAME)) < 0.94 * _SAMPLE


class Packer:
    """Takes the chunks of one worker (the port `cutting.Keep`)."""

    def __init__(
        self, storage: Storage, keys: Keys, send: Callable[[FromWorker], None], answer: Callable[[], Known]
    ) -> None:
        self._storage, self._keys = storage, keys
        self._send, self._answer = send, answer
        self.nodes: list[Node] = []
        self._series = self._scope = -1
        self._chunk_key = self.node_key = b""
        self._pending: list[Chunk] = []
        self._pending_bytes = 0
        self._asked: list[Chunk] = []
        self._in_flight: set[bytes] = set()
        self._bundles: dict[bool, list[Chunk]] = {True: [], False: []}
        self._bundled = {True: 0, False: 0}
        self._queue: queue.Queue[_Frame | _Rotate | Done | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._write, name="packer", daemon=True)
        self._thread.start()

    # --- the port -------------------------------------------------------------------------------------------------

    def data(self, data: bytes) -> bytes:
        """Store file content; returns its id."""
        id = blake3(data, key=self._chunk_key).digest(ID_SIZE)
        if id not in self._in_flight:
            self._in_flight.add(id)
            self._pending.append(Chunk(id, data))
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
            for chunk, known in zip(self._asked, bits, strict=True):
                if not known:
                    self._bundle(chunk)
        self._asked, self._pending, self._pending_bytes = self._pending, [], 0
        if self._asked:
            self._send(Ask(b"".join([chunk.id for chunk in self._asked])))
        if len(self._in_flight) > _MOST_IN_FLIGHT:
            self._in_flight.clear()

    def _bundle(self, chunk: Chunk) -> None:
        compress = compressible(chunk.data)
        if len(chunk.data) >= _ALONE:
            self._queue.put(_Frame(self._series, self._scope, [chunk], compress))
            return
        self._bundles[compress].append(chunk)
        self._bundled[compress] += len(chunk.data)
        if self._bundled[compress] >= TARGET:
            self._submit(compress)

    def _submit(self, compress: bool) -> None:
        if self._bundles[compress]:
            self._queue.put(_Frame(self._series, self._scope, self._bundles[compress], compress))
            self._bundles[compress], self._bundled[compress] = [], 0

    # --- the thread -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        sealer = Sealer(self._keys, Kind.DATA)
        pack: PackWriter | None = None
        broken = False
        while (item := self._queue.get()) is not None:
            if broken:
                continue
            try:
                if isinstance(item, _Frame):
                    if pack is None:
                        pack = PackWriter(self._storage, self._keys, sealer, Kind.DATA)
                    entry = pack.append(item.scope, item.chunks, compress=item.compress)
                    self._send(Framed(item.series, pack.id, pack.spool.path, entry.offset, entry.size, entry.ids))
                elif isinstance(item, Done):
                    self._send(item)
                if pack is not None and (pack.full or isinstance(item, _Rotate)):
                    size = pack.finish()
                    pack.spool.close()
                    self._send(Packed(pack.id, pack.spool.path, size))
                    pack = None
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
