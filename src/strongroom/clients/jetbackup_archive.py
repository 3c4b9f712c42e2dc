"""A downloaded backup of JetBackup's as a tree that can be looked into and read; nothing of it is ever unpacked.

It is one ``tar.gz`` that comes from a store: names, kinds and sizes are whatever somebody wrote. So it is only decompressed,
its members are entered into a table under checked names, and what a restore wants is read from where it stands in the file.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, cast

import msgspec

from strongroom.clients.sidecar import sort_key
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Frozen, Time, text

_TOP = b"backup"
_HOME = b"homedir"
_INFO = (b"config", b"info")
# All that is neither a file of the account's nor of its info: JetBackup's dumps, users, mail, in its own forms.
_OTHERS = (b"databases", b"jetbackup")
_MOST_MEMBERS = 5_000_000
_MOST_DEPTH = 1000
_PIECE = 1 << 20
_KINDS = {
    tarfile.REGTYPE: FileType.FILE,
    tarfile.AREGTYPE: FileType.FILE,
    tarfile.CONTTYPE: FileType.FILE,
    tarfile.GNUTYPE_SPARSE: FileType.FILE,
    tarfile.DIRTYPE: FileType.DIR,
    tarfile.SYMTYPE: FileType.SYMLINK,
    tarfile.FIFOTYPE: FileType.FIFO,
    tarfile.CHRTYPE: FileType.CHAR,
    tarfile.BLKTYPE: FileType.BLOCK,
}
_XATTR = "SCHILY.xattr."


class Place(Frozen):
    """Where a file's content is in the archive, and where its pieces belong in the file, as (offset, length)."""

    begin: int
    pieces: tuple[tuple[int, int], ...]


class Archive:
    """Open an archive that `plain` has decompressed. Raise ClientError where it is none."""

    def __init__(self, path: bytes) -> None:
        self._shown = text(path)
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - until it is closed
            self._entries: dict[bytes, Entry] = {}
            with tarfile.open(os.fsdecode(path), "r:", encoding="utf-8", errors="surrogateescape") as tar:
                while (member := tar.next()) is not None:
                    self._enter(member)
                    # Python would remember every member by itself as well.
                    tar.members.clear()  # type: ignore[attr-defined]
                self._refuse_cut(tar.offset)
            self._complete()
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise ClientError(f"{self._shown} is no whole archive of JetBackup's: {error}") from error
        self._sorted = sorted(self._entries, key=sort_key)
        self._keys = [sort_key(path) for path in self._sorted]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def lookup(self, path: bytes) -> Entry | None:
        """The entry at a stored path."""
        return self._entries.get(path)

    def children(self, path: bytes) -> list[Entry]:
        """What a folder holds, sorted."""
        return [entry for entry in self.below(path) if entry.path.rpartition(b"/")[0] == path]

    def below(self, path: bytes) -> Iterator[Entry]:
        """An entry, and all below it: folders before what they hold."""
        for number in range(bisect_left(self._keys, sort_key(path)), len(self._sorted)):
            found = self._sorted[number]
            if found != path and not found.startswith(path + b"/"):
                return
            yield self._entries[found]

    def content(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """The content of a file, as pieces with their offsets. Raise ClientError."""
        if not isinstance(entry.content, Place):
            raise ClientError("content was asked of something that is no file of this archive")
        at = entry.content.begin
        for offset, length in entry.content.pieces:
            while length:
                piece = os.pread(self._file.fileno(), min(length, _PIECE), at)
                if not piece:
                    raise ClientError(f"{self._shown}: {text(entry.path)} is cut short")
                yield offset, piece
                at, offset, length = at + len(piece), offset + len(piece), length - len(piece)

    # --- members --------------------------------------------------------------------------------------------------

    def _enter(self, member: tarfile.TarInfo) -> None:
        path = _stored(os.fsencode(member.name))
        if path is None:
            return
        if len(self._entries) >= _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS:,} entries")
        if member.islnk():
            self._link(member, path)
            return
        kind = _KINDS.get(member.type)
        if kind is None:
            raise ValueError(f"{text(path)} is of a kind that is not known")
        content = None
        if kind is FileType.FILE:
            content = Place(begin=member.offset_data, pieces=_pieces(member))
        self._entries[path] = Entry(
            path=path,
            type=kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            mtime=_time(member),
            size=member.size if kind is FileType.FILE else 0,
            stored=sum(length for _, length in content.pieces) if content else 0,
            target=os.fsencode(member.linkname) if kind is FileType.SYMLINK else b"",
            rdev=(member.devmajor, member.devminor) if kind in (FileType.CHAR, FileType.BLOCK) else (0, 0),
            xattrs=_xattrs(member),
            content=content,
        )

    def _refuse_cut(self, end: int) -> None:
        """Python takes what is no header for the end; an archive that is whole has a block of zeros there."""
        if os.pread(self._file.fileno(), tarfile.BLOCKSIZE, end) != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it is cut short, or damaged")

    def _link(self, member: tarfile.TarInfo, path: bytes) -> None:
        """Another name of a file that came before."""
        first = _stored(os.fsencode(member.linkname))
        entry = self._entries.get(first) if first is not None else None
        if entry is None or entry.type is not FileType.FILE:
            raise ValueError(f"{text(path)} is another name of something that is not there")
        group = entry.link_group or entry.path
        self._entries[entry.path] = msgspec.structs.replace(entry, link_group=group, links=max(entry.links, 2))
        self._entries[path] = msgspec.structs.replace(entry, path=path, link_group=group, links=2)

    def _complete(self) -> None:
        """Folders that are only named by what they hold; what stands where one belongs is a forgery."""
        for path in list(self._entries):
            above = path.rpartition(b"/")[0]
            while above and above not in self._entries:
                self._entries[above] = Entry(path=above, type=FileType.DIR, mode=0o755, uid=0, gid=0, mtime=Time(0))
                above = above.rpartition(b"/")[0]
            if above and self._entries[above].type is not FileType.DIR:
                raise ValueError(f"{text(path)} would lie in {text(above)}, which is no folder")


