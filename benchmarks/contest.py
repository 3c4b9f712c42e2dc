"""Lets all peers do the same work on the same tree, in turns, and collects the figures.

Each piece of work is done once by everyone while memory is sampled, which also warms up; then it is timed in rounds, in
each of which the peers take turns and another one begins. Who is in no budget for a piece of work does it only that
first time. Nothing is deleted while the clock may run: ext4 searches long for a free inode when many were freed lately.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from benchmarks.churn import churn
from benchmarks.machine import count, occupied
from benchmarks.measure import CommandError, Figure, measure
from benchmarks.peers import Peer, Steps
from benchmarks.results import OURS, Result, Stored
from benchmarks.tree import KEEPSAKE, Tree, grow
from benchmarks.works import SHORT, Scale, Work
from strongroom.model import Frozen

SHORT_ROUNDS = 5  # so many times more rounds for what is soon done
Prepare = Callable[[Peer], Steps]


class Given(Frozen):
    """How the contest is run. ``cold``: the kernel forgets files and inodes before each measured run.

    ``works`` are those that are measured, and the first backup is always one of them.

    ``settled`` is how many seconds old every change has to be before the clock starts: what is younger is, rightly,
    read again by whoever trusts change times.
    """

    scale: Scale
    tree: Tree
    folder: str
    cold: bool = False
    settled: float = 66
    works: frozenset[Work] = frozenset(Work)


class Contest:
    """One run over all peers; `results` and `stored` fill as it goes."""

    def __init__(self, given: Given, peers: Sequence[Peer]) -> None:
        self.results: dict[tuple[str, Work], Result] = {}
        self.stored: dict[str, Stored] = {}
        self._given = given
        self._peers = list(peers)
        self._named = {peer.name: peer for peer in peers}
        self._days = 0
        self._files: dict[str, int] = {}
        self._last: dict[str, dict[str, int]] = {}

    def run(self) -> dict[str, int]:
        """Does all of it, in the order in which a server lives; returns the counts of the tree as it was made."""
        started = time.perf_counter()
        grow(self._given.tree)
        made = count(self._given.tree.home())
        say(f"made {made['entries']:,} entries in {time.perf_counter() - started:.0f} s")
        self._changed()
        self._race(Work.HELP, lambda peer: peer.help())
        self._race(Work.FIRST, self._first, after=self._backed_up)
        self.stored = {name: Stored(first=occupied(self._named[name].store)) for name in self._last}
        self._race(Work.QUIET, self._night)
        self._race(Work.CHURN, self._night, morning=self._day, after=self._backed_up)
        self._fill()
        self._restores()
        self._race(Work.CHECK, lambda peer: peer.check())
        self._weigh()
        return made

    def _rounds(self, work: Work) -> int:
        """How often a piece of work is timed, after the sampled run."""
        rounds = self._given.scale.days if work is Work.CHURN else self._given.scale.rounds
        return rounds * SHORT_ROUNDS if work in SHORT else rounds

    def _timed(self, peer: Peer, work: Work) -> bool:
        return peer.name == OURS or any(budget.needs(work, peer.name) for budget in self._given.scale.budgets)

    def _race(
        self,
        work: Work,
        prepare: Prepare,
        *,
        morning: Callable[[], None] = lambda: None,
        after: Callable[[Peer], None] = lambda peer: None,
    ) -> None:
        """Rounds of one piece of work: `morning` before each, `prepare` before and `after` after each turn, untimed."""
        if work not in self._given.works | {Work.FIRST}:
            return
        for number in range(self._rounds(work) + 1):
            morning()
            begin = number % len(self._peers)
            for peer in self._peers[begin:] + self._peers[:begin]:
                if not self._out(peer, work) and (number == 0 or self._timed(peer, work)):
                    self._turn(peer, work, number, prepare, after)

    def _turn(self, peer: Peer, work: Work, number: int, prepare: Prepare, after: Callable[[Peer], None]) -> None:
        key = (peer.name, work)
        so_far = self.results.get(key) or Result(peer=peer.name, work=work)
        try:
            steps = prepare(peer)
            if not steps:
                return
            self._cool()
            figure = measure(steps, sample=number == 0)
            after(peer)
        except (CommandError, OSError) as error:
            say(f"{peer.name}: {work}: {error}")
            self.results[key] = replace(so_far, failure=str(error))
            return
        if number == 0:
            self.results[key] = replace(so_far, sampled=figure)
        else:
            self.results[key] = replace(so_far, timed=(*so_far.timed, figure))
        say(f"{peer.name}: {work}: {figure.wall:.2f} s{_memory(figure)}")

    def _out(self, peer: Peer, work: Work) -> bool:
        """Whether a peer failed at this, or at the first backup, without which nothing else can be done."""
        failed = [self.results.get((peer.name, one)) for one in (work, Work.FIRST)]
        return any(result and result.failure for result in failed)

    def _cool(self) -> None:
        if self._given.cold:
            os.sync()
            Path("/proc/sys/vm/drop_caches").write_text("3")

    def _changed(self) -> None:
        """After a change of the tree: counts it, and waits until every change is old enough to be trusted."""
        since = time.monotonic()
        self._count()
        say(f"waiting until every change is {self._given.settled:g} s old")
        time.sleep(max(0.0, self._given.settled - (time.monotonic() - since)))

    def _count(self) -> None:
        tree = self._given.tree
        self._files = {name: count(f"{tree.home()}/{name}")["files"] for name in tree.names()}

    def _day(self) -> None:
        self._days += 1
        say(f"day {self._days}: {churn(self._given.tree, self._days)}")
        self._changed()

    def _first(self, peer: Peer) -> Steps:
        peer.reset()
        return peer.backup(first=True)

    def _night(self, peer: Peer) -> Steps:
        return peer.backup(first=False)

    def _backed_up(self, peer: Peer) -> None:
        """Keeps in mind what a restore has to bring back."""
        self._last[peer.name] = self._files

    def _fill(self) -> None:
        """More nights for us, of a tenth of a per cent each, until there are as many points as the budgets speak of."""
        ours = self._named.get(OURS)
        if not ours or self._out(ours, Work.CHURN) or Work.NEWEST not in self._given.works:
            return
        try:
            for _ in range(self._given.scale.points - len(ours.points())):
                self._days += 1
                churn(self._given.tree, self._days, 0.001)
                self._count()
                measure(ours.backup(first=False))
                self._backed_up(ours)
        except CommandError as error:
            self.results[OURS, Work.NEWEST] = Result(peer=OURS, work=Work.NEWEST, failure=str(error))

    def _restores(self) -> None:
        names = self._given.tree.names()
        self._restore(Work.NEWEST, lambda peer, to: peer.one_file(peer.points()[-1], to), self._same)
        self._restore(Work.OLDEST, lambda peer, to: peer.one_file(peer.points()[0], to), self._same)
        self._restore(Work.ACCOUNT, lambda peer, to: peer.account(names[-1], to), partial(self._all, names[-1:]))
        self._restore(Work.EVERYTHING, lambda peer, to: peer.everything(to), partial(self._all, names))

    def _restore(self, work: Work, steps: Callable[[Peer, str], Steps], proof: Callable[[Peer, str], None]) -> None:
        """A race of restores, each into a new folder, and a look at what came back."""
        turns = Counter[str]()

        def target(peer: Peer) -> str:
            return f"{self._given.folder}/restored/{work.name.lower()}-{peer.name}-{turns[peer.name]}"

        def prepare(peer: Peer) -> Steps:
            turns[peer.name] += 1
            os.makedirs(target(peer))
            return steps(peer, target(peer))

        self._race(work, prepare, after=lambda peer: proof(peer, target(peer)))

    def _same(self, peer: Peer, target: str) -> None:
        """The one file has to be what it was."""
        wanted = Path(f"{self._given.tree.home()}/site1/shadow{KEEPSAKE}").read_bytes()
        if [path.read_bytes() for path in Path(target).rglob(os.path.basename(KEEPSAKE))] != [wanted]:
            raise CommandError(f"{target}: the restored file is not what it was")

    def _all(self, names: Sequence[str], peer: Peer, target: str) -> None:
        """As many files have to be back as there were; that all else is right too is for the tests to prove."""
        wanted, came = sum(self._last[peer.name][name] for name in names), count(target)["files"]
        if came != wanted:
            raise CommandError(f"{target}: {came} files were restored, and there were {wanted}")

    def _weigh(self) -> None:
        for name, stored in self.stored.items():
            peer = self._named[name]
            last, beside = occupied(peer.store), occupied(peer.beside)
            self.stored[name] = replace(stored, last=last, beside=beside, points=len(peer.points()))


def say(line: str) -> None:
    """Tells whoever waits what is going on."""
    print(line, file=sys.stderr, flush=True)


def _memory(figure: Figure) -> str:
    return f", {figure.memory / (1 << 20):.0f} MiB" if figure.memory else ""
