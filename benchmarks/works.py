"""What is measured, at which scales, and what is allowed: the pieces of work, and the budgets they are held to."""

from __future__ import annotations

from enum import StrEnum

from strongroom.model import Frozen

MIB = 1 << 20


class Work(StrEnum):
    """A piece of work; the value is its name in the tables."""

    HELP = "`--help`"
    FIRST = "first backup"
    QUIET = "a night without changes"
    CHURN = "a night with 1 % churn"
    NEWEST = "one small file, newest point"
    OLDEST = "one small file, first point"
    ACCOUNT = "restore of an account"
    EVERYTHING = "restore of everything"
    CHECK = "check with data"


SHORT = frozenset({Work.HELP, Work.NEWEST, Work.OLDEST})  # repeated more often: a second is soon disturbed


class Kind(StrEnum):
    """What a budget limits."""

    FASTER = "faster"  # the peer's time divided by ours: at least
    WITHIN = "within"  # our time divided by the peer's: at most
    SECONDS = "seconds"  # our time: at most
    MEMORY = "memory"  # our peak in any work, in bytes: at most
    STORED = "stored"  # our repository after the first backup divided by the peer's: at most


class Budget(Frozen):
    """One promise. ``against`` is a peer's name; where it is empty and ``than`` is given, our own other work."""

    text: str
    kind: Kind
    limit: float
    work: Work | None = None
    against: str = ""
    than: Work | None = None

    def needs(self, work: Work, peer: str) -> bool:
        """Whether a peer's time at a piece of work is compared here."""
        return work is self.work and peer == self.against


class Scale(Frozen):
    """A tree's size and how often all is done on it."""

    title: str
    inodes: int
    accounts: int
    small: bool
    rounds: int
    days: int
    points: int
    budgets: tuple[Budget, ...]


def _faster(work: Work, times: float, peer: str = "restic") -> Budget:
    return Budget(text=f"{work}: {times:g}× as fast as {peer}", kind=Kind.FASTER, limit=times, work=work, against=peer)


def _within(work: Work, times: float, peer: str) -> Budget:
    text = f"{work}: no slower than {peer}" if times == 1 else f"{work}: within {times:g}× of {peer}"
    return Budget(text=text, kind=Kind.WITHIN, limit=times, work=work, against=peer)


def _memory(mebibytes: int) -> Budget:
    return Budget(text=f"memory of all processes: {mebibytes} MiB", kind=Kind.MEMORY, limit=mebibytes * MIB)


MIXED = Scale(
    title="200,000 entries, mixed",
    inodes=200_000,
    accounts=20,
    small=False,
    rounds=3,
    days=5,
    points=30,
    budgets=(
        _faster(Work.FIRST, 2),
        _within(Work.FIRST, 1, "tar"),
        _faster(Work.QUIET, 10),
        _within(Work.QUIET, 1.5, "find"),
        _faster(Work.CHURN, 5),
        _memory(300),
        Budget(text="repository: no larger than restic's", kind=Kind.STORED, limit=1, against="restic"),
        _within(Work.CHECK, 1, "restic"),
        _within(Work.ACCOUNT, 1, "restic"),
        _within(Work.EVERYTHING, 1, "restic"),
        Budget(text=f"{Work.NEWEST}: 0.5 s", kind=Kind.SECONDS, limit=0.5, work=Work.NEWEST),
        Budget(
            text=f"{Work.NEWEST}: no slower than from the first",
            kind=Kind.WITHIN,
            limit=1,
            work=Work.NEWEST,
            than=Work.OLDEST,
        ),
        Budget(text=f"{Work.HELP}: 0.15 s", kind=Kind.SECONDS, limit=0.15, work=Work.HELP),
    ),
)
LARGE = Scale(
    title="1,000,000 entries, most of them in one account",
    inodes=1_000_000,
    accounts=4,
    small=True,
    rounds=3,
    days=3,
    points=10,
    budgets=(_faster(Work.QUIET, 12), _within(Work.QUIET, 1.3, "find"), _memory(500)),
)
SCALES = (MIXED, LARGE)
