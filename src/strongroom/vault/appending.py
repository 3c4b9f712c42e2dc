"""A worker's open packs: frames are compressed, encrypted and appended, and the coordinating process is told of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from strongroom.vault.codec import zstd
from strongroom.vault.frame import TARGET, Chunk, Item, Kind, Sealer
from strongroom.vault.index import FrameEntry
from strongroom.vault.keys import Keys
from strongroom.vault.messages import Framed, FromWorker, Packed
from strongroom.vault.pack import PackWriter
from strongroom.vault.prefixing import Prefixer
from strongroom.vault.reader import Reader
from strongroom.vault.storage import Storage

# A chunk of this size is a frame of its own.
ALONE = 512 << 10
# How compressed formats begin; zstd gains nothing on them.
_COMPRESSED = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"wOF2",
    b"OggS", b"ID3", b"Rar!", b"7z\xbc\xaf", b"\x1aE\xdf\xa3",
)  # fmt: skip
_SAMPLE = 4096
_probe = zstd.ZstdCompressor(level=1)


def compressible(data: bytes) -> bool:
    """Whether zstd is worth its time: known beginnings, then a sample from the middle of larger chunks."""
    if data.startswith(_COMPRESSED) or data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return False
    if len(data) < 4 * _SAMPLE:
        return True
    middle = len(data) // 2
    sample = data[middle : middle + _SAMPLE]
    return len(_probe.compress(sample, mode=zstd.ZstdCompressor.FLUSH_FRAME)) < 0.94 * _SAMPLE


class Bundle(NamedTuple):
    """Chunks of one series for one frame; for a window of a large file, the ids of what it may rest on."""

    series: int
    scope: int
    chunks: list[Chunk]
    compress: bool
    bases: Sequence[bytes] = ()


class Appender:
    """The packs that one worker has open, one of each kind, made when they are needed."""

    def __init__(
        self, storage: Storage, keys: Keys, send: Callable[[FromWorker], None], reader: Callable[[], Reader]
    ) -> None:
        self._storage, self._keys, self._send, self._new_reader = storage, keys, send, reader
        self._sealers: dict[Kind, Sealer] = {}
        self._packs: dict[Kind, PackWriter] = {}
        self._prefixer: Prefixer | None = None

    def append(self, bundle: Bundle) -> None:
        """Append a bundle as a frame, or a window as one that rests on others, or as plain ones."""
        if bundle.bases:
            self._prefixer = self._prefixer or Prefixer(self._new_reader())
            made = self._prefixer.compress(bundle.chunks, bundle.bases)
            if made is not None:
                pack = self._pack(Kind.PREFIXED)
                # The first names what all of them rest on.
                items = [Item(chunk.id, len(chunk.data), 0) for chunk in bundle.chunks]
                items[0] = items[0]._replace(references=len(made.bases) // len(items[0].id))
                self._tell(bundle, pack, pack.append_prefixed(bundle.scope, items, made.bases, made.body))
                return
            for part in _plain(bundle):
                self.append(part)
            return
        pack = self._pack(Kind.DATA)
        self._tell(bundle, pack, pack.append(bundle.scope, bundle.chunks, compress=bundle.compress))

    def _pack(self, kind: Kind) -> PackWriter:
        if kind not in self._packs:
            if kind not in self._sealers:
                self._sealers[kind] = Sealer(self._keys, kind)
            self._packs[kind] = PackWriter(self._storage, self._keys, self._sealers[kind], kind)
        return self._packs[kind]

    def _tell(self, bundle: Bundle, pack: PackWriter, entry: FrameEntry) -> None:
        self._send(Framed(bundle.series, pack.id, pack.spool.path, entry.offset, entry.size, entry.ids, pack.kind))
        if pack.full:
            self._finish(pack)

    def _finish(self, pack: PackWriter) -> None:
        size = pack.finish()
        pack.spool.close()
        self._send(Packed(pack.id, pack.spool.path, size))
        del self._packs[pack.kind]

    def finish(self) -> None:
        """Finish the open packs."""
        for pack in list(self._packs.values()):
            self._finish(pack)


def _plain(window: Bundle) -> Iterator[Bundle]:
    """A window as plain frames."""
    together: list[Chunk] = []
    for chunk in window.chunks:
        if len(chunk.data) >= ALONE:
            yield window._replace(chunks=[chunk], compress=compressible(chunk.data), bases=())
            continue
        together.append(chunk)
        if sum([len(each.data) for each in together]) >= TARGET:
            yield window._replace(chunks=together, bases=())
            together = []
    if together:
        yield window._replace(chunks=together, bases=())
