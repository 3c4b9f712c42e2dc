"""What a snapshot knew of each folder, to compare with: as this machine remembers it, else by the snapshot's own map."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from strongroom.vault.errors import AbsentError, DamagedError
from strongroom.vault.messages import Base
from strongroom.vault.reader import Reader
from strongroom.vault.state import State, undigested


def load(state: State, base: Base, reader: Callable[[], Reader]) -> dict[bytes, bytes]:
    """Packed `state.Known` by path; the snapshot is read, without digests, only where the machine remembers nothing."""
    known = state.load_base(base.file) if base.file else None
    return last_known(reader(), base.snapshot) if known is None else known


def last_known(reader: Reader, snapshot: str) -> dict[bytes, bytes]:
    """The records of a snapshot by path; what cannot be read of its map is not known, and so read again."""
    found: dict[bytes, bytes] = {}
    with contextlib.suppress(AbsentError, DamagedError):
        for head in reader.snapshot(snapshot).segments:
            with contextlib.suppress(AbsentError, DamagedError):
                found.update((path, undigested(id)) for path, id in reader.segment(head))
    return found
