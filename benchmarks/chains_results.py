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
    """All of it. ``stored`` are bytes on disk, ``consolidations`` seconds, ``load`` the machine's over 15 minutes at the end."""

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
