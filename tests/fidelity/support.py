"""What a file system can hold, found by trying."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from tests.fidelity import flags

# 1677, 1880, around the ends of 32 bits (1901, 2038, 2106) and of ext4 (1901, 2446), either side of 1970, and 9999. Not
# the very ends of ext4: there it drops the nanoseconds.
MOMENTS = (
    -9223372036,
    -2840140800,
    -2147483649,
    -2147483647,
    -315619200,
    -1,
    0,
    946684800,
    2147483648,
    4294967296,
    9214646400,
    15032385534,
    15032385536,
    253402300800,
)
NANOSECONDS = 123456789


@dataclass(frozen=True)
class Support:
    """One file system's abilities: lengths in bytes, times in seconds since 1970, flags as bits."""

    moments: tuple[int, ...]
    namespaces: frozenset[bytes]
    special_xattrs: bool
    value: int
    acls: bool
    devices: bool
    target: int
    file_flags: tuple[int, ...]
    folder_flags: tuple[int, ...]


def probe(folder: bytes) -> Support:
    """Find out what the file system of a folder holds, in a folder inside it that is gone afterwards."""
    trial = os.fsencode(tempfile.mkdtemp(dir=os.fsdecode(folder)))
    try:
        return _probe(trial)
    finally:
        with contextlib.closing(_Descriptor(trial)) as opened:
            flags.unlock(opened.fd)
        shutil.rmtree(trial)


class _Descriptor:
    def __init__(self, path: bytes) -> None:
        self.fd = os.open(path, flags.FOLDER)

    def close(self) -> None:
        os.close(self.fd)


def _probe(trial: bytes) -> Support:
    file = trial + b"/file"
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o644))
    return Support(
        moments=tuple(moment for moment in MOMENTS if _keeps(file, moment)),
        namespaces=frozenset(
            space for space in (b"user", b"trusted", b"security") if _works(os.setxattr, file, space + b".probe", b"1")
        ),
        special_xattrs=_special_xattrs(trial),
        value=_largest(65536, lambda size: _holds(trial, size)),
        acls=_acls(file),
        devices=_works(os.mknod, trial + b"/device", stat.S_IFCHR | 0o600, os.makedev(0, 0)),
        target=_largest(4095, lambda size: _works(os.symlink, b"t" * size, trial + b"/target%d" % size)),
        file_flags=_flags(trial, folder=False),
        folder_flags=_flags(trial, folder=True),
    )


def _works(call: Callable[..., object], *arguments: object) -> bool:
    try:
        call(*arguments)
    except OSError:
        return False
    return True


def _keeps(file: bytes, moment: int) -> bool:
    wanted = moment * 10**9 + NANOSECONDS
    if not _works(lambda: os.utime(file, ns=(0, wanted))):
        return False
    return os.stat(file).st_mtime_ns == wanted


def _special_xattrs(trial: bytes) -> bool:
    pipe = trial + b"/pipe"
    os.mkfifo(pipe)
    return _works(lambda: os.setxattr(pipe, b"trusted.probe", b"1", follow_symlinks=False))


def _holds(trial: bytes, size: int) -> bool:
    file = trial + b"/value%d" % size
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o644))
    return _works(os.setxattr, file, b"user.large", b"v" * size)


def _acls(file: bytes) -> bool:
    tool = shutil.which("setfacl")
    return tool is not None and subprocess.run([tool, "-m", "u:48:r", file], capture_output=True).returncode == 0


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest size from 0 to ``most`` that fits."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _flags(trial: bytes, *, folder: bool) -> tuple[int, ...]:
    found = []
    for letter, bit in flags.LETTERS.items():
        path = trial + b"/%s-%s" % (b"folder" if folder else b"file", letter.encode())
        if folder:
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        if flags.add(path, bit):
            found.append(bit)
    return tuple(found)
