"""Whose a file with several links is: its names have to be there at once, each in a place of its own."""

from __future__ import annotations

import msgspec

from strongroom.vault.messages import Counts, Linked, Remark, Walked
from strongroom.vault.series import Request, SeriesRun

STARTED = 1_700_000_000_000_000_000
OLD = STARTED - 1_000_000_000
ONE = Linked(7, 2, OLD, b"data/a", (100, b"one"))
TWO = Linked(7, 2, OLD, b"data/b", (200, b"two"))


def walked(*linked: Linked, remarks: tuple[Remark, ...] = ()) -> Walked:
    return Walked(0, [], [], [], list(remarks), list(linked), Counts())


def own(*linked: Linked) -> dict[bytes, dict[int, int]]:
    run = SeriesRun(0, Request(series="s", level="full", sources=(), owners=frozenset()), "")
    run.started = STARTED
    for one in linked:
        run.take(walked(one), recheck=False)
    return run.own_links()


def test_a_file_is_ours_when_each_of_its_names_turned_up() -> None:
    assert own(ONE, TWO) == {b"data/a": {7: OLD}, b"data/b": {7: OLD}}
    assert own(ONE) == {}


def test_one_name_seen_twice_is_one_name() -> None:
    assert own(ONE, ONE) == {}
    renamed = msgspec.structs.replace(ONE, folder=b"data/z")
    assert own(ONE, renamed) == {}, "its folder was renamed between the two looks"


def test_a_name_that_was_moved_while_we_looked_is_no_second_one() -> None:
    moved = msgspec.structs.replace(TWO, ctime=STARTED + 5)
    assert own(ONE, moved) == {}
    assert own(msgspec.structs.replace(ONE, ctime=STARTED + 5), moved) == {}
    # The kernel's clock for files lags behind: a stamp from just before the walk may be of a move within it.
    lagging = STARTED - 5_000_000
    assert own(*(msgspec.structs.replace(name, ctime=lagging) for name in (ONE, TWO))) == {}


def test_a_second_look_says_once_what_the_first_said_too() -> None:
    run = SeriesRun(0, Request(series="s", level="full", sources=(), owners=frozenset()), "")
    remark = Remark(b"data/a/one", "could not be read: Input/output error", True)
    run.take(walked(remarks=(remark,)), recheck=False)
    run.take(walked(remarks=(remark,)), recheck=True)
    assert list(run._remarks.values()) == [remark]
