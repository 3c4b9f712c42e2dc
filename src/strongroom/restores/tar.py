"""Writes tar archives: POSIX.1-2001 (pax) with what GNU tar, star and bsdtar add to it, and never reads one.

Extended attributes are ``SCHILY.xattr.*`` records, ACLs also ``SCHILY.acl.*`` (what ``tar --acls`` reads), times have
nanoseconds, holes are GNU sparse format 1.0. A name that is not UTF-8 makes its records ``hdrcharset=BINARY``.
"""

from __future__ import annotations

import itertools
import struct
import tarfile
from collections.abc import Iterable, Iterator

from strongroom.model import Entry, FileType, text
from strongroom.restores.attributes import nanoseconds
from strongroom.restores.pieces import Output, Pieces, Spool, dense
from strongroom.restores.remarks import Remarks

_BLOCK = 512
_RECORD = 20 * _BLOCK
_BILLION = 1_000_000_000
_TYPES = {
    FileType.FILE: tarfile.REGTYPE,
    FileType.DIR: tarfile.DIRTYPE,
    FileType.SYMLINK: tarfile.SYMTYPE,
    FileType.FIFO: tarfile.FIFOTYPE,
    FileType.CHAR: tarfile.CHRTYPE,
    FileType.BLOCK: tarfile.BLKTYPE,
}
_ACL_RECORDS = {
    b"system.posix_acl_access": "SCHILY.acl.access",
    b"system.posix_acl_default": "SCHILY.acl.default",
}
# The tags of an ACL's entries as acl(5) and the kernel's posix_acl_xattr.h number them.
_ACL_TAGS = {1: "user:", 2: "user:", 4: "group:", 8: "group:", 16: "mask:", 32: "other:"}
_ACL_NAMED = (2, 8)


class TarWriter:
    """Writes one archive to a stream that need not seek. Names that share an inode become links to the first."""

    def __init__(self, out: Output, remarks: Remarks) -> None:
        self._out = out
        self._remarks = remarks
        self._written = 0

    def add(self, entry: Entry, name: bytes, pieces: Pieces) -> None:
        """Add an entry under a name; ``pieces`` are its content in order, as (offset, bytes) without the holes."""
        info, records = self._head(entry, name)
        if entry.type is not FileType.FILE:
            self._header(info, records)
        elif entry.stored == entry.size:
            info.size = entry.size
            self._header(info, records)
            self._content(dense(pieces, entry.size))
        else:
            self._sparse(info, records, entry, pieces)

    def link(self, entry: Entry, name: bytes, first: bytes) -> None:
        """Add one more name of what was added under ``first``."""
        info, _ = self._head(entry, name)
        info.type = tarfile.LNKTYPE
        info.linkname = text(first)
        self._header(info, {})

    def close(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._written % _RECORD))

    def _head(self, entry: Entry, name: bytes) -> tuple[tarfile.TarInfo, dict[str, str]]:
        info = tarfile.TarInfo(text(name) + ("/" if entry.type is FileType.DIR else ""))
        info.type = _TYPES[entry.type]
        info.mode = entry.mode
        info.uid, info.gid = entry.uid, entry.gid
        info.mtime = entry.mtime.seconds
        info.linkname = text(entry.target)
        info.devmajor, info.devminor = entry.rdev if entry.type in (FileType.CHAR, FileType.BLOCK) else (0, 0)
        records = {"mtime": _decimal(nanoseconds(entry.mtime))}
        for key, value in entry.xattrs:
            if b"=" in key or not _is_utf8(key):
                shown = key.decode("utf-8", "backslashreplace")
                self._remarks.warn(entry.path, f"its attribute {shown} has a name that no archive can hold")
                continue
            records[f"SCHILY.xattr.{text(key)}"] = text(value)
            if key in _ACL_RECORDS:
                records[_ACL_RECORDS[key]] = _acl_text(value)
        return info, records

    def _sparse(self, info: tarfile.TarInfo, records: dict[str, str], entry: Entry, pieces: Pieces) -> None:
        with Spool() as spool:
            for offset, data in pieces:
                spool.put(offset, data)
            regions = list(_regions(spool.extents()))
            if any(at % _BLOCK or (end % _BLOCK and end != entry.size) for at, end in regions):
                info.size = entry.size
                self._header(info, records)
                self._content(dense(spool.pieces(), entry.size))
                return
            numbers = [(at, end - at) for at, end in regions]
            if not numbers or sum(numbers[-1]) != entry.size:
                numbers.append((entry.size, 0))
            table = "\n".join(map(str, [len(numbers), *itertools.chain.from_iterable(numbers)])).encode() + b"\n"
            table += bytes(-len(table) % _BLOCK)
            records["GNU.sparse.major"], records["GNU.sparse.minor"] = "1", "0"
            records["GNU.sparse.name"] = info.name
            records["GNU.sparse.realsize"] = str(entry.size)
            folder, _, base = info.name.rpartition("/")
            info.name = f"{folder or '.'}/GNUSparseFile.0/{base}"
            info.size = len(table) + entry.stored
            self._header(info, records)
            self._content(itertools.chain((table,), (data for _, data in spool.pieces())))

    def _header(self, info: tarfile.TarInfo, records: dict[str, str]) -> None:
        info.pax_headers = records
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self._write(part)
        self._write(bytes(-self._written % _BLOCK))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)


def _regions(extents: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Extents with those that touch made one."""
    current: tuple[int, int] | None = None
    for start, end in extents:
        if current is not None and current[1] == start:
            current = (current[0], end)
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current


def _decimal(time: int) -> str:
    sign = "-" if time < 0 else ""
    seconds, rest = divmod(abs(time), _BILLION)
    return f"{sign}{seconds}.{rest:09d}"


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _acl_text(value: bytes) -> str:
    """An ACL as acl(5) writes it, numeric."""
    words = []
    for tag, rights, number in struct.iter_unpack("<HHI", value[4 : 4 + (len(value) - 4) // 8 * 8]):
        shown = "".join(letter if rights & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        words.append(f"{_ACL_TAGS.get(tag, 'other:')}{number if tag in _ACL_NAMED else ''}:{shown}")
    return ",".join(words)
