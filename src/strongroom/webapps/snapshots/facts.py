"""What a snapshot says of itself, and the seal on it that only this server can make.

The repository is the tenant's, and root puts back owners and attributes by what stands in it. So the facts, which have the
digest of the attributes in them, are sealed with a key that is among this server's settings. What is not sealed, or is
sealed for another app, comes back like any upload of the tenant's: without owners and privileges that are not his.
"""

from __future__ import annotations

import hmac
import os
import secrets

import msgspec
from blake3 import blake3

from strongroom.errors import SnapshotError
from strongroom.model import DatabaseCopy, Frozen, Remark, Status
from strongroom.settings import durable
from strongroom.webapps.snapshots.lines import path_of, written

FORMAT = 1
_KEY = b"webapps.key"
_KEY_BYTES = 32


class Warned(Frozen):
    """A warning, with its path as `lines.written` has it."""

    path: str
    message: str


class Facts(Frozen):
    """What a snapshot says. Times are ISO 8601 in UTC; ``attributes`` is the BLAKE3 of all lines in hex.

    ``caches`` and ``uploads`` are the patterns that held when it was made, ``apart`` the paths of the apps below, as
    `lines.written` has them. ``files`` counts entries, ``size`` the bytes of
    their content. ``safety``: a rollback took it of what it was about to replace.
    """

    app: str
    kind: str
    version: str
    label: str
    time: str
    attributes: str
    format: int = FORMAT
    status: Status = Status.COMPLETE
    safety: bool = False
    opened: str | None = None
    finished: str = ""
    gap_seconds: float = 0.0
    files: int = 0
    size: int = 0
    databases: tuple[DatabaseCopy, ...] = ()
    caches: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()

    def encode(self) -> bytes:
        """As it stands in a snapshot."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """The warnings, with stored paths."""
        return tuple(Remark(path=path_of(warned.path), message=warned.message) for warned in self.warnings)


def warned(remarks: tuple[Remark, ...]) -> tuple[Warned, ...]:
    """Warnings as facts hold them."""
    return tuple(Warned(path=written(remark.path), message=written(remark.message.encode())) for remark in remarks)


def decode(content: bytes) -> Facts:
    """Read facts; raise SnapshotError when they are none, or of a later format."""
    try:
        facts = msgspec.json.decode(content, type=Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotError(f"what a snapshot says of itself cannot be read: {error}") from None
    if facts.format > FORMAT:
        raise SnapshotError(f"a snapshot has format {facts.format}; this version knows {FORMAT}; update Strongroom")
    return facts


class Sealer:
    """Seals facts with this server's key, which is made on first use."""

    def __init__(self, state: bytes) -> None:
        self._path = durable.settings_path(state, _KEY)
        self._state = state

    def seal(self, app: str, facts: bytes) -> bytes:
        """The seal on an app's facts."""
        return self._digest(self._key(make=True), app, facts) + b"\n"

    def holds(self, app: str, facts: bytes, seal: bytes) -> bool:
        """Whether a seal was made here for this app and these facts."""
        key = self._key(make=False)
        return bool(key) and hmac.compare_digest(self._digest(key, app, facts), seal.strip())

    def _digest(self, key: bytes, app: str, facts: bytes) -> bytes:
        name = app.encode("utf-8", "surrogateescape")
        return blake3(name + b"\0" + facts, key=key).hexdigest().encode()

    def _key(self, *, make: bool) -> bytes:
        """The key; empty where there is none and none is to be made."""
        found = durable.read(self._path)
        if found is None and make:
            with durable.alone(self._state, b"webapps"):
                found = durable.read(self._path)
                if found is None:
                    found = secrets.token_bytes(_KEY_BYTES)
                    durable.replace(self._path, found)
        if not found and not make:
            return b""
        if found is None or len(found) != _KEY_BYTES:
            raise SnapshotError(
                f"{os.fsdecode(self._path)} is no key of {_KEY_BYTES} bytes; bring it back from a backup"
            )
        return found
