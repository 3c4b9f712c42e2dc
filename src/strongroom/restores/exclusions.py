"""What a point holds nothing of on purpose: excluded paths, and those it names in its warnings.

A mirror must not take such things away, and an archive of live data leaves them out.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from strongroom.model import Account, Location, Point, text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # late: most restores take nothing away, and ask nothing

    return GitIgnoreSpec.from_lines(patterns)


class Exclusions:
    """Answers, for a stored path, whether a point leaves it out."""

    def __init__(self, account: Account | None, patterns: Sequence[str], point: Point | None = None) -> None:
        self._locations: tuple[Location, ...] = account.locations if account is not None else ()
        self._patterns = patterns
        self._warned = frozenset(remark.path for remark in point.warnings if remark.path) if point else frozenset()

    @cached_property
    def _own(self) -> dict[str, GitIgnoreSpec]:
        return {
            location.tree: _spec([text(each.pattern) for each in location.exclude])
            for location in self._locations
            if location.exclude
        }

    @cached_property
    def _selected(self) -> dict[str, list[list[bytes]]]:
        """The globs of each tree of which only a part is taken, in their parts."""
        return {
            location.tree: [glob.strip(b"/").split(b"/") for glob in location.select]
            for location in self._locations
            if location.select is not None
        }

    @cached_property
    def _administrator(self) -> GitIgnoreSpec | None:
        return _spec(self._patterns) if self._patterns else None

    def holds(self, path: bytes, *, folder: bool) -> bool:
        """Whether a stored path is left out."""
        if path in self._warned:
            return True
        tree, _, below = path.partition(b"/")
        if not below:
            return False
        globs = self._selected.get(text(tree))
        if globs is not None and not any(_meets(below.split(b"/"), glob, folder=folder) for glob in globs):
            return True  # where only a part is taken, this is no part of it
        name = text(below) + ("/" if folder else "")
        own = self._own.get(text(tree))
        if own is not None and own.match_file(name):
            return True
        return self._administrator is not None and self._administrator.match_file(name)

    def leads(self, path: bytes) -> bool:
        """Whether a folder was asked for by name, or is on the way to what was: there it may be on another file system."""
        tree, _, below = path.partition(b"/")
        parts = below.split(b"/")
        return any(
            len(parts) <= len(glob) and _meets(parts, glob, folder=True) for glob in self._selected.get(text(tree), ())
        )


def _meets(parts: list[bytes], glob: list[bytes], *, folder: bool) -> bool:
    """Whether a path is what a glob means, in it, or (a folder) on the way to it."""
    deep_enough = folder or len(parts) >= len(glob)
    return deep_enough and all(fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(parts, glob, strict=False))
