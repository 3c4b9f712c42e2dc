"""What was measured of chains, as values that are kept as JSON."""

from __future__ import annotations

import msgspec

from strongroom.model import Frozen


class Way(Frozen):
    """One client, backed up with night after night. ``table`` is its configuration, ``storage`` the folder of its sets.

    ``differential``: every so many nights a differential point is made (0: never).
    """

    name: str
    client: str
    table: str = ""
    storage: str = ""
    differential: int = 0

    def level(self, number: int) -> str:
        """What is asked for in a night; the first is 0."""
        if number == 0:
            return "full"
        return "differential" if self.differential and number % self.differential == 0 else "incremental"


class Night(Frozen):
    """One point, and how long it took to make."""

    point: str
    level: str
    seconds: float


class Cost(Frozen):
    """Runs and bytes that are read, seconds, and entries that were unpacked (None: not counted)."""

    runs: int
    bytes: int
    seconds: float
    inodes: int | None = None


class Restored(msgspec.Struct, frozen=True):
    """A point brought back after so many nights: all of it, or one path."""

    way: str
    nights: int
    path: str
    forecast: Cost
    measured: Cost


class Findings(Frozen):
    """All of it. ``stored`` are bytes on disk, ``consolidations`` seconds, ``load`` the machine's over 15 minutes at the end.

    ``kept`` says which ways' figures are of an earlier run, and of which.
    """

    date: str
    machine: dict[str, str]
    revision: str
    load: float
    tree: dict[str, int]
    runs: int
    nights: dict[str, list[Night]]
    stored: dict[str, int]
    restores: tuple[Restored, ...]
    consolidations: dict[str, float]
    kept: str = ""

    def beside(self, known: Findings) -> Findings:
        """These with those of an earlier run of the ways that were not measured now; of another account or count, alone."""
        others = [name for name in known.nights if name not in self.nights]
        if not others or (known.tree, known.runs) != (self.tree, self.runs):
            return self
        return msgspec.structs.replace(
            self,
            nights=self.nights | {name: known.nights[name] for name in others},
            stored=self.stored | {name: known.stored[name] for name in others},
            restores=(*self.restores, *(one for one in known.restores if one.way.split(",")[0] in others)),
            consolidations=self.consolidations | {n: s for n, s in known.consolidations.items() if n in others},
            kept=f"{', '.join(others)} as measured {known.date} at {known.revision}, with a load of {known.load:.1f}",
        )
