"""Which server this is, so that two servers may share one vault though each has a ``site1``."""

from __future__ import annotations

import hashlib
import os

from strongroom.config.values import Server


def server_id(server: Server) -> str:
    """A stable name of the server whose tree lies at ``server.root``: 32 hexadecimal digits.

    It comes from that tree's ``etc/machine-id``; a tree below another folder without one is told apart by this
    machine's id and the folder. Hashed, since machine-id(5) asks that it never be shown. A new machine that gets an
    old one's accounts back is another server: it can restore all of that one's points, and begins points of its own.
    """
    own = _read(server.below(b"/etc/machine-id"))
    machine = own or _read(b"/etc/machine-id") or os.uname().nodename.encode()
    place = b"" if own else server.root
    return hashlib.sha256(b"strongroom server\0" + machine + b"\0" + place).hexdigest()[:32]


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(64).strip()
    except OSError:
        return b""