def _stored(name: bytes) -> bytes | None:
    """The stored path of a member; None for the folders above all. Raise ValueError for a name that leads elsewhere."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts or len(parts) > _MOST_DEPTH or any(len(part) > 255 or b"\0" in part for part in parts):
        raise ValueError(f"{text(name)[:80]!r} is no name that could be kept")
    if _TOP not in parts[:2]:
        return None
    parts = parts[parts.index(_TOP) + 1 :]
    if not parts:
        return None
    if parts[0] == _HOME:
        return b"/".join((b"data", *parts[1:]))
    if tuple(parts[:2]) == _INFO:
        return b"/".join((b"info", *parts[2:]))
    return b"/".join((*_OTHERS, *parts))


def _pieces(member: tarfile.TarInfo) -> tuple[tuple[int, int], ...]:
    """Where a file has data. Raise ValueError where that cannot be."""
    told = cast("list[tuple[int, int]] | None", member.sparse)
    if told is None:
        return ((0, member.size),) if member.size else ()
    pieces = tuple((offset, length) for offset, length in told if length)
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0 or offset + length > member.size:
            raise ValueError(f"{member.name[:80]!r} has its data where none can be")
        end = offset + length
    return pieces


def _time(member: tarfile.TarInfo) -> Time:
    told = member.pax_headers.get("mtime", "")
    whole, _, rest = told.partition(".")
    if not whole.lstrip("-").isdigit():
        return Time(int(member.mtime))
    seconds, fraction = int(whole), int((rest + "0" * 9)[:9]) if rest.isdigit() else 0
    return (
        Time(seconds - 1, 1_000_000_000 - fraction) if whole.startswith("-") and fraction else Time(seconds, fraction)
    )


def _xattrs(member: tarfile.TarInfo) -> tuple[tuple[bytes, bytes], ...]:
    found = ((key, value) for key, value in member.pax_headers.items() if key.startswith(_XATTR))
    return tuple(sorted((os.fsencode(key[len(_XATTR) :]), os.fsencode(value)) for key, value in found))


def plain(source: bytes, target: bytes, most: int) -> None:
    """Decompress a file of root's into a new one of at most so many bytes; one that is a plain tar is copied.

    Raise ClientError.
    """
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
                raise ClientError(f"{text(source)} is no file of root's; it was not looked at")
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as written:
                _pour(gzip.GzipFile(fileobj=file) if packed else file, written, most, text(source))
    except (OSError, EOFError, zlib.error) as error:
        raise ClientError(f"{text(source)} cannot be read: {error}") from error


def _pour(read: IO[bytes] | gzip.GzipFile, written: IO[bytes], most: int, shown: str) -> None:
    done = 0
    while piece := read.read(_PIECE):
        done += len(piece)
        if done > most:
            raise ClientError(f"{shown} has far more in it than JetBackup said of the backup; it was not taken")
        written.write(piece)
