"""Unpacks an archive as the app's owner, whatever is in it: files and folders below one folder, within bounds.

Python's readers of zip and tar only say what an archive holds; every file is made here, new, by a name that was looked at.
Links, devices and names that lead elsewhere refuse the whole archive: no honest one of an app has them.
"""

from __future__ import annotations

import bz2  # noqa: F401  (tarfile asks for these three later, when nothing can be imported any more)
import gzip  # noqa: F401
import lzma  # noqa: F401
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from strongroom.model import Frozen
from strongroom.webapps.assurance import becoming

_MOST_ENTRIES = 200_000
_MOST_DEPTH = 40
_MOST_NAME = 255
_MOST_TIMES, _ANYWAY = 200, 1 << 30
_BLOCK = 1 << 18

# A name in the archive, its permission bits, and its content; None for a folder.
Member = tuple[str, int, IO[bytes] | None]


class Unpacking(Frozen):
    """An open archive and an open, empty folder of the owner's."""

    uid: int
    gid: int
    archive: int
    folder: int


class Refused(Exception):
    """The archive is not unpacked; the message says why."""


def main() -> int:
    """Read the task, become the owner, unpack."""
    task = becoming.task(Unpacking)
    becoming.become(task.uid, task.gid)
    try:
        with open(task.archive, "rb") as file:
            _unpack(file, task.folder)
    except tarfile.ReadError:
        return becoming.refuse("it is no whole archive of a kind that is read here: zip, tar, tar.gz, tar.bz2, tar.xz")
    except (Refused, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError) as error:
        return becoming.refuse(str(error))
    except (ValueError, RuntimeError, NotImplementedError) as error:
        return becoming.refuse(f"it is damaged, encrypted, or packed in a way that is not read here: {error}")
    return 0


def _unpack(file: IO[bytes], folder: int) -> None:
    room = max(_ANYWAY, os.fstat(file.fileno()).st_size * _MOST_TIMES)
    mark = file.read(4)
    file.seek(0)
    os.umask(0o022)
    count = 0
    for name, mode, content in _of_zip(file) if mark in (b"PK\3\4", b"PK\5\6") else _of_tar(file):
        count += 1
        if count > _MOST_ENTRIES:
            raise Refused(f"it holds more than {_MOST_ENTRIES:,} entries")
        room -= _make(folder, _names(name), mode, content, room)
    if not count:
        raise Refused("there is nothing in it")


def _names(name: str) -> list[str]:
    names = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or "\\" in name or ".." in names or "\0" in name:
        raise Refused(f"it holds a name that leads out of it: {name!r}")
    if len(names) > _MOST_DEPTH or any(len(os.fsencode(part)) > _MOST_NAME for part in names):
        raise Refused(f"it holds a name that is too long: {name[:100]!r}")
    return names


def _make(folder: int, names: list[str], mode: int, content: IO[bytes] | None, room: int) -> int:
    """Make one thing, and the folders on the way to it; returns how many bytes it took."""
    if not names:
        return 0
    at = os.dup(folder)
    try:
        for part in names if content is None else names[:-1]:
            at = _below(at, part)
        if content is None:
            return 0
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(names[-1], new, 0o755 if mode & 0o100 else 0o644, dir_fd=at), "wb") as file:
            return _copied(content, file, room)
    finally:
        os.close(at)


def _below(at: int, part: str) -> int:
    try:
        os.mkdir(part, 0o755, dir_fd=at)
    except FileExistsError:
        pass
    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    os.close(at)
    return below


def _copied(content: IO[bytes], file: IO[bytes], room: int) -> int:
    taken = 0
    while block := content.read(_BLOCK):
        taken += len(block)
        if taken > room:
            raise Refused("unpacked it is beyond all proportion to its size")
        file.write(block)
    return taken


def _of_zip(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        if archive.start_dir > os.fstat(file.fileno()).st_size:
            raise Refused("its directory is not where it has to be")
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused(f"it holds a link or something else that is no file: {member.filename!r}")
            if member.is_dir():
                yield member.filename, mode, None
            else:
                with archive.open(member) as content:
                    yield member.filename, mode, content


def _of_tar(file: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            if member.isdir():
                yield member.name, member.mode, None
            elif member.isreg():
                content = archive.extractfile(member)
                assert content is not None  # noqa: S101  (it is a regular file)
                yield member.name, member.mode, content
            else:
                raise Refused(f"it holds a link or something else that is no file: {member.name!r}")
            archive.members = []  # type: ignore[attr-defined]  # else they are all kept


if __name__ == "__main__":
    sys.exit(main())
