"""renameat2(2), which CPython does not have: a rename that replaces nothing, and one that exchanges two names.

Both act on names beneath two open folders and never follow a link in the last component. glibc has the wrapper since
2.28; Linux has the flags on ext4, XFS, btrfs, tmpfs, overlayfs and others. Where a file system has none (ZFS before 2.2), a
restore is refused by `staging.Staging`: two renames instead of one would leave a moment in which neither file is there.
"""

from __future__ import annotations

import ctypes
import os

_NOREPLACE = 1
_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = _libc.renameat2
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_renameat2.restype = ctypes.c_int


def _call(old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> None:
    if b"\0" in old or b"\0" in new:
        raise ValueError("embedded null byte")
    if _renameat2(old_folder, old, new_folder, new, flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def rename_new(old_folder: int, old: bytes, new_folder: int, new: bytes) -> None:
    """Rename ``old`` in one open folder to ``new`` in another; raise FileExistsError when ``new`` is taken."""
    _call(old_folder, old, new_folder, new, _NOREPLACE)


def exchange(one_folder: int, one: bytes, other_folder: int, other: bytes) -> None:
    """Let two names change places in one step; raise FileNotFoundError when either is missing."""
    _call(one_folder, one, other_folder, other, _EXCHANGE)
