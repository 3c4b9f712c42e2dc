"""Snapshots: the only commit, and the whole point.

A snapshot is one envelope (class ``meta``) that names the segments of its directory map and carries what its maker wants to
know about it (``detail``), so that any catalog can be rebuilt from snapshots alone. A *series* is one account's history: the
vault compares within it and nothing else.

The *directory map* is the sorted list of the folders' paths with their record ids, cut into segments at paths whose own hash
says so: a folder that comes or goes changes one segment. One file is found by snapshot, segment, record and frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec
from blake3 import blake3

from strongroom.vault import envelope
from strongroom.vault.errors import DamagedError
from strongroom.vault.frame import Chunk
from strongroom.vault.keys import ID_SIZE, Keys
from strongroom.vault.record import node_id, sort_key

PREFIX = "snapshots/"
VERSION = 1
# A path whose hash is 0 modulo this begins a segment: 512 folders on average, never more than 4,096, and no more bytes of
# paths than a frame can hold, however long they are. So does each source: a feed's records are others in each night, and the
# segments of folders that stay as they were must not change with them.
_CUT = 512
_MOST = 4096
_MOST_BYTES = 1 << 20
_encoder = msgspec.msgpack.Encoder()


class SegmentHead(msgspec.Struct, frozen=True, array_like=True):
    """One segment of the map: its first path, and its id."""

    first: bytes
    id: bytes


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot object holds.

    ``scan_started`` is the moment, in nanoseconds since 1970, before which no byte was read: what changed later than a
    minute before it is read again next time. ``filter`` is a digest of what was left out. What an old program must
    not overlook is kept out of its hands by the vault's features.
    """

    id: str
    series: str
    seq: int
    parent: str | None
    level: str
    complete: bool
    scan_started: int
    scope: int
    segments: list[SegmentHead]
    sources: list[str]
    filter: bytes
    entries: int
    detail: bytes
    version: int = VERSION


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept about each snapshot on this machine, so that choosing a parent reads none of them."""

    id: str
    series: str
    seq: int
    level: str
    complete: bool
    scan_started: int
    filter: bytes
    entries: int
    sources: list[str] = []


def name_of(snapshot_id: str) -> str:
    """The object's name of a snapshot."""
    return PREFIX + snapshot_id


def encode(snapshot: Snapshot, keys: Keys) -> bytes:
    """The object's bytes."""
    name = name_of(snapshot.id)
    return envelope.close(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, name, msgspec.msgpack.encode(snapshot))


def decode(sealed: bytes, snapshot_id: str, keys: Keys) -> Snapshot:
    """Read one. Raise DamagedError, FormatError."""
    name = name_of(snapshot_id)
    plain = envelope.open_(envelope.Kind.SNAPSHOT, keys.meta, keys.vault_id, name, sealed)
    try:
        snapshot = msgspec.msgpack.decode(plain, type=Snapshot)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{name} is damaged: it does not decode") from error
    if snapshot.version != VERSION:
        raise DamagedError(f"{name} is damaged: there is no version {snapshot.version}")
    if snapshot.id != snapshot_id:
        raise DamagedError(f"{name} is damaged: it is another's content")
    return snapshot


def summary(snapshot: Snapshot) -> Summary:
    """The few fields that choosing a parent needs."""
    return Summary(
        id=snapshot.id, series=snapshot.series, seq=snapshot.seq, level=snapshot.level, complete=snapshot.complete,
        scan_started=snapshot.scan_started, filter=snapshot.filter, entries=snapshot.entries,
        sources=snapshot.sources,
    )  # fmt: skip


def build_map(directories: Iterable[tuple[bytes, bytes]], node_key: bytes) -> list[tuple[SegmentHead, Chunk]]:
    """Cut (path, record id) pairs into segments; sorts them itself."""
    segments: list[tuple[SegmentHead, Chunk]] = []
    paths: list[bytes] = []
    ids: list[bytes] = []
    size = 0

    def cut() -> None:
        references, body = b"".join(ids), _encoder.encode(paths)
        node = Chunk(node_id(node_key, references, body), body, references)
        segments.append((SegmentHead(paths[0], node.id), node))

    for path, record_id in sorted(directories, key=lambda pair: sort_key(pair[0])):
        full = len(paths) >= _MOST or size + len(path) > _MOST_BYTES
        if paths and (
            full or b"/" not in path or int.from_bytes(blake3(path, key=node_key).digest(4), "little") % _CUT == 0
        ):
            cut()
            paths, ids, size = [], [], 0
        size += len(path)
        paths.append(path)
        ids.append(record_id)
    if paths:
        cut()
    return segments


def decode_segment(body: bytes, references: bytes) -> list[tuple[bytes, bytes]]:
    """The (path, record id) pairs of a segment. Raise DamagedError."""
    try:
        paths = msgspec.msgpack.decode(body, type=list[bytes])
    except msgspec.MsgspecError as error:
        raise DamagedError("a segment of a directory map does not decode") from error
    if len(paths) * ID_SIZE != len(references):
        raise DamagedError("a segment of a directory map does not add up")
    return [(path, references[at * ID_SIZE : (at + 1) * ID_SIZE]) for at, path in enumerate(paths)]


def segment_for(segments: Sequence[SegmentHead], path: bytes) -> int | None:
    """The number of the segment that would hold a folder's path."""
    at = bisect_right(segments, sort_key(path), key=lambda head: sort_key(head.first)) - 1
    return at if at >= 0 else None
