"""What a vault keeps on this machine to be fast; all of it may vanish.

* the key of the directory digests, which never leaves this machine;
* a summary of each snapshot, so that a run reads none of them to find its parents;
* for each series, what its newest and its newest full snapshot knew of each folder (`Base`): digest, record id, newest
  ctime. A missing or torn file costs one night in which every record is compared, and no content is read again.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from blake3 import blake3

from strongroom.vault.keys import ID_SIZE
from strongroom.vault.snapshot import Summary

DIGEST_SIZE = 16
NO_DIGEST = bytes(DIGEST_SIZE)
_CHECKSUM = 16
_KNOWN = struct.Struct(f"<{DIGEST_SIZE}s{ID_SIZE}sq?IQ")


class Known(NamedTuple):
    """What is known of one folder.

    ``newest`` is the newest ctime in it (nanoseconds); ``defect`` forbids reuse by digest; ``entries`` counts what is not a
    folder, and ``size`` is their logical bytes.
    """

    digest: bytes
    record: bytes
    newest: int
    defect: bool
    entries: int
    size: int

    def pack(self) -> bytes:
        """As it is kept."""
        return _KNOWN.pack(*self)


def unpack(data: bytes) -> Known:
    """Read what `Known.pack` made."""
    return Known._make(_KNOWN.unpack(data))


def undigested(record: bytes) -> bytes:
    """What is known of a folder when only its record is: packed, never to be reused by digest."""
    return Known(NO_DIGEST, record, 0, True, 0, 0).pack()


class BaseHead(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot and the file that says what it knew."""

    snapshot: str
    level: str
    file: str


class State:
    """The state folder of one vault."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(f"{folder}/bases", mode=0o700, exist_ok=True)

    @property
    def index_folder(self) -> str:
        """Where the index's table is."""
        return f"{self.folder}/index"

    def digest_key(self) -> bytes:
        """The key of the directory digests, made when there is none."""
        path = f"{self.folder}/digest.key"
        with contextlib.suppress(FileNotFoundError):
            with open(path, "rb") as file:
                key = file.read()
            if len(key) == 32:
                return key
        key = os.urandom(32)
        self._write(path, key)
        return key

    def slot(self) -> str | None:
        """The key slot that opened last time."""
        try:
            with open(f"{self.folder}/slot", encoding="ascii") as file:
                return file.read()
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def remember_slot(self, name: str) -> None:
        """Try this slot first next time."""
        if self.slot() != name:
            self._write(f"{self.folder}/slot", name.encode("ascii"))

    # --- summaries ------------------------------------------------------------------------------------------------

    def summaries(self) -> dict[str, Summary]:
        """What is remembered of snapshots, by id."""
        data = self._read_checked(f"{self.folder}/summaries")
        if data is None:
            return {}
        try:
            return {item.id: item for item in msgspec.msgpack.decode(data, type=list[Summary])}
        except msgspec.MsgspecError:
            return {}

    def remember_summaries(self, summaries: Iterable[Summary]) -> None:
        """Replace what is remembered."""
        self._write_checked(f"{self.folder}/summaries", msgspec.msgpack.encode(list(summaries)))

    # --- bases ----------------------------------------------------------------------------------------------------

    def _series(self, series: str) -> str:
        return f"{self.folder}/bases/{blake3(series.encode()).hexdigest(16)}"

    def base_heads(self, series: str) -> list[BaseHead]:
        """The snapshots of a series whose folders are remembered, newest first."""
        data = self._read_checked(f"{self._series(series)}/heads")
        try:
            return [] if data is None else msgspec.msgpack.decode(data, type=list[BaseHead])
        except msgspec.MsgspecError:
            return []

    def base_path(self, series: str, file: str) -> str:
        """Where a base's file is."""
        return f"{self._series(series)}/{file}"

    def load_base(self, path: str) -> dict[bytes, bytes] | None:
        """Packed `Known` by path, or None when the file is gone or torn."""
        data = self._read_checked(path)
        try:
            return None if data is None else msgspec.msgpack.decode(data, type=dict[bytes, bytes])
        except msgspec.MsgspecError:
            return None

    def remember_base(self, series: str, snapshot: str, level: str, base: dict[bytes, bytes] | str) -> None:
        """Remember a new snapshot's folders: a map, or the name of the file that already says it."""
        folder = self._series(series)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if isinstance(base, str):
            file = base
        else:
            file = os.urandom(8).hex()
            self._write_checked(f"{folder}/{file}", msgspec.msgpack.encode(base))
        heads = [BaseHead(snapshot, level, file)]
        if level != "full":
            heads += [head for head in self.base_heads(series) if head.level == "full"][:1]
        self._write_checked(f"{folder}/heads", msgspec.msgpack.encode(heads))
        kept = {"heads", *(head.file for head in heads)}
        for name in os.listdir(folder):
            if name not in kept and not _in_the_making(name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")

    # --- files ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        new = f"{path}.{os.getpid()}.new"
        try:
            with open(new, "wb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
                file.write(data)
            os.rename(new, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise OSError(error.errno, error.strerror, path) from error

    def _write_checked(self, path: str, data: bytes) -> None:
        self._write(path, blake3(data).digest(_CHECKSUM) + data)

    @staticmethod
    def _read_checked(path: str) -> bytes | None:
        """The data of a file that is whole; these files are not synced, a power cut may tear them."""
        try:
            with open(path, "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        checksum, data = data[:_CHECKSUM], data[_CHECKSUM:]
        return data if blake3(data).digest(_CHECKSUM) == checksum else None


def _in_the_making(name: str) -> bool:
    """Whether a name is that of a file that a process is writing; what a killed one left is not."""
    *_, pid, suffix = ("", "", *name.split("."))
    return suffix == "new" and os.path.exists(f"/proc/{pid}")
