"""Real pictures from nothing: PNG and baseline JPEG files of noise, which compress as badly as photographs do."""

from __future__ import annotations

import random
import struct
import zlib

# Every Huffman code of ours has four bits, so that code number n is simply n; the last of the sixteen, ones alone, may
# not be used (ITU-T T.81, annex C).
_DC_SYMBOLS = bytes(range(12))
_AC_SYMBOLS = bytes(range(11))
_COEFFICIENTS = 9
# Enough for noise, few enough to be quick: blocks do not end at whole bytes, so that equal ones look different.
_DIFFERENT_BLOCKS = 200


def png(source: random.Random, width: int, height: int) -> bytes:
    """A PNG of 8-bit grey noise (RFC 2083)."""
    rows = b"".join(b"\0" + source.randbytes(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def jpeg(source: random.Random, width: int, height: int) -> bytes:
    """A baseline JPEG of grey noise (ITU-T T.81)."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    bits = "".join(source.choices([_block(source) for _ in range(_DIFFERENT_BLOCKS)], k=blocks))
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _segment(0xDB, b"\0" + bytes([8] * 64)),
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
            _segment(0xC4, b"\x00" + _table(_DC_SYMBOLS)),
            _segment(0xC4, b"\x10" + _table(_AC_SYMBOLS)),
            _segment(0xDA, b"\1\1\0\0\x3f\0"),
            scan,
            b"\xff\xd9",
        )
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _table(symbols: bytes) -> bytes:
    return bytes([0, 0, 0, len(symbols)] + [0] * 12) + symbols


def _block(source: random.Random) -> str:
    """One block's bits: no change of brightness, a few coefficients of random size, end of block."""
    words = ["0000"]
    for _ in range(_COEFFICIENTS):
        size = source.randrange(1, 6)
        words.append(f"{size:04b}{source.getrandbits(size):0{size}b}")
    words.append("0000")
    return "".join(words)
