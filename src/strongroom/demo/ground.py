"""Ground to build on: a folder that is filled with files of one owner, each with a time in the past."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

OLDEST, NEWEST = 1_560_000_000, 1_760_000_000


class Ground:
    """Makes things below one folder; paths are relative to it, parents are made on the way.

    ``skipped`` collects what this file system or machine would not hold, as words for the reader.
    """

    def __init__(self, root: bytes, uid: int, gid: int, seed: str) -> None:
        self.root, self.uid, self.gid = root, uid, gid
        self.random = random.Random(seed)  # noqa: S311 - the same demo every time, no secrets
        self.skipped: set[str] = set()
        if not os.path.isdir(root):
            os.makedirs(root)
            os.chown(root, uid, gid)

    def at(self, path: bytes) -> bytes:
        """The absolute path of a relative one."""
        return self.root + b"/" + path

    def folder(self, path: bytes, mode: int = 0o755) -> bytes:
        """A folder and its parents; one that is there already is left as it is."""
        if path and not os.path.isdir(self.at(path)):
            self.folder(os.path.dirname(path))
            os.mkdir(self.at(path))
            os.chown(self.at(path), self.uid, self.gid)
            os.chmod(self.at(path), mode)
        return path

    def file(self, path: bytes, content: bytes, mode: int = 0o644, uid: int | None = None) -> bytes:
        """A file of the ground's owner, or of ``uid``, last written some time in the past years."""
        self.folder(os.path.dirname(path))
        with open(self.at(path), "wb") as stream:
            stream.write(content)
        os.chown(self.at(path), self.uid if uid is None else uid, self.gid)
        os.chmod(self.at(path), mode)
        self.age(path)
        return path

    def link(self, path: bytes, target: bytes) -> bytes:
        """A symlink of the ground's owner."""
        self.folder(os.path.dirname(path))
        os.symlink(target, self.at(path))
        os.chown(self.at(path), self.uid, self.gid, follow_symlinks=False)
        return path

    def age(self, path: bytes) -> None:
        """Give something a modification time in the past, with nanoseconds."""
        moment = self.random.randrange(OLDEST * 10**9, NEWEST * 10**9)
        os.utime(self.at(path), ns=(moment, moment), follow_symlinks=False)

    def attempt(self, what: str, call: Callable[..., object], *arguments: Any, **options: Any) -> bool:
        """Do what not every file system or container allows, and remember ``what`` when it is refused."""
        try:
            call(*arguments, **options)
        except OSError:
            self.skipped.add(what)
            return False
        return True
