"""Rows and what the system says of a file: one is made of the other, and compared with it."""

from __future__ import annotations

import os
import stat as modes

from strongroom.vault.record import NOTHING, Defect, Extra, Row, Type

_TYPES = {
    modes.S_IFREG: Type.FILE,
    modes.S_IFDIR: Type.DIR,
    modes.S_IFLNK: Type.SYMLINK,
    modes.S_IFIFO: Type.FIFO,
    modes.S_IFCHR: Type.CHAR,
    modes.S_IFBLK: Type.BLOCK,
    modes.S_IFSOCK: Type.SOCKET,
}
_BILLION = 1_000_000_000


def type_of(stat: os.stat_result) -> Type:
    """What kind of thing a status is of."""
    return _TYPES.get(modes.S_IFMT(stat.st_mode), Type.SOCKET)


def row_of(name: str, kind: Type, stat: os.stat_result, references: bytes = b"", extra: Extra = NOTHING) -> Row:
    """The row of a file, or of what else stands in a folder."""
    mtime_s, mtime_ns = divmod(stat.st_mtime_ns, _BILLION)
    ctime_s, ctime_ns = divmod(stat.st_ctime_ns, _BILLION)
    return Row(
        os.fsencode(name), kind, stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, stat.st_size, mtime_s, mtime_ns, ctime_s,
        ctime_ns, stat.st_ino, stat.st_nlink, references, extra,
    )  # fmt: skip


def unread(name: str, seen: os.stat_result, error: OSError) -> Row:
    """The row of something that could not be read."""
    remark = f"could not be read: {error.strerror or error}"
    return row_of(name, type_of(seen), seen, extra=Extra(defect=Defect.UNREAD, remark=remark))


def same(last: Row, stat: os.stat_result) -> bool:
    """Whether a row of last time is what a stat shows now."""
    mtime_s, mtime_ns = divmod(stat.st_mtime_ns, _BILLION)
    ctime_s, ctime_ns = divmod(stat.st_ctime_ns, _BILLION)
    return (
        last.inode == stat.st_ino
        and last.ctime_ns == ctime_ns
        and last.ctime_s == ctime_s
        and last.size == stat.st_size
        and last.mtime_s == mtime_s
        and last.mtime_ns == mtime_ns
        and last.mode == stat.st_mode & 0o7777
        and last.type == type_of(stat)
        and last.uid == stat.st_uid
        and last.gid == stat.st_gid
        and last.links == stat.st_nlink
    )
