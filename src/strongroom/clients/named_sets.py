"""Sets that a tool finds by the names that they were made under: restic's tags, borg's archives."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from strongroom.clients.tool import Held
from strongroom.model import Damage


def names_of(gone: Sequence[Held], unfinished: Sequence[str]) -> set[str]:
    """The names of all sets that are to be taken away."""
    return {*unfinished, *(name for held in gone for name in (held.data, held.tail) if name)}


def missing(held: Sequence[Held], there: Collection[str], what: str) -> list[Damage]:
    """The sets of points that are not among those that are there; ``what`` is the tool's word for a set."""
    return [
        Damage(object=name, message=f"the {what} is not in the repository any more", points=(each.point.id,))
        for each in held
        for name in (each.data, each.tail)
        if name and name not in there
    ]
