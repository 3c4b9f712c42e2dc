"""One look at one folder: names, stats, and a digest that says whether anything changed.

The digest covers the folder's own identity and, of every entry that is not a folder, name, inode, size, mtime, ctime, mode,
owner, group and link count; of folders the name (they are looked at themselves). ctime is what an account cannot set. The
order is that of the file system: it does not change unless the folder does, and if it does, records are compared instead.

This is what a night consists of: no loop of ours runs over the files of a folder, and no object is made for one beyond what
the interpreter makes for its stat.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec
from blake3 import blake3

from strongroom.vault.state import DIGEST_SIZE

# The kernel stamps files by a clock that it sets at each tick, and so up to 10 ms behind (nanoseconds, and as much again).
CLOCK_LAG = 20_000_000
DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
identity: Callable[[os.stat_result], tuple[int, ...]] = attrgetter(
    "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid", "st_nlink"
)
# Without the size, which is the file system's affair, and the links, which are the folders in it.
_own_identity: Callable[[os.stat_result], tuple[int, ...]] = attrgetter(
    "st_ino", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid"
)
_encode = msgspec.msgpack.Encoder().encode
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
    with os.scandir(fd) as listing:  # open until all is done: an entry finds its stat through it
        entries = list(listing)
        files = [entry for entry in entries if not entry.is_dir(follow_symlinks=False)]
        vanished: list[str] = []
        try:
            stats = [entry.stat(follow_symlinks=False) for entry in files]
        except FileNotFoundError:
            files, stats, vanished = _still_there(files)
    folders: list[str] = []
    if len(files) + len(vanished) < len(entries):
        folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    names = [entry.name for entry in files]
    digest = blake3(_told(own, names, stats, folders), key=key).digest(DIGEST_SIZE)
    return Scan(own, names, stats, folders, vanished, digest)


def _still_there(
    files: Sequence[os.DirEntry[str]],
) -> tuple[list[os.DirEntry[str]], list[os.stat_result], list[str]]:
    """The entries that can be looked at, their stats, and the names of those that vanished since they were listed."""
    there: list[os.DirEntry[str]] = []
    stats: list[os.stat_result] = []
    vanished: list[str] = []
    for entry in files:
        try:
            stats.append(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            vanished.append(entry.name)
            continue
        there.append(entry)
    return there, stats, vanished


def _told(own: os.stat_result, names: list[str], stats: list[os.stat_result], folders: list[str]) -> bytes:
    """What a digest is made of: equal only if all of it is."""
    try:
        return _encode((_own_identity(own), names, list(map(identity, stats)), folders))
    except (UnicodeEncodeError, OverflowError):
        pass  # names that are no text; times beyond 64 bits of nanoseconds, which some accounts set where they can be kept
    numbers = [[str(number) for number in identity(stat)] for stat in stats]
    return _encode((repr(_own_identity(own)), list(map(os.fsencode, names)), numbers, list(map(os.fsencode, folders))))


def newest(scan: Scan) -> int:
    """The newest ctime of a folder and its entries in nanoseconds, clipped to what is kept."""
    latest = max((stat.st_ctime_ns for stat in scan.stats), default=0)
    return min(max(latest, scan.own.st_ctime_ns, 0), _NEWEST)
