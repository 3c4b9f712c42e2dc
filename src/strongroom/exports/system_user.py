"""Acting as another user of the system, where a database server asks the kernel who it is that comes to its socket."""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import ExportError

# The C library changes the user of all threads at once; the kernel's own call changes the calling thread alone, and no
# other thread of ours ever works under a wrong name.
_SETRESUID = {"x86_64": 117, "aarch64": 147}


def known(user: str) -> pwd.struct_passwd | None:
    """The system's user of that name, or None."""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


def identity(user: str | None) -> pwd.struct_passwd | None:
    """Who to become so as to be that user: None when there is nobody to become, or we are no root or already he."""
    found = known(user) if user else None
    return found if found and os.geteuid() == 0 and found.pw_uid != 0 else None


@contextmanager
def acting_as(user: str | None) -> Iterator[None]:
    """Let this thread be that user of the system for a while. Raise ExportError when the kernel refuses."""
    found = identity(user)
    if found is None:
        yield
        return
    _become(found.pw_uid)
    try:
        yield
    finally:
        _become(0)


def _become(uid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SETRESUID.get(os.uname().machine)
    unchanged = ctypes.c_long(-1)
    if number is None or libc.syscall(number, unchanged, ctypes.c_long(uid), unchanged) != 0:
        raise ExportError(f"cannot act as user {uid} of the system: {os.strerror(ctypes.get_errno())}; run as root")
