"""The panel's Fortification as it stands: which mode an app is in, read from the ACLs that the panel set.

The panel gives the web server's user and the owner an entry each on what may be written; nothing is changed here.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack

from strongroom.model import text
from strongroom.webapps.assurance.ground import Ground

_ACL = "system.posix_acl_access"
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NAMED_USER = 2
_WRITE = 2
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def modes(ground: Ground) -> tuple[str, ...]:
    """The mode, and for each path that modes are about who of others may write there; empty where the app has none."""
    named = {path for paths in ground.app.writable.values() for path in paths}
    writers = {path: found for path in sorted(named) if (found := _writers(ground, path)) is not None}
    if not writers:
        return ()
    open_paths = {path for path, found in writers.items() if found}
    fitting = [
        mode for mode, paths in ground.app.writable.items() if open_paths and open_paths == set(paths) & writers.keys()
    ]
    mode = fitting[0] if fitting else "of its own" if open_paths else "none"
    said = [f"{text(path)}: user {', '.join(map(str, sorted(writers[path])))}" for path in sorted(open_paths)]
    return (f"mode {mode}", *said)


def _writers(ground: Ground, path: bytes) -> set[int] | None:
    """Which users but the owner have an entry of their own that lets them write; None where there is nothing."""
    with ExitStack() as stack:
        folder = ground.folder
        names = path.split(b"/")
        try:
            for name in names[:-1]:
                folder = os.open(name, _FOLDER, dir_fd=folder)
                stack.callback(os.close, folder)
            last = os.open(names[-1], _ANY, dir_fd=folder)
        except OSError:
            return None
        stack.callback(os.close, last)
        try:
            return _users(os.getxattr(last, _ACL)) - {ground.owner.uid}
        except OSError:
            return set()


def _users(acl: bytes) -> set[int]:
    entries = _ENTRY.iter_unpack(acl[_VERSION.size :])
    return {user for tag, permissions, user in entries if tag == _NAMED_USER and permissions & _WRITE}
