"""Cutting content into chunks by what is in it, and keeping long lists of chunks out of records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from strongroom.vault.frame import Chunk
from strongroom.vault.header import Chunker
from strongroom.vault.keys import ID_SIZE
from strongroom.vault.record import LIST_SIZE, MOST_INLINE, ListNode, node_id

SMALL = 1 << 20


class Keep(Protocol):
    """Takes chunks and nodes to be stored, and gives their ids."""

    node_key: bytes

    def data(self, data: bytes) -> bytes:
        """Store file content; returns its id."""

    def node(self, node: Chunk) -> None:
        """Store a tree node."""


class Stream(Protocol):
    """What can be read from its beginning to its end."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; 0 at the end."""


class Listed(NamedTuple):
    """How a row refers to its chunks: references, their sizes where the row needs them, and levels of list nodes between."""

    references: bytes
    lengths: tuple[int, ...]
    depth: int


class Cutter:
    """Cuts what belongs to one scope."""

    def __init__(self, keep: Keep, chunker: Chunker, seed: int) -> None:
        from pyfastcdc import FastCDC  # late: a night without changes cuts nothing

        self._keep = keep
        self._chunker = FastCDC(
            chunker.average, min_size=chunker.least, max_size=chunker.most, normalized_chunking=2, seed=seed
        )

    def cut(self, stream: Stream) -> Iterator[bytes]:
        """Content-defined chunks (FastCDC, Xia et al. 2016 and 2020) of what is longer than `SMALL`."""
        for chunk in self._chunker.cut_stream(stream):
            yield bytes(chunk.data)

    def listed(self, references: bytes, lengths: list[int]) -> Listed:
        """Move long lists of chunks into list nodes, at most three levels."""
        depth = 0
        sizes = lengths
        while len(sizes) > MOST_INLINE:
            ids: list[bytes] = []
            sums: list[int] = []
            for at in range(0, len(sizes), LIST_SIZE):
                part = references[ID_SIZE * at : ID_SIZE * (at + LIST_SIZE)]
                body = msgspec.msgpack.encode(ListNode(sizes[at : at + LIST_SIZE]))
                node = Chunk(node_id(self._keep.node_key, part, body), body, part)
                self._keep.node(node)
                ids.append(node.id)
                sums.append(sum(sizes[at : at + LIST_SIZE]))
            references, sizes = b"".join(ids), sums
            depth += 1
        return Listed(references, () if depth or len(sizes) < 2 else tuple(sizes), depth)


class Pieces:
    """A file's pieces as the stream that the chunker reads; ``pull`` gives the next, None at the end."""

    def __init__(self, pull: Callable[[], bytes | None]) -> None:
        self._pull = pull
        self._held = memoryview(b"")

    def chunks(self, cutter: Cutter) -> Iterator[bytes]:
        """The file as a folder's would be cut: whole when small, else by its content."""
        first = bytearray()
        while len(first) <= SMALL and (piece := self._pull()) is not None:
            first += piece
        if len(first) > SMALL:
            self._held = memoryview(first)
            yield from cutter.cut(self)
        elif first:
            yield bytes(first)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; less only at the end."""
        filled = 0
        while filled < len(buffer):
            if not self._held:
                piece = self._pull()
                if piece is None:
                    break
                self._held = memoryview(piece)
            size = min(len(buffer) - filled, len(self._held))
            buffer[filled : filled + size] = self._held[:size]
            self._held = self._held[size:]
            filled += size
        return filled
