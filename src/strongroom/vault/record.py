"""Directory records: one folder with all that it holds, and the unit that is used again when nothing changed.

A record is a tree node: a body (msgpack of `Record`: columns, so that zstd sees like beside like) and references, the ids of
the content, entry by entry. Its id covers both. The bytes of `sort_key` give the order of paths everywhere.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from strongroom.vault.errors import DamagedError, FormatError
from strongroom.vault.frame import Chunk
from strongroom.vault.keys import ID_SIZE

VERSION = 1
# Extended attribute values up to this stand in the record; larger ones are chunks.
INLINE_XATTR = 1024
# More references than this for one file go to list nodes.
MOST_INLINE = 64
LIST_SIZE = 4096
_BILLION = 1_000_000_000


class Type(IntEnum):
    """What an entry is."""

    FILE = 0
    DIR = 1
    SYMLINK = 2
    FIFO = 3
    CHAR = 4
    BLOCK = 5
    SOCKET = 6


class Defect:
    """Why an entry's content is missing or not to be trusted; such an entry is looked at again next time."""

    UNREAD = "unread"
    CHANGED = "changed"
    FOREIGN = "foreign"
    VANISHED = "vanished"


class Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """What few entries have.

    ``xattrs`` pairs names with values, or with numbers into the entry's last references, which hold large values.
    ``lengths`` are the sizes of the chunks when there are several. ``extents`` are the data of a sparse file as (offset,
    size). ``depth`` counts the levels of list nodes between the record and the chunks. ``remark`` is told with each point
    that uses the record.
    """

    target: bytes = b""
    rdev: tuple[int, int] | None = None
    xattrs: tuple[tuple[bytes, bytes | int], ...] = ()
    flags: int = 0
    lengths: tuple[int, ...] = ()
    extents: tuple[tuple[int, int], ...] | None = None
    depth: int = 0
    defect: str = ""
    remark: str = ""


NOTHING = Extra()


class Own(msgspec.Struct, frozen=True, array_like=True):
    """The folder itself. ``mount`` is 0 on the source's own file system, 1 on another below it."""

    mode: int
    uid: int
    gid: int
    mtime_s: int
    mtime_ns: int
    ctime_s: int
    ctime_ns: int
    inode: int
    mount: int = 0
    extra: Extra = NOTHING

    @property
    def ctime(self) -> int:
        """In nanoseconds since 1970."""
        return self.ctime_s * _BILLION + self.ctime_ns


class Row(NamedTuple):
    """One entry of a record. ``references`` are ids one after another; folders have only a name and a type here."""

    name: bytes
    type: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_s: int = 0
    mtime_ns: int = 0
    ctime_s: int = 0
    ctime_ns: int = 0
    inode: int = 0
    links: int = 1
    references: bytes = b""
    extra: Extra = NOTHING

    @property
    def ctime(self) -> int:
        """In nanoseconds since 1970."""
        return self.ctime_s * _BILLION + self.ctime_ns


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    version: int
    own: Own
    names: list[bytes]
    types: bytes
    modes: list[int]
    uids: list[int]
    gids: list[int]
    sizes: list[int]
    mtimes_s: list[int]
    mtimes_ns: list[int]
    ctimes_s: list[int]
    ctimes_ns: list[int]
    inodes: list[int]
    links: list[int]
    counts: list[int]
    extras: dict[int, Extra]
    remarks: list[tuple[bytes, str]]


class Record(NamedTuple):
    """A folder: itself, its entries sorted by name, and remarks about what is not among them.

    ``own_references`` are the chunks of the folder's own large extended attributes.
    """

    own: Own
    rows: list[Row]
    remarks: list[tuple[bytes, str]]
    own_references: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Columns)


def encode(record: Record, node_key: bytes) -> Chunk:
    """The record as a tree node. Rows must be sorted by name."""
    rows = record.rows
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * 14
    references = b"".join(columns[12]) + record.own_references
    body = _encoder.encode(
        _Columns(
            VERSION, record.own, columns[0], bytes(columns[1]), columns[2], columns[3], columns[4], columns[5], columns[6],
            columns[7], columns[8], columns[9], columns[10], columns[11],
            [len(ids) // ID_SIZE for ids in columns[12]],
            {number: extra for number, extra in enumerate(columns[13]) if extra is not NOTHING},
            record.remarks,
        )
    )  # fmt: skip
    return Chunk(node_id(node_key, references, body), body, references)


def node_id(node_key: bytes, references: bytes, body: bytes) -> bytes:
    """The id of a tree node: keyed BLAKE3 over the number of references, the references and the body."""
    count = (len(references) // ID_SIZE).to_bytes(4, "little")
    return blake3(count + references + body, key=node_key).digest(ID_SIZE)


def decode(body: bytes, references: bytes) -> Record:
    """Read a record. Raise DamagedError, FormatError."""
    try:
        columns = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise DamagedError("a directory record does not decode") from error
    if columns.version != VERSION:
        raise FormatError("a directory record needs a newer strongroom")
    pieces = []
    at = 0
    for count in columns.counts:
        end = at + count * ID_SIZE
        pieces.append(references[at:end])
        at = end
    if at > len(references):
        raise DamagedError("a directory record's references do not add up")
    extras = [NOTHING] * len(columns.names)
    for number, extra in columns.extras.items():
        extras[number] = extra
    try:
        rows = [
            Row(*values)
            for values in zip(
                columns.names, columns.types, columns.modes, columns.uids, columns.gids, columns.sizes, columns.mtimes_s,
                columns.mtimes_ns, columns.ctimes_s, columns.ctimes_ns, columns.inodes, columns.links, pieces, extras,
                strict=True,
            )
        ]  # fmt: skip
    except ValueError as error:
        raise DamagedError("a directory record's columns do not fit together") from error
    return Record(columns.own, rows, columns.remarks, references[at:])


def content_references(row: Row) -> bytes:
    """A row's references without those of its large extended attributes, which come last."""
    values = sum(isinstance(value, int) for _, value in row.extra.xattrs)
    return row.references[: len(row.references) - values * ID_SIZE]


class ListNode(msgspec.Struct, frozen=True, array_like=True):
    """A node between a record and the chunks of a very large file: the bytes below each of its references."""

    lengths: list[int]


def sort_key(path: bytes) -> bytes:
    """What paths are sorted by: a folder directly before all that is below it."""
    return path.replace(b"/", b"\0")
