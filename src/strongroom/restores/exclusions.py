"""What a point holds nothing of on purpose: excluded paths, and those it names in its warnings.

A mirror must not take such things away, and an archive of live data leaves the excluded ones out.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from strongroom.model import Account, Location, Point, text


class Exclusions:
    """Answers, for a stored path, whether a point leaves it out."""

    def __init__(self, account: Account | None, patterns: Sequence[str], point: Point | None = None) -> None:
        locations: tuple[Location, ...] = account.locations if account is not None else ()
        self._own = {
            location.tree: GitIgnoreSpec.from_lines([text(each.pattern) for each in location.exclude])
            for location in locations
            if location.exclude
        }
        self._administrator = GitIgnoreSpec.from_lines(patterns) if patterns else None
        self._warned = frozenset(remark.path for remark in point.warnings if remark.path) if point else frozenset()

    def holds(self, path: bytes, *, folder: bool) -> bool:
        """Whether a stored path is left out."""
        if path in self._warned:
            return True
        tree, _, below = path.partition(b"/")
        if not below:
            return False
        name = text(below) + ("/" if folder else "")
        own = self._own.get(text(tree))
        if own is not None and own.match_file(name):
            return True
        return self._administrator is not None and self._administrator.match_file(name)
