"""A dump's text out of whatever it was packed in, known by content and not by name, and bounded.

Who made the file may mean harm: nothing is unpacked to disk, nothing is held but a block, and a text that is beyond all
proportion to its file is refused. Archives hold one file, else nobody knows which is meant.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

from strongroom.errors import ExportError

# A text may be so many times as large as its file, or so large in any case.
_MOST_TIMES = 100
_ANYWAY = 1 << 30
_BLOCK = 1 << 18
# Of what describes an archive's content; the lists of honest ones are far shorter.
_MOST_DIRECTORY = 4 << 20
_MOST_HEADER = 1 << 20

_TAR_BLOCK = 512
_PAX_SIZE = re.compile(rb"(?:\A|\n)\d+ size=(\d+)\n")


class Readable(Protocol):
    """What bytes can be read of."""

    def read(self, size: int, /) -> bytes:
        """As many bytes, fewer only at the end."""


def unpacked(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The text of an open file, plain or packed as gzip, bzip2, zip or tar; raise ExportError, which names the file."""
    most = max(_ANYWAY, os.fstat(file.fileno()).st_size * _MOST_TIMES)
    passed = 0
    try:
        file.seek(0)
        for piece in _text(file):
            passed += len(piece)
            if passed > most:
                raise ExportError(f"the text is more than {_MOST_TIMES} times as large as the file; unpack it yourself")
            yield piece
        if not passed:
            raise ExportError("there is nothing in it")
    except (ExportError, OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError) as error:
        raise ExportError(f"{name}: {error}") from None


def _text(file: IO[bytes]) -> Iterator[bytes]:
    mark = file.read(4)
    file.seek(0)
    if mark.startswith(b"PK"):
        yield from _of_zip(file)
        return
    stream: Readable = file
    if mark.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif mark.startswith(b"BZh"):
        stream = bz2.BZ2File(file, "rb")
    first = stream.read(_TAR_BLOCK)
    if first[257:262] == b"ustar":
        yield from _of_tar(first, stream)
        return
    yield first
    yield from _blocks(stream)


def _blocks(stream: Readable) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


class _Cautious(io.RawIOBase):
    """A file for the reader of zips, which would read a directory of any size at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size if 0 <= size <= _MOST_DIRECTORY else _MOST_DIRECTORY + 1)
        if len(content) > _MOST_DIRECTORY:
            raise ExportError("the archive's directory is too large")
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _of_zip(file: IO[bytes]) -> Iterator[bytes]:
    with zipfile.ZipFile(_Cautious(file)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise ExportError(f"the archive has {len(members)} files; it has to have one")
        # Other methods unpack whatever they get at once.
        if members[0].flag_bits & 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ExportError("the archive is encrypted, or packed in a way that is not read here; unpack it yourself")
        with archive.open(members[0]) as stream:
            yield from _blocks(stream)


def _of_tar(block: bytes, stream: Readable) -> Iterator[bytes]:
    """The one file of a tar, of which the first block was read."""
    files = 0
    size = None
    while any(block):
        kind, length = _header(block)
        if size is not None:
            length, size = size, None
        padding = -length % _TAR_BLOCK
        if kind == b"x":
            if length > _MOST_HEADER:
                raise ExportError("a header of the archive is too large")
            found = _PAX_SIZE.search(b"".join(_exactly(stream, length)))
            size = int(found[1]) if found else None
        elif kind in (b"0", b"\0", b"7") and not block[:100].rstrip(b"\0").endswith(b"/"):
            files += 1
            if files > 1:
                raise ExportError("the archive has several files; it has to have one")
            yield from _exactly(stream, length)
        elif kind in b"123456gLK":
            padding += length
        else:
            raise ExportError("the archive is of a kind that is not read here; unpack it yourself")
        for _ in _exactly(stream, padding):
            pass
        block = b"".join(_exactly(stream, _TAR_BLOCK))
    if not files:
        raise ExportError("there is no file in the archive")


def _header(block: bytes) -> tuple[bytes, int]:
    """What a block of a tar announces: the kind of the entry, and the bytes that follow."""
    told = int(block[148:156].strip(b"\0 ") or b"0", 8)
    if told != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise ExportError("the archive is damaged")
    length = block[124:136]
    if length[0] & 0x80:
        return block[156:157], int.from_bytes(length[1:], "big")
    return block[156:157], int(length.strip(b"\0 ") or b"0", 8)


def _exactly(stream: Readable, count: int) -> Iterator[bytes]:
    while count:
        block = stream.read(min(count, _BLOCK))
        if not block:
            raise ExportError("the archive was cut short")
        count -= len(block)
        yield block
