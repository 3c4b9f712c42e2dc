"""What was measured, as values that are kept as JSON, and what follows from them: medians, ratios, verdicts."""

from __future__ import annotations

from statistics import median

from benchmarks.measure import Figure
from benchmarks.works import Budget, Kind, Work
from strongroom.model import Frozen

OURS = "strongroom"


class Result(Frozen):
    """One peer at one piece of work.

    ``sampled`` is the run during which memory was sampled, ``timed`` those during which it was not. ``failure`` is why
    there are no more runs.
    """

    peer: str
    work: Work
    sampled: Figure | None = None
    timed: tuple[Figure, ...] = ()
    failure: str = ""

    def quoted(self) -> tuple[Figure, ...]:
        """The runs whose time counts: the sampled one only where there are no others."""
        return self.timed or ((self.sampled,) if self.sampled else ())

    def wall(self) -> float | None:
        """The median time in seconds."""
        return median(figure.wall for figure in self.quoted()) if self.quoted() else None

    def cpu(self) -> float | None:
        """The median processor time in seconds."""
        return median(figure.cpu for figure in self.quoted()) if self.quoted() else None

    def memory(self) -> int | None:
        """The peak of memory in bytes."""
        return self.sampled.memory if self.sampled else None


class Stored(Frozen):
    """Bytes on disk: the repository after the first backup and at the end, what lies beside it at the end; points."""

    first: int
    last: int = 0
    beside: int = 0
    points: int = 0


class Measurement(Frozen):
    """Everything that one run of the benchmarks found out. ``tree`` has the counts of the tree as it was made."""

    title: str
    date: str
    conditions: str
    machine: dict[str, str]
    versions: dict[str, str]
    tree: dict[str, int]
    budgets: tuple[Budget, ...]
    results: tuple[Result, ...]
    stored: dict[str, Stored]

    def result(self, peer: str, work: Work) -> Result | None:
        """What a peer did at a piece of work."""
        return next((one for one in self.results if one.peer == peer and one.work is work), None)

    def wall(self, peer: str, work: Work | None) -> float | None:
        """The median time in seconds; None where there is none, or it failed."""
        found = self.result(peer, work) if work else None
        return found.wall() if found and not found.failure else None


class Verdict(Frozen):
    """A budget beside what was measured: our figure, what it is allowed to be, and the ratio the budget speaks of."""

    budget: Budget
    ours: float
    allowed: float
    ratio: float | None = None

    def excess(self) -> float:
        """By which part of what is allowed ours is more; 0 or less: the budget is met."""
        return self.ours / self.allowed - 1


def judge(measurement: Measurement, budget: Budget) -> Verdict | None:
    """Holds the figures against one budget; None where something needed was not measured."""
    ours, theirs = _sides(measurement, budget)
    if not ours or (theirs is not None and not theirs):
        return None
    if theirs is None:
        return Verdict(budget=budget, ours=ours, allowed=budget.limit)
    if budget.kind is Kind.FASTER:
        return Verdict(budget=budget, ours=ours, allowed=theirs / budget.limit, ratio=theirs / ours)
    return Verdict(budget=budget, ours=ours, allowed=theirs * budget.limit, ratio=ours / theirs)


def _sides(measurement: Measurement, budget: Budget) -> tuple[float | None, float | None]:
    """Our figure and the one it is compared with: None where the limit stands alone, 0 where it is missing."""
    if budget.kind is Kind.MEMORY:
        peaks = [one.memory() or 0 for one in measurement.results if one.peer == OURS and not one.failure]
        return max(peaks, default=0), None
    if budget.kind is Kind.STORED:
        ours, theirs = measurement.stored.get(OURS), measurement.stored.get(budget.against)
        return (ours.first if ours else None), (theirs.first if theirs else 0)
    own = measurement.wall(OURS, budget.work)
    if budget.kind is Kind.SECONDS:
        return own, None
    return own, measurement.wall(budget.against or OURS, budget.than or budget.work) or 0
