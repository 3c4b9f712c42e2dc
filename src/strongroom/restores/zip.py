"""Writes zip archives, and never reads one.

Zip has no hard links, pipes, devices, ACLs, attributes or nanoseconds. What it has: names, content, modes, links as
Info-ZIP writes them, times in whole seconds (extra field 0x5455) and numeric owners (extra field 0x7875).
"""

from __future__ import annotations

import stat
import struct
import time
import zipfile
from typing import IO, cast

from strongroom.model import Entry, FileType, text
from strongroom.restores.pieces import Output, Pieces, dense
from strongroom.restores.remarks import Remarks

_KINDS = {FileType.FILE: stat.S_IFREG, FileType.DIR: stat.S_IFDIR, FileType.SYMLINK: stat.S_IFLNK}
_UNIX = 3
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_NOT_KEPT = "zip keeps no hard links, ACLs, attributes, flags, nor parts of a second; tar keeps all but flags"


class ZipWriter:
    """Writes one archive to a stream that need not seek."""

    def __init__(self, out: Output, remarks: Remarks) -> None:
        self._zip = zipfile.ZipFile(cast("IO[bytes]", out), "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._remarks = remarks
        remarks.warn(b"", _NOT_KEPT, missing=False)

    def add(self, entry: Entry, name: bytes, pieces: Pieces) -> None:
        """Add an entry under a name; what zip cannot hold is left out with a warning."""
        if entry.type not in _KINDS:
            self._remarks.warn(entry.path, f"left out: zip cannot hold a {entry.type.value}")
            return
        info = self._info(entry, name)
        parts = iter((entry.target,)) if entry.type is FileType.SYMLINK else dense(pieces, entry.size)
        if entry.type is FileType.DIR:
            self._zip.writestr(info, b"")
            return
        with self._zip.open(info, "w", force_zip64=True) as member:
            for part in parts:
                member.write(part)

    def close(self) -> None:
        """Write the archive's directory."""
        self._zip.close()

    def _info(self, entry: Entry, name: bytes) -> zipfile.ZipInfo:
        shown = name.decode("utf-8", "backslashreplace")
        if shown != text(name):
            self._remarks.warn(entry.path, f"its name is not UTF-8; in the archive it is {shown}")
        info = zipfile.ZipInfo(shown + ("/" if entry.type is FileType.DIR else ""), _date(entry.mtime.seconds))
        info.create_system = _UNIX
        info.external_attr = (_KINDS[entry.type] | entry.mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED if entry.type is FileType.FILE else zipfile.ZIP_STORED
        seconds = max(-(2**31), min(entry.mtime.seconds, 2**31 - 1))
        info.extra = struct.pack("<HHBi", 0x5455, 5, 1, seconds)
        info.extra += struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, entry.uid, 4, entry.gid)
        return info


def _date(seconds: int) -> tuple[int, int, int, int, int, int]:
    """The date that zip's own field holds, in UTC: 1980 to 2107."""
    first = (_FIRST_YEAR, 1, 1, 0, 0, 0)
    if not 0 <= seconds < 2**33:
        return first
    date = time.gmtime(seconds)
    if not _FIRST_YEAR <= date.tm_year <= _LAST_YEAR:
        return first
    return (date.tm_year, date.tm_mon, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec)
