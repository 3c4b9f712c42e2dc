"""One look at one folder: names, stats, and a digest that says whether anything changed.

The digest covers the folder's own identity and, of every entry that is not a folder, name, inode, size, mtime, ctime, mode,
owner, group and link count; of folders the name (they are looked at themselves). ctime is what an account cannot set. The
order is that of the file system: it does not change unless the folder does, and if it does, records are compared instead.

No Python object is made for a file beyond what the interpreter makes for its stat.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from blake3 import blake3

from strongroom.vault.state import DIGEST_SIZE

# The kernel stamps files by a clock that it sets at each tick, and so up to 10 ms behind (nanoseconds, and as much again).
CLOCK_LAG = 20_000_000
DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
identity: Callable[[os.stat_result], tuple[int, ...]] = attrgetter(
    "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid", "st_nlink"
)
_NEWEST = 1 << 62


class Scan(NamedTuple):
    """What a folder held at one look. Names are text with surrogateescape, as the interpreter gives them."""

    own: os.stat_result
    names: list[str]
    stats: list[os.stat_result]
    folders: list[str]
    vanished: list[str]
    digest: bytes


def open_folder(name: str | bytes, dir_fd: int | None = None) -> int:
    """Open a folder without following a link, and without touching its atime where we may. Raise OSError."""
    try:
        return os.open(name, DIR_FLAGS | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, DIR_FLAGS, dir_fd=dir_fd)


def scan(fd: int, own: os.stat_result, key: bytes) -> Scan:
    """Look at the folder open at ``fd``. Raise OSError."""
    names: list[str] = []
    folders: list[str] = []
    stats: list[os.stat_result] = []
    vanished: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
                continue
            try:
                stats.append(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                vanished.append(entry.name)
                continue
            names.append(entry.name)
    try:
        numbers = array("q", chain.from_iterable(map(identity, stats)))
        told = numbers.tobytes()
    except (
        OverflowError
    ):  # times beyond 63 bits of nanoseconds: some file systems hold them, and some accounts set them
        told = repr([identity(stat) for stat in stats]).encode()
    text = "\0".join(names) + "\0\0" + "\0".join(folders) + repr((*identity(own)[:1], *identity(own)[2:7]))
    digest = blake3(told + text.encode("utf-8", "surrogateescape"), key=key).digest(DIGEST_SIZE)
    return Scan(own, names, stats, folders, vanished, digest)


def newest(scan: Scan) -> int:
    """The newest ctime of a folder and its entries in nanoseconds, clipped to what is kept."""
    latest = max((stat.st_ctime_ns for stat in scan.stats), default=0)
    return min(max(latest, scan.own.st_ctime_ns, 0), _NEWEST)
