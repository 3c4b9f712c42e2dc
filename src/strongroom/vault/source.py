"""What to back up: folders, and what is left out of them."""

from __future__ import annotations

import fnmatch
from enum import Enum
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One folder, and the name it has in a snapshot.

    ``exclude`` are gitignore-style patterns relative to the folder. ``select``: globs of what to take (absolute below the
    folder, a star does not cross a slash), or None for all; folders on the way to what is taken are kept as such, whatever
    file system they are on.
    """

    name: str
    path: bytes
    exclude: tuple[str, ...] = ()
    select: tuple[bytes, ...] | None = None


def _spec(patterns: list[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # late: few have patterns, and each worker would wait for it

    return GitIgnoreSpec.from_lines(patterns)


class Take(Enum):
    """What to do with a path."""

    ALL = 1
    ON_THE_WAY = 2
    NOTHING = 3


class Filter:
    """Decides for one source. Paths are relative to the source, without a leading slash."""

    def __init__(self, source: Source) -> None:
        plain = [line.strip("/") for line in source.exclude if line.startswith("/") and not set(line) & set("*?[!\\")]
        rest = [line for line in source.exclude if not (line.startswith("/") and not set(line) & set("*?[!\\"))]
        self._exact = frozenset(line.encode("utf-8", "surrogateescape") for line in plain)
        self._holding = frozenset(path.rpartition(b"/")[0] for path in self._exact)
        self._spec = _spec(rest) if rest else None
        self._select = None if source.select is None else [glob.strip(b"/").split(b"/") for glob in source.select]

    @property
    def trivial(self) -> bool:
        """Whether everything is taken."""
        return not self._exact and self._spec is None and self._select is None

    def touches(self, folder: bytes) -> bool:
        """Whether something that is directly in a folder may be left out. The source itself is the empty path."""
        return folder in self._holding or self._spec is not None or self._select is not None

    def leads(self, path: bytes) -> bool:
        """Whether a folder is what a glob of ``select`` means, or on the way to it: there it may be on another file system."""
        parts = path.split(b"/")
        return any(len(parts) <= len(glob) and _fits(parts, glob) for glob in self._select or ())

    def take(self, path: bytes, *, folder: bool) -> Take:
        """What to do with a path whose folder is taken."""
        if path in self._exact:
            return Take.NOTHING
        if self._spec is not None:
            text = path.decode("utf-8", "surrogateescape")
            if self._spec.match_file(text + "/" if folder else text):
                return Take.NOTHING
        return Take.ALL if self._select is None else self._selected(path, folder)

    def _selected(self, path: bytes, folder: bool) -> Take:
        parts = path.split(b"/")
        best = Take.NOTHING
        for glob in self._select or ():
            if _fits(parts, glob):
                if len(parts) >= len(glob):
                    return Take.ALL
                best = Take.ON_THE_WAY if folder else best
        return best


def _fits(parts: list[bytes], glob: list[bytes]) -> bool:
    """Whether the parts of a path and of a glob agree as far as both go."""
    return all(fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(parts, glob, strict=False))


def fingerprint(sources: tuple[Source, ...]) -> bytes:
    """Changes whenever what is taken changes: last time's digests say nothing then."""
    told = [(source.name, source.exclude, source.select) for source in sources]
    return blake3(msgspec.msgpack.encode(told)).digest(8)
