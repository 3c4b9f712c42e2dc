"""The snapshots of an app as its branch has them: walked, found by what commands call them, and dropped at their old end.

A snapshot's id is its commit's, so history is never written anew. It is cut off as git does it for a shallow clone: the
file ``shallow`` names the oldest commit that is kept, and the owner's git knows of nothing before it either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from strongroom.errors import UnknownError
from strongroom.webapps.base import App
from strongroom.webapps.snapshots import packs
from strongroom.webapps.snapshots.facts import Sealer
from strongroom.webapps.snapshots.git import Git
from strongroom.webapps.snapshots.objects import Reader, present
from strongroom.webapps.snapshots.repository import Repository
from strongroom.webapps.snapshots.stored import Stored, load

LATEST = "latest"
# A branch that its owner made endless is looked at no further back.
_MOST_COMMITS = 100_000
_LEAST_PREFIX = 4
_ANY = ("commit", "tree", "blob", "tag")


class History:
    """The snapshots of one app, newest first; commits of the owner's own are passed over."""

    def __init__(self, app: App, repository: Repository, git: Git, reader: Reader, sealer: Sealer) -> None:
        self._app, self._repository, self._git = app, repository, git
        self._reader, self._sealer = reader, sealer

    def walk(self) -> Iterator[Stored]:
        """All of them."""
        name = self._repository.tip
        ends = self._repository.shallow
        last: Stored | None = None
        for _ in range(_MOST_COMMITS):
            if name is None:
                break
            commit = self._reader.commit(name)
            stored = load(commit, self._app, self._reader, self._sealer)
            if last is not None and (stored is None or stored.identity != last.identity):
                yield last
            last, name = stored, None if name in ends else commit.parent
        if last is not None:
            yield last

    def find(self, reference: str) -> Stored:
        """The one that is meant; raise UnknownError."""
        wanted = reference.lower()
        found = []
        for stored in self.walk():
            if stored.commit.id == wanted or (wanted == LATEST and not stored.facts.safety):
                return stored
            if len(wanted) >= _LEAST_PREFIX and stored.commit.id.startswith(wanted):
                found.append(stored)
        if len(found) != 1:
            what = "is the beginning of several snapshots" if found else "is no snapshot"
            raise UnknownError(
                f"{reference!r} {what} of {self._app.app}; see: strongroom apps snapshots {self._app.app}"
            )
        return found[0]

    def is_whole(self, stored: Stored) -> bool:
        """Whether the repository has all that a snapshot holds."""
        wanted = stored.blobs | {str(entry.content) for entry in stored.entries() if entry.content is not None}
        return present(self._git, wanted) == wanted

    def drop(self, keep: int, needed: Collection[str]) -> int:
        """Let only so many be left, and free the room of the others; returns how many went. 0 keeps all.

        The newest that no rollback took stays, and so do those that are ``needed``, with all that are newer than these. Raise
        SnapshotError where the room cannot be freed; then it is when the next one goes.
        """
        taken = list(self.walk()) if keep else []
        last = _last(taken, keep, needed)
        older = len(taken) - last - 1
        if older <= 0:
            return 0
        ends = self._repository.shallow - {taken[-1].commit.id}
        self._repository.put_shallow({*ends, taken[last].commit.id})
        # To write all that is left anew is much for one snapshot: a few may wait for others.
        if len(packs.listed(self._repository.open())) > keep // 4 + 1:
            self._free(self._repository.open())
        return older

    def _free(self, folder: int) -> None:
        """Write what is left into one pack, and remove the packs that were there before."""
        before = packs.listed(folder)
        ends = present(self._git, self._repository.shallow, _ANY)
        roots = present(self._git, packs.references(folder), _ANY)
        asked = [*(f"--shallow {name}" for name in sorted(ends)), *sorted(roots)]
        said = self._git.run(
            "pack-objects", "--revs", "--quiet", "--delta-base-offset", "--window=0", packs.BEGINS,
            given="".join(f"{line}\n" for line in asked).encode(),
        )  # fmt: skip
        packs.remove(folder, before - {b"pack-" + said.strip()})


def _last(taken: list[Stored], keep: int, needed: Collection[str]) -> int:
    """The place of the oldest that stays."""
    good = next((place for place, stored in enumerate(taken) if not stored.facts.safety), 0)
    wanted = [place for place, stored in enumerate(taken) if stored.commit.id in needed]
    return max(keep - 1, good, *wanted)
