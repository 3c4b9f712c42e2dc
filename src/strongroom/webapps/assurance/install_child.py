"""Puts new files of an app in place, as the app's owner.

All of them are received before anything is touched: what is cut short, or finds no room, has changed nothing. Each file is
then made in its own folder, so that the folder's default ACL and group count for it, gets mode and ACL of the file that it
replaces, and takes its name at once. Folders are searched by path: what is planted there leads the owner no further than
he could go himself.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator

import msgspec

from strongroom.model import Frozen
from strongroom.webapps.assurance import becoming

_ACL = "system.posix_acl_access"
_BLOCK = 1 << 20
_LENGTH = 4
_MOST_HEADER = 1 << 16
# What new files are called until they have their names.
OURS = b".strongroom-update-"
MAINTENANCE = b".maintenance"
# WordPress answers with 503 while this is there, for ten minutes at most.
_MAINTENANCE_TEXT = b"<?php $upgrading = time();\n"


class Installing(Frozen):
    """``folder`` is the app's, open; ``place`` where the files go below it (empty: itself).

    ``whole``: what is not among the new files goes. ``remove`` are files that the new version has no more, relative to
    ``place``. ``closed``: visitors are told to come back while files are replaced.
    """

    uid: int
    gid: int
    folder: int
    place: bytes = b""
    whole: bool = False
    remove: tuple[bytes, ...] = ()
    closed: bool = False


class Sent(Frozen, array_like=True):
    """What precedes a file's content in the stream; ``size`` is -1 for a folder, and an empty path ends it."""

    path: bytes
    mode: int = 0
    size: int = 0


class Installed(Frozen):
    """How many files are new, replaced and removed."""

    added: int
    replaced: int
    removed: int


def main() -> int:
    """Read the task, become the owner, receive all files, put them in place."""
    task = becoming.task(Installing)
    becoming.become(task.uid, task.gid)
    try:
        os.fchdir(task.folder)
        os.umask(0o022)
        staging = OURS + secrets.token_hex(8).encode()
        os.mkdir(staging, 0o700)
        try:
            answer = _install(task, staging, _received(staging))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except (OSError, EOFError, ValueError) as error:
        return becoming.refuse(f"the new files cannot be put in place: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


def _received(staging: bytes) -> dict[bytes, int]:
    """Everything that is sent, below a folder: permission bits by path, -1 for a folder."""
    found: dict[bytes, int] = {}
    for sent in _headers():
        path = os.path.join(staging, sent.path)
        if sent.size < 0:
            os.makedirs(path, exist_ok=True)
            found[sent.path] = -1
            continue
        with open(path, "xb") as file:
            left = sent.size
            while left:
                block = becoming.exactly(min(left, _BLOCK))
                file.write(block)
                left -= len(block)
        found[sent.path] = sent.mode
    return found


def _headers() -> Iterator[Sent]:
    while True:
        length = int.from_bytes(becoming.exactly(_LENGTH))
        if length > _MOST_HEADER:
            raise ValueError("a header is too large")
        sent = msgspec.msgpack.decode(becoming.exactly(length), type=Sent)
        if not sent.path:
            return
        yield sent


def _install(task: Installing, staging: bytes, found: dict[bytes, int]) -> Installed:
    if task.closed:
        with open(MAINTENANCE, "wb") as file:
            file.write(_MAINTENANCE_TEXT)
    added = replaced = 0
    if task.place:
        os.makedirs(task.place, exist_ok=True)
    for path, mode in sorted(found.items()):
        target = os.path.join(task.place, path)
        if mode < 0:
            _folder(target)
        elif _put(os.path.join(staging, path), target, mode):
            replaced += 1
        else:
            added += 1
    removed = sum(_removed(os.path.join(task.place, path)) for path in task.remove if path not in found)
    if task.whole:
        removed += _removed_others(task.place, found)
    return Installed(added=added, replaced=replaced, removed=removed)


def _folder(path: bytes) -> None:
    status = _look(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        status = None
    if status is None:
        os.mkdir(path, 0o755)


def _put(source: bytes, target: bytes, mode: int) -> bool:
    """Put one file in place; whether there was one."""
    old = _look(target)
    if old is not None and stat.S_ISDIR(old.st_mode):
        shutil.rmtree(target)
        old = None
    above, name = os.path.split(target)
    draft = os.path.join(above, OURS + secrets.token_hex(8).encode())
    try:
        with open(source, "rb") as reading, open(draft, "xb") as writing:
            shutil.copyfileobj(reading, writing, _BLOCK)
            if old is not None and stat.S_ISREG(old.st_mode):
                _like(target, old, writing.fileno())
            elif mode & 0o100:
                os.fchmod(writing.fileno(), os.fstat(writing.fileno()).st_mode | 0o111)
        os.rename(draft, target)
    except BaseException:
        if os.path.lexists(draft):
            os.unlink(draft)
        raise
    os.unlink(source)
    return old is not None


def _like(path: bytes, old: os.stat_result, new: int) -> None:
    """Give a new file the group, mode and ACL of the one that it replaces, as far as its owner may."""
    if os.fstat(new).st_gid != old.st_gid:
        try:
            os.fchown(new, -1, old.st_gid)
        except PermissionError:
            pass
    os.fchmod(new, stat.S_IMODE(old.st_mode) & 0o777)
    try:
        acl = os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError:
        return
    os.setxattr(new, _ACL, acl)


def _removed(path: bytes) -> bool:
    status = _look(path)
    if status is None:
        return False
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
    return True


def _removed_others(place: bytes, found: dict[bytes, int]) -> int:
    """Remove what a folder holds beside the new files."""
    removed = 0
    for above, folders, files in os.walk(place, topdown=False):
        for name in files + folders:
            whole = os.path.join(above, name)
            if os.path.relpath(whole, place) not in found:
                removed += _removed(whole)
    return removed


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


if __name__ == "__main__":
    sys.exit(main())
