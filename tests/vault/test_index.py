"""The index: in step with the listed runs, whoever changes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from strongroom.vault import envelope, header, rebuild
from strongroom.vault.folder import FolderStorage
from strongroom.vault.frame import Chunk, Kind, Sealer
from strongroom.vault.index import PREFIX, FrameEntry, Index, PackEntry, moment_of, put_run
from strongroom.vault.keys import CHEAP, Keys
from strongroom.vault.pack import PackWriter, name_of
from strongroom.vault.reader import Reader


class Place:
    """A vault, and the state folder of one machine."""

    def __init__(self, folder: Path) -> None:
        self.storage = FolderStorage(str(folder / "vault"))
        self.keys: Keys = header.create(self.storage, b"x", cost=CHEAP)
        self.state = folder / "state"

    def index(self) -> Index:
        self.state.mkdir(exist_ok=True)
        return Index(self.storage, self.keys, str(self.state / "index"))

    def run(self, *packs: PackEntry, moment: int | None = None) -> str:
        """Put one run; returns its name."""
        before = {item.name for item in self.storage.list(PREFIX)}
        put_run(self.storage, self.keys, packs, moment)
        (name,) = {item.name for item in self.storage.list(PREFIX)} - before
        return name


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)


def entry(number: int, ids: list[bytes]) -> PackEntry:
    return PackEntry(bytes([number]) * 16, Kind.DATA, 1000, [FrameEntry(64 + number, 100, b"".join(ids))])


A, B, C = (bytes([letter]) * 20 for letter in b"abc")


def where(index: Index, id: bytes) -> int | None:
    found = index.find(id)
    return found.pack.id[0] if found else None


def test_it_follows_what_others_publish(place: Place) -> None:
    mine = place.index()
    place.run(entry(1, [A]))
    assert mine.find(A) is None
    mine.reload()
    assert where(mine, A) == 1


def test_of_two_copies_the_later_run_counts_in_whatever_order_they_come(place: Place) -> None:
    place.run(entry(2, [A]))
    mine = place.index()
    assert where(mine, A) == 2
    late = mine.runs[0]
    place.run(entry(1, [A, B]), moment=moment_of(late) - 10)
    mine.reload()
    assert where(mine, A) == where(place.index(), A) == 2
    assert where(mine, B) == 1


def test_a_run_is_later_than_all_that_are_listed_whatever_the_clock_says(place: Place) -> None:
    future = place.run(entry(1, [A]), moment=1 << 60)
    assert place.run(entry(2, [A])) > future
    assert where(place.index(), A) == 2


def test_of_two_copies_in_one_run_the_later_pack_counts(place: Place) -> None:
    place.run(entry(9, [A]), entry(1, [A]))
    assert where(place.index(), A) == 1


def test_a_run_that_would_grow_too_large_is_put_in_parts_that_keep_their_order(place: Place) -> None:
    many = b"m" * (70 << 20)  # chunks enough for a part, all of one id: a table takes them for one
    packs = [PackEntry(bytes([number]) * 16, Kind.DATA, 9, [FrameEntry(64, 9, A + many)]) for number in range(1, 5)]
    put_run(place.storage, place.keys, packs)
    names = sorted(item.name for item in place.storage.list(PREFIX))
    assert len(names) == 4
    assert len({moment_of(name) for name in names}) == 1
    for number, name in enumerate(names, 1):
        run = envelope.open_(envelope.Kind.INDEX, place.keys.index, place.keys.vault_id, name, place.storage.get(name))
        assert [pack.id[0] for pack in msgspec.msgpack.decode(run, type=list[PackEntry])] == [number]


def test_it_forgets_runs_that_are_gone(place: Place) -> None:
    gone = place.run(entry(1, [A]))
    place.run(entry(2, [B]))
    mine = place.index()
    place.storage.delete(gone)
    mine.reload()
    assert mine.find(A) is None
    assert where(mine, B) == 2
    assert mine.vanished


@pytest.mark.parametrize(("what", "how"), [("table", "gone"), ("local", "gone"), ("local", "torn")])
def test_a_lost_or_torn_file_on_this_machine_costs_nothing(place: Place, what: str, how: str) -> None:
    place.run(entry(1, [A]))
    place.index().close()
    file = place.state / "index" / what
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-2])
    assert where(place.index(), A) == 1


def test_a_change_that_was_cut_off_is_made_again(place: Place) -> None:
    """A process was killed in between: the mark that the table is being changed stands."""
    place.run(entry(1, [A]))
    mine = place.index()
    mine._write_local(dirty=True)
    mine.close()
    again = place.index()
    assert where(again, A) == 1
    assert again.vanished


def test_a_damaged_run_is_named_and_the_others_count(place: Place) -> None:
    name = place.run(entry(1, [A]))
    place.run(entry(2, [B]))
    (Path(place.storage.root) / name).write_bytes(b"no run")
    mine = place.index()
    assert list(mine.damaged) == [name]
    assert mine.find(A) is None
    assert where(mine, B) == 2


def test_two_processes_extend_one_table(place: Place) -> None:
    mine, theirs = place.index(), place.index()
    for number in range(8):
        ids = [os.urandom(20) for _ in range(500)]
        place.run(entry(number + 1, ids))
        for index in (mine, theirs) if number % 2 else (theirs, mine):
            index.reload()
            assert {where(index, id) for id in ids} == {number + 1}
    assert len(place.index().packs) == 8


def test_two_processes_at_once(place: Place) -> None:
    for number in range(6):
        place.run(entry(number + 1, [bytes([number + 1]) * 20] + [os.urandom(20) for _ in range(300)]))
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                index = place.index()
                os._exit(0 if all(where(index, bytes([number]) * 20) == number for number in range(1, 7)) else 1)
            finally:
                os._exit(2)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4


def test_what_a_session_adds_is_known_at_once_and_found_when_it_is_put(place: Place) -> None:
    mine = place.index()
    mine.add_frame(b"p" * 16, Kind.DATA, FrameEntry(64, 10, A + B))
    assert mine.known(A)
    assert mine.known(B)
    mine.finish_pack(b"p" * 16, 500)
    assert mine.publish()
    assert not mine.publish()
    mine.reload()
    found = place.index().find(B)
    assert found is not None
    assert (found.pack.size, found.offset) == (500, 64)


def test_what_is_lost_or_about_to_be_swept_is_not_known(place: Place) -> None:
    place.run(entry(1, [A, B]), entry(2, [C]))
    mine = place.index()
    mine.treat_as_absent([bytes([2]) * 16], frozenset({B}))
    assert [mine.known(id) for id in (A, B, C)] == [True, False, False]
    assert mine.find(B) is not None  # it may still be read


def test_it_is_made_again_from_the_packs_alone(place: Place) -> None:
    writer = PackWriter(place.storage, place.keys, Sealer(place.keys, Kind.DATA), Kind.DATA)
    ids = [os.urandom(20) for _ in range(6)]
    frames = [writer.append(0, [Chunk(id, os.urandom(50)) for id in ids[at : at + 2]]) for at in (0, 2, 4)]
    size = writer.finish()
    place.storage.put(name_of(writer.id), writer.spool)
    reader = Reader(place.storage, place.keys, place.index())
    assert rebuild.rebuild(reader, rebuild.unindexed(place.storage, reader.index, ())) == 1
    again = place.index()
    for frame, pair in zip(frames, (ids[:2], ids[2:4], ids[4:]), strict=True):
        for id in pair:
            found = again.find(id)
            assert found is not None
            assert (found.pack.id, found.pack.size, found.offset, found.size) == (
                writer.id, size, frame.offset, frame.size,
            )  # fmt: skip
    assert rebuild.unindexed(place.storage, again, ()) == []
