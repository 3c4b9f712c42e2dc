"""Writers and a sweeper, in every order of their steps: what a writer committed stays whole."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from strongroom.vault import sweep
from strongroom.vault.errors import VaultError
from strongroom.vault.keys import Keys
from strongroom.vault.record import Type
from strongroom.vault.sweep import Sweep
from strongroom.vault.vault import Vault
from tests.vault.ground import in_memory, opened, quick_vault
from tests.vault.unsafe_storage import Disk
from tests.vault.writer import RULES, Writer

# What the accounts' files hold: stale and gone are in forgotten snapshots alone, parted only in one about to be
# forgotten, kept in what stays. Gone fills most of the pack that parted and kept lie in: these are carried over.
STALE, PARTED, KEPT, FRESH = (name * 100 for name in (b"stale...", b"parted..", b"kept....", b"fresh..."))
GONE = random.Random(1).randbytes(8000)
# Stored against others, in one pack: rested and held against stale and kept. Held is alive and most of the pack, so that
# it stays where it is, and rested with it, when stale goes. Built is new, and would be stored against stale.
RESTED, BUILT, HELD = b"rested.." * 100, b"built..." * 100, random.Random(2).randbytes(2000)
RESTING = {RESTED: STALE, BUILT: STALE, HELD: KEPT}
GONE_THROUGH = {"survey", "carry over", "delete index runs", "delete packs", "load_index", "append"}
Actor = Callable[["Stage"], Iterator[str]]


class Stage:
    """One play of the actors over a copy of the same vault and the same state folder, which they share."""

    def __init__(self, folder: Path, disk: Disk, state: Path, keys: Keys) -> None:
        self._keys = keys
        self.disk = Disk(str(folder / "spools"), disk.objects)
        self.state = folder / "stage"
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copytree(state, self.state)
        self.writers: list[Writer] = []

    def vault(self) -> Vault:
        return opened(self.disk, self.state, self._keys)

    def unreadable(self) -> list[str]:
        """What is wrong with the snapshots that are not forgotten; a machine that never saw this vault reads them."""
        shutil.rmtree(self.state)
        vault = self.vault()
        wrong = [f"{item} is gone" for item in self._committed() if item not in vault.ids() | {"old", "parent"}]
        for id in sorted(vault.ids()):
            try:
                for _, record_id in vault.reader.directories(vault.snapshot(id)):
                    rows = [row for row in vault.reader.record(record_id).rows if row.type == Type.FILE]
                    assert all(data for _, _, data in vault.reader.contents(rows))
            except VaultError as error:
                wrong.append(f"{id}: {error}")
        return wrong

    def _committed(self) -> list[str]:
        return [writer.id for writer in self.writers if writer.committed]


def a_writer(series: str, id: str, *wanted: bytes, broken: str = "") -> Actor:
    def act(stage: Stage) -> Iterator[str]:
        writer = Writer(stage.vault(), series, id, wanted, resting=RESTING, broken=broken)
        stage.writers.append(writer)
        yield from writer.steps()

    return act


def an_administrator(stage: Stage) -> Iterator[str]:
    """Forgets what one of the writers would build on, then sweeps."""
    sweep.forget(stage.vault(), ["parent"])
    yield "forget"
    yield from Sweep(stage.vault()).steps()


def coarsely(actor: Actor) -> Actor:
    """With fewer stops, so that every order can be played each time; the torture plays them all."""
    return lambda stage: (step for step in actor(stage) if step not in GONE_THROUGH)


def play(stage: Stage, actors: Sequence[Actor], choose: Callable[[list[int]], int]) -> list[int]:
    """Let the actors take turns as chosen until all are done; returns who moved when."""
    acts = dict(enumerate([actor(stage) for actor in actors]))
    moves = []
    while acts:
        mover = choose(sorted(acts))
        try:
            next(acts[mover])
        except StopIteration:
            del acts[mover]
            continue
        moves.append(mover)
    return moves


def every_order(stage: Callable[[], Stage], actors: Sequence[Actor]) -> Iterator[tuple[Stage, list[int]]]:
    """Play every interleaving: each play follows a prefix, then takes whoever comes first, noting where it could turn."""
    prefixes: list[list[int]] = [[]]
    while prefixes:
        prefix = prefixes.pop()
        turns: list[tuple[list[int], int]] = []
        made: list[int] = []

        def choose(able: list[int], prefix: list[int] = prefix, made: list[int] = made, turns: list = turns) -> int:  # type: ignore[type-arg]
            mover = prefix[len(made)] if len(made) < len(prefix) else able[0]
            if len(made) >= len(prefix):
                turns.extend((list(made), other) for other in able[1:])
            made.append(mover)
            return mover

        played = stage()
        play(played, actors, choose)
        prefixes += [[*before, other] for before, other in turns]
        yield played, made


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Stage]]:
    with in_memory(tmp_path_factory.mktemp("stages")) as folder:
        disk = Disk(str(folder / "spools"))
        keys = quick_vault(disk.process())
        vaults = (opened(disk, folder / "state", keys) for _ in range(9))
        for series, id, wanted in (
            ("alpha", "old", [STALE]),
            ("gamma", "third", [KEPT, PARTED, GONE]),
            ("alpha", "parent", [PARTED]),
            ("beta", "other", [KEPT]),
            ("delta", "both", [HELD, RESTED]),
            ("epsilon", "holder", [HELD]),
        ):
            for _ in Writer(next(vaults), series, id, wanted, resting=RESTING).steps():
                pass
        sweep.forget(next(vaults), ["old", "third", "both"])
        yield lambda: Stage(folder, disk, folder / "state", keys)


ADMINISTRATOR_AND = {
    "one that builds on what is forgotten": a_writer("alpha", "new", STALE, FRESH),
    "one that has what only the forgotten had": a_writer("beta", "new", PARTED, STALE, FRESH),
    "one that has what rests on that": a_writer("beta", "new", RESTED, BUILT, HELD),
}


@pytest.mark.parametrize("writer", ADMINISTRATOR_AND.values(), ids=ADMINISTRATOR_AND.keys())
def test_every_order_of_a_writer_and_a_sweeper_leaves_what_was_committed_whole(
    stages: Callable[[], Stage], writer: Actor
) -> None:
    orders, swept = losses(stages, [coarsely(writer), coarsely(an_administrator)])
    assert orders > 200
    assert swept > 100


@pytest.mark.torture
@pytest.mark.parametrize("writer", ADMINISTRATOR_AND.values(), ids=ADMINISTRATOR_AND.keys())
def test_every_order_of_all_steps_leaves_what_was_committed_whole(stages: Callable[[], Stage], writer: Actor) -> None:
    losses(stages, [writer, an_administrator])


def test_two_writers_and_a_sweeper_in_any_order_lose_nothing(stages: Callable[[], Stage]) -> None:
    for seed in range(100):
        three_at_random(stages, seed)


def test_what_is_forgotten_during_a_sweep_stays_whole_for_who_builds_on_it(stages: Callable[[], Stage]) -> None:
    stage = stages()
    sweeping = Sweep(stage.vault()).steps()
    writing = a_writer("alpha", "new", FRESH)(stage)
    assert "sessions" in itertools.takewhile(lambda step: step != "survey anew", sweeping)
    assert "choose_parent" in itertools.islice(writing, 4)
    sweep.forget(stage.vault(), ["parent"])
    assert list(sweeping)[-1] == "delete tombstones"
    assert list(writing)[-2:] == ["commit", "end"]
    assert stage.unreadable() == []


@pytest.mark.torture
def test_many_orders_of_two_writers_and_a_sweeper_lose_nothing(stages: Callable[[], Stage]) -> None:
    for seed in range(1000, 11_000):
        three_at_random(stages, seed)


@pytest.mark.parametrize("rule", RULES)
def test_a_writer_that_breaks_a_rule_is_caught(stages: Callable[[], Stage], rule: str) -> None:
    wanted = {RULES[5]: [RESTED], RULES[6]: [BUILT]}.get(rule, [STALE, FRESH])
    writer = a_writer("alpha", "new", *wanted, broken=rule)
    with pytest.raises(AssertionError, match="in this order"):
        losses(stages, [coarsely(writer), coarsely(an_administrator)])


def losses(stages: Callable[[], Stage], actors: Sequence[Actor]) -> tuple[int, int]:
    """Play every order and insist that nothing is lost; how many there were, and in how many all was swept."""
    orders = swept = 0
    for stage, order in every_order(stages, actors):
        assert stage.unreadable() == [], f"in this order: {order}"
        orders += 1
        swept += not any(name.startswith("tombstones/") for name in stage.disk.objects)
    return orders, swept


def three_at_random(stages: Callable[[], Stage], seed: int) -> None:
    chance = random.Random(seed)
    weights = [chance.random() for _ in range(3)]
    stage = stages()
    actors = [
        a_writer("alpha", "new", STALE, FRESH, RESTED),
        a_writer("beta", "newer", PARTED, RESTED, BUILT, FRESH),
        an_administrator,
    ]
    order = play(stage, actors, lambda able: chance.choices(able, [weights[actor] for actor in able])[0])
    assert stage.unreadable() == [], f"seed {seed}, in this order: {order}"
