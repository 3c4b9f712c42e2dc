"""A file system's view of itself, held still while an account is read: read-only snapshots of btrfs subvolumes.

Taken while the databases' transactions are opened, so that what lies between databases and files is the time of that
alone. Where a freeze would not show all that the folders hold (no btrfs, a subvolume inside the account), there is none, and
files are read after the exports as ever.

LVM and ZFS would do as well: whatever says for each folder where to read it instead, and can be released, is a freeze
(`docs/databases.md` has the contract).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping

_FS_INFO = 0x8400941F  # BTRFS_IOC_FS_INFO of linux/btrfs.h; the file system's id is at 16 in the answer
_SUBVOLUME = 256  # the inode of every subvolume's own folder
# Snapshots lie in a folder of root's alone: what is frozen is nobody's to read who could not read it otherwise.
_FOLDER = b".strongroom"
_PATIENCE = 120


class Freeze:
    """The folders of one account, by the names of their trees, and where they can be read while they are frozen."""

    def __init__(self, folders: Mapping[str, bytes], name: str) -> None:
        self._folders, self._name = folders, name.encode()
        self._snapshots: list[bytes] = []
        self._lock = -1

    def possible(self) -> bool:
        """Whether these folders can all be frozen, and would show all that they hold."""
        tops = self._tops()
        if not tops or len(tops) < len(self._folders) or shutil.which("btrfs") is None:
            return False
        try:
            return not any(_divided(top, self._folders.values()) for top in set(tops.values()))
        except (OSError, subprocess.SubprocessError):
            return False

    def _tops(self) -> dict[str, bytes]:
        """The subvolumes of the folders, by tree."""
        return {tree: top for tree, path in self._folders.items() if (top := _subvolume(path)) is not None}

    def take(self) -> dict[str, bytes]:
        """Freeze what can be; returns the paths to read, by tree, or nothing where that failed."""
        tops = self._tops()
        try:
            frozen = {top: self._snapshot(top) for top in sorted(set(tops.values()))}
        except (OSError, subprocess.SubprocessError):
            self.release()
            return {}
        return {
            tree: os.path.normpath(os.path.join(frozen[top], os.path.relpath(self._folders[tree], top)))
            for tree, top in tops.items()
        }

    def _snapshot(self, top: bytes) -> bytes:
        folder = os.path.join(self._holder(top), _FOLDER)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        _sweep(folder)
        if self._lock < 0:
            self._lock = os.open(folder + b"/" + self._name + b".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made = b"%s/%s.%d" % (folder, self._name, len(self._snapshots))
        _btrfs(b"snapshot", b"-r", top, made)
        self._snapshots.append(made)
        return made

    def _holder(self, top: bytes) -> bytes:
        """Where a subvolume's snapshots lie: in it, or, where it is a folder to back up itself, beside it."""
        return os.path.dirname(top) if top in self._folders.values() else top

    def release(self) -> None:
        """Delete the snapshots; harmless where there are none. What cannot be deleted the next freeze sweeps away."""
        for path in self._snapshots:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                _btrfs(b"delete", path)
        if self._lock >= 0 and self._snapshots:
            with contextlib.suppress(OSError):
                os.unlink(os.path.dirname(self._snapshots[0]) + b"/" + self._name + b".lock")
        self._snapshots.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _subvolume(path: bytes) -> bytes | None:
    """The btrfs subvolume that a folder lies in, or None where it lies in none."""
    if _fs_id(path) is None:
        return None
    while os.lstat(path).st_ino != _SUBVOLUME:
        path = os.path.dirname(path)
    return path


def _fs_id(path: bytes) -> bytes | None:
    """The id of the btrfs that a folder lies on."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return fcntl.ioctl(fd, _FS_INFO, bytes(1024))[16:32]
    except OSError:
        return None
    finally:
        os.close(fd)


def _divided(top: bytes, folders: Iterable[bytes]) -> bool:
    """Whether a subvolume begins inside one of the folders: a snapshot of the outer one shows an empty folder there."""
    own = _btrfs(b"show", top).partition(b"\n")[0].strip(b"/ ")
    for line in _btrfs(b"list", b"-o", top).splitlines():
        path = line.partition(b" path ")[2]
        inside = path.removeprefix(own + b"/") if own else path
        if not path or (own and inside == path):
            return True  # a name of several lines: what it means, nobody knows
        if inside.startswith(_FOLDER + b"/"):
            continue
        if any((os.path.join(top, inside) + b"/").startswith(folder + b"/") for folder in folders):
            return True
    return False


def _sweep(folder: bytes) -> None:
    """Delete the snapshots of freezes whose process is gone: the kernel has let go of their locks."""
    for name in os.listdir(folder):
        if not name.endswith(b".lock"):
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            fd = os.open(folder + b"/" + name, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stem = name.removesuffix(b"lock")
                for left in [other for other in os.listdir(folder) if other.startswith(stem) and other != name]:
                    _btrfs(b"delete", folder + b"/" + left)
                os.unlink(folder + b"/" + name)
            finally:
                os.close(fd)


def _btrfs(*words: bytes) -> bytes:
    """What a command of btrfs-progs about subvolumes prints. Raise CalledProcessError."""
    command = [b"btrfs", b"subvolume", *words]
    return subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE).stdout
