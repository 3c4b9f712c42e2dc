"""What Bacula's catalog says of a file: its stat and its digest, in Bacula's own digits."""

from __future__ import annotations

import base64
import binascii
import hashlib
import stat as modes
from collections.abc import Iterable

from strongroom.clients.adopted import UNSIGNED
from strongroom.clients.sidecar import Row
from strongroom.model import FileType

_DIGITS = {char: value for value, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
# Where in the list of numbers each is (`encode_stat` in Bacula's attribs.c).
_INODE, _MODE, _LINKS, _UID, _GID, _RDEV, _SIZE, _MTIME, _CTIME = 1, 2, 3, 4, 5, 6, 7, 11, 12
_ALGORITHMS = {16: "md5", 20: "sha1", 32: "sha256", 64: "sha512"}


def number(word: str) -> int:
    """A number in Bacula's digits, the highest first."""
    value = 0
    for char in word.removeprefix("-"):
        value = value * 64 + _DIGITS[char]
    return -value if word.startswith("-") else value


def row(path: bytes, lstat: str, digest: str, file: int, job: int) -> Row:
    """A file's row as a sidecar has it: times in whole seconds, and neither attributes nor a link's target.

    ``place`` is the job that has it; what was stored without a digest is like nothing but itself (``file``).
    """
    numbers = [number(word) for word in lstat.split()]
    mode = numbers[_MODE]
    kind = FileType.of(mode)
    signed = _decoded(digest)
    regular = kind is FileType.FILE
    return Row(
        path=path,
        kind=kind.value,
        mode=modes.S_IMODE(mode),
        uid=numbers[_UID],
        gid=numbers[_GID],
        mtime=(numbers[_MTIME], 0),
        ctime=(numbers[_CTIME], 0),
        size=numbers[_SIZE] if regular or kind is FileType.SYMLINK else 0,
        inode=numbers[_INODE],
        links=1 if kind is FileType.DIR else numbers[_LINKS],
        digest=(signed or b"%s%d" % (UNSIGNED, file)) if regular else b"",
        place=job,
    )


def _decoded(digest: str) -> bytes:
    try:
        found = base64.b64decode(digest + "=" * (-len(digest) % 4), validate=True)
    except binascii.Error:
        return b""
    return found if len(found) in _ALGORITHMS else b""


def is_content(digest: bytes, pieces: Iterable[bytes]) -> bool:
    """Whether pieces are the content that a digest of the catalog is of; true where it has none."""
    if digest.startswith(UNSIGNED):
        return True
    hashed = hashlib.new(_ALGORITHMS[len(digest)], usedforsecurity=False)
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest() == digest
