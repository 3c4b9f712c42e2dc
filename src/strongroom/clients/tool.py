"""The port that a driver of foreign software fills: folders in, folders out, and no more.

Names, metadata, levels, plans, what is complete and what is not: all that is `foreign.ForeignClient`'s, the same for every
tool. A driver says how its tool is called. `docs/clients.md` shows how one is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from strongroom.clients.box import View
from strongroom.clients.sidecar import Row
from strongroom.errors import AwayError
from strongroom.model import Frozen, Level, Point, Pruned, Verification

# A set's second part, and a set that holds nothing but a point's record and corrections, end so.
TAIL = ".tail"


class AbsentError(AwayError):
    """There is no storage where the configuration says."""


class Order(Frozen):
    """One set to make: of all that the view shows below ``series``, which is the same for every set of an account, but for
    carried ones that nothing is built on: such a set has a series of its own.

    ``name`` is the set's: letters, digits, dots, dashes. ``base`` is the handle of the set to compare with (empty: none, all
    is to be read), ``since`` that set's name. ``tail`` is true for a set's small second part, which never has a base.
    ``progress`` may be told now and then how many files and bytes were copied, where the tool says so.
    """

    name: str
    series: str
    view: View
    level: Level
    base: str = ""
    since: str = ""
    tail: bool = False
    progress: Callable[[int, int], None] | None = None


class Trouble(Frozen):
    """Something that a tool could not read: its path in the view (empty: it did not say which), and why."""

    path: bytes
    message: str


class Saved(Frozen):
    """A set that was made. ``handle`` is what its tool finds it by; ``bytes`` what it added to the storage (0: unknown).

    ``level`` is FULL where the tool made a full one of what was asked for as another.
    """

    handle: str
    bytes: int = 0
    troubles: tuple[Trouble, ...] = ()
    level: Level | None = None


class Held(Frozen):
    """A point, and the sets that it is in: ``data`` and, where it has one, ``tail``, by the handles of the tool.

    ``sidecar`` is the hash of the set's own sidecar (empty: not known), by which the set is known to be this one.
    ``aside``: it was carried here when the account had a newer one, and no set is ever built on it.
    """

    point: Point
    series: str
    data: str
    tail: str = ""
    aside: bool = False
    sidecar: bytes = b""


class Tool(Protocol):
    """One software, set up by one table of the configuration. Errors are ClientError: one line, and what to do.

    ``levels``: the words it knows, the first being FULL. ``alone``: each set is restored by itself. ``replays``: else the tool
    reads the sets that another needs by itself, a file from each since it appeared; ``merges``: it does, a file from the newest
    that has it; where none is true, each set holds only what changed. ``partial``: single
    paths can be brought back without all the rest being read. ``keeps`` are the words of `base.KEEPS` that the tool keeps by
    itself; the sidecar keeps the others. ``encrypted`` and ``remote`` are for people to read.
    """

    driver: str
    levels: tuple[Level, ...]
    alone: bool
    replays: bool
    merges: bool
    partial: bool
    keeps: tuple[str, ...]
    encrypted: bool
    remote: bool

    def version(self) -> str | None:
        """The software's version; None where it is not installed."""

    def prepare(self, *, make: bool) -> None:
        """See to it that the storage can be used; make it where there is none, if so told, else raise AbsentError."""

    def holds(self, path: bytes) -> bool:
        """Whether a file of such a path in the view comes back under its name; else it is carried as a numbered one."""

    def save(self, order: Order) -> Saved:
        """Make a set. Raise ClientError where there is none afterwards."""

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """Bring places of the view (none: all) back below an empty folder; return the folder that stands for the view."""

    def tails(self) -> list[str] | None:
        """The handles of all second parts that the storage holds; None where the tool cannot tell."""

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """Take away sets that no point needs, and sets by name that were never finished, and free their room.

        Returns what was freed, and the ids of those points of ``gone`` whose sets are not there any more.
        """

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """Check the storage, and that the sets of all points are in it."""


@runtime_checkable
class Overlooking(Tool, Protocol):
    """What a tool may have beside, whose increments go by less than what the kernel changes with every write."""

    def overlooks(self, before: Row, now: Row) -> bool:
        """Whether it takes a file for what was in the set that the new one is built on; such a change is carried by us."""


@runtime_checkable
class Measuring(Tool, Protocol):
    """What a tool may have beside that replays chains, and reads more of its sets than what is asked for."""

    def reads(self, chain: Sequence[Held], places: Sequence[bytes]) -> list[int]:
        """How many bytes of each set of a chain it reads to bring places (none: all) back from the last; 0: it needs none.

        Raise ClientError where a set is known to be missing.
        """


@runtime_checkable
class Consolidating(Tool, Protocol):
    """What a tool may have beside: it makes a chain into a full set by itself, inside its storage.

    For a tool without it the state of the chain is brought back below the state folder and saved as a full set.
    """

    def consolidate(self, name: str, chain: Sequence[Held]) -> Saved:
        """Make a full set called ``name`` of the sets of a chain, the full one first, and nothing of the server.

        It is built on no other set; what `bring` brings of it, by its handle and the same series, is what it brings of the last
        one's ``data``: the files of `strongroom.clients.bringing.OWN` too. Later sets may be built on it. It is a set of its own:
        those of the chain stay until `prune` is told that they are gone. Second parts are the caller's. What is left of one
        that was not finished, `prune` gets by ``name``. Raise ClientError where there is none afterwards.
        """
