"""Substitutes: what copies a file by the means of the program it belongs to, where its bytes alone may be torn.

A substitute reaches the workers by being there when they are forked, like a feed. It is asked with the first bytes of a
file that is read, never a second time of one that did not change.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol


class Copy(Protocol):
    """One file's copy in the making: ``pieces`` is read once, to its end; then ``failure`` says why it is none (empty: whole)."""

    pieces: Iterator[bytes]
    failure: str


class Substitute(Protocol):
    """Copies some files in place of a plain reading. Never raises.

    ``suffixes`` end the names of a file's *companions*: files beside it that hold what it does not have yet, or had before.
    A copy holds what they hold.
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is added to a file's name for its companions'."""

    def wants(self, begins: bytes) -> bool:
        """Whether a file that begins so is to be copied, not read."""

    def copy(self, folder: int, name: bytes, status: os.stat_result) -> Copy:
        """Begin to copy a file of an open folder: the very inode that has this status, or nothing."""


def companions(substitute: Substitute, names: Sequence[str], stats: Sequence[os.stat_result]) -> dict[str, str]:
    """The regular files of a folder that stand beside one they may belong to, each with that one's name."""
    suffixes = substitute.suffixes
    there: set[str] = set()
    found: dict[str, str] = {}
    for name, stat in zip(names, stats, strict=True):
        if name.endswith(suffixes) and modes.S_ISREG(stat.st_mode):
            there = there or set(names)
            found.update((name, main) for main in mains(substitute, (name,)) if main in there)
    return found


def mains(substitute: Substitute, names: Iterable[str]) -> Iterator[str]:
    """The names of the files whose companions these would be."""
    for name in names:
        for suffix in substitute.suffixes:
            if name.endswith(suffix) and name != suffix:
                yield name.removesuffix(suffix)


def pending(substitute: Substitute, folder: int, name: str) -> bool:
    """Whether a file has a companion now that is not empty. Raise OSError."""
    for suffix in substitute.suffixes:
        try:
            if os.stat(name + suffix, dir_fd=folder, follow_symlinks=False).st_size:
                return True
        except FileNotFoundError:
            continue
    return False
