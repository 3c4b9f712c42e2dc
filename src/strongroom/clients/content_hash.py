"""A hash of a file's bytes that does not depend on how its holes are laid out, nor costs more than its data."""

from __future__ import annotations

from blake3 import blake3

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)


class ContentHash:
    """Takes a file's data as pieces in ascending order; what lies between them is zeros.

    Blocks of a mebibyte are hashed with their numbers, and blocks of zeros not at all.
    """

    def __init__(self) -> None:
        self._hash = blake3()
        self._number = 0
        self._block = bytearray()

    def add(self, offset: int, data: bytes) -> None:
        """Take one piece."""
        view = memoryview(data)
        while view:
            number, at = divmod(offset, _BLOCK)
            if number != self._number:
                self._flush()
                self._number = number
            self._block += _ZEROS[: at - len(self._block)]
            taken = view[: _BLOCK - at]
            self._block += taken
            offset += len(taken)
            view = view[len(taken) :]

    def _flush(self) -> None:
        told = bytes(self._block).rstrip(b"\0")
        if told:
            self._hash.update(self._number.to_bytes(8, "big") + len(told).to_bytes(4, "big"))
            self._hash.update(told)
        self._block.clear()

    def digest(self, size: int) -> bytes:
        """The hash of all that came, for a file of this size in bytes."""
        self._flush()
        self._hash.update(b"size" + size.to_bytes(8, "big"))
        return self._hash.digest()
