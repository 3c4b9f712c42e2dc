"""What came of an update, as values: the verdict with its evidence, and what was done when."""

from __future__ import annotations

from enum import StrEnum

from strongroom.model import Frozen
from strongroom.webapps.assurance.look import Look
from strongroom.webapps.assurance.verdict import Evidence


class Verdict(StrEnum):
    """How an update ended: kept; put back as it was; neither, with something left to do."""

    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"


class Step(Frozen):
    """One step of an update: when it began (seconds since 1970), and how long it took."""

    name: str
    started: float
    seconds: float


class Outcome(Frozen):
    """One update of one app.

    ``what`` says what was done, ``was`` and ``version`` are the app's versions before and after. ``evidence`` is all that was
    seen, ``proof`` what the last look after a rollback shows against the first. ``left`` is what is left to do when the
    verdict is ``failed``. ``report`` is the server path of the report, empty where none could be written. ``looks`` are
    before, after, and after the rollback, as far as it came. ``modes`` is Fortification as it stood before.
    """

    app: str
    what: str
    verdict: Verdict
    was: str = ""
    version: str = ""
    snapshot: str = ""
    evidence: tuple[Evidence, ...] = ()
    proof: tuple[Evidence, ...] = ()
    left: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    looks: tuple[Look, ...] = ()
    modes: tuple[str, ...] = ()
    url: str = ""
    rehearsed: bool = False
    report: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was not confirmed, with the pages that say so."""
        return tuple(f"{each.page}: {each.text}" if each.page else each.text for each in self.evidence if each.fails)
