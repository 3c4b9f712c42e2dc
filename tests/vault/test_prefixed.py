"""Frames that rest on others: what a large file of a feed costs when a little of it has changed, and that nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from strongroom.vault import header as headers
from strongroom.vault import session, sweep
from strongroom.vault.errors import DamagedError, FormatError, VaultError
from strongroom.vault.frame import Chunk, Item, Kind, Sealer, compress_against
from strongroom.vault.index import FramePlace, PackEntry, put_run
from strongroom.vault.mark import ids_in
from strongroom.vault.pack import PackWriter, name_of
from strongroom.vault.prefixing import LastVersion
from strongroom.vault.record import Row
from strongroom.vault.series import Outcome, SeriesFailure
from strongroom.vault.session import Tombstone
from strongroom.vault.vault import Vault
from strongroom.vault.verify import verify
from tests.vault.feeds import MadeFeed, MadeFile, changed, feed_of, rows
from tests.vault.ground import Ground as TwoAccounts
from tests.vault.plot import PASSPHRASE, SMALL_CHUNKS, Ground
from tests.vault.second_reader import SecondReader

POSTS = b"shop/tables/posts.sql"
SMALL_TABLE, TABLE = 4000, 40_000
Content = dict[bytes, bytes]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def night(ground: Ground, content: Content) -> Outcome:
    """Back up a feed of these files, and insist that they read back."""
    ground.feed = feed_of(content)
    outcome = ground.backup()
    assert outcome.complete
    assert held(ground.vault(), outcome.id) == content
    return outcome


def held(vault: Vault, id: str) -> Content:
    """The files of a point's feed."""
    snapshot, found = vault.snapshot(id), {}
    for path, row in feed_rows(vault, id):
        content = bytearray(row.size)
        for _, offset, data in vault.reader.contents([row]):
            content[offset : offset + len(data)] = data
        found[path.removeprefix(b"databases/")] = bytes(content)
    assert snapshot.complete
    return found


def feed_rows(vault: Vault, id: str) -> Iterator[tuple[bytes, Row]]:
    for folder, record_id in vault.reader.directories(vault.snapshot(id), b"databases"):
        for row in vault.reader.record(record_id).rows:
            if row.type == 0:
                yield folder + b"/" + row.name, row


def table(night: int, count: int = TABLE, every: int = 100) -> bytes:
    """A table in which another hundredth of the rows was changed each night."""
    made = rows(count)
    for turn in range(1, night + 1):
        made = changed(made, every, seed=turn)
    return b"".join(made)


def prefixed(vault: Vault) -> dict[tuple[bytes, int], FramePlace]:
    """The frames that rest on others, of all that the index names."""
    found = {}
    for id, _ in vault.index.pack_rows():
        place = vault.index.find(id)
        assert place is not None
        if place.pack.kind == Kind.PREFIXED:
            found[place.pack.id, place.offset] = place
    return found


def features(ground: Ground) -> list[str]:
    return sorted(item.name for item in ground.storage.list("features/"))


@pytest.mark.parametrize(
    "change",
    [
        lambda: table(1),
        lambda: b"".join(rows(TABLE)[:15_000] + rows(TABLE, seed=1)[15_000:15_400] + rows(TABLE)[15_400:]),
        lambda: b"".join(rows(TABLE + TABLE // 100)),
        lambda: b"".join([row for number, row in enumerate(rows(TABLE)) if number % 100]),
        lambda: b"".join([row + (row if not number % 100 else b"") for number, row in enumerate(rows(TABLE))]),
    ],
    ids=["scattered", "clustered", "appended", "deleted", "inserted"],
)
def test_a_hundredth_of_the_rows_costs_less_than_a_twentieth(ground: Ground, change: Callable[[], bytes]) -> None:
    first = night(ground, {POSTS: table(0)})
    second = night(ground, {POSTS: change()})
    assert second.stored < 0.05 * first.stored
    assert verify(ground.vault(), read_data=1.0).damage == ()


def test_a_vault_says_what_it_uses_when_it_does_and_not_before(ground: Ground) -> None:
    (ground.source / "large.sql").write_bytes(b"of its own\n" + table(3))
    night(ground, {POSTS: table(0)})
    (ground.source / "large.sql").write_bytes(b"of its own\n" + table(4))
    night(ground, {b"small": b"x" * 1000})
    assert features(ground) == [], "files of folders, and small ones, are stored plain"
    night(ground, {POSTS: table(0)})
    night(ground, {POSTS: table(1)})
    assert features(ground) == ["features/prune-prefixed", "features/read-prefixed", "features/write-prefixed"]


def test_a_program_that_does_not_know_them_refuses(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    night(ground, {POSTS: table(0)})
    last = night(ground, {POSTS: table(1)})
    vault = ground.vault()
    monkeypatch.setattr(headers, "_KNOWN_FEATURES", frozenset())
    with pytest.raises(FormatError, match="prefixed"):
        ground.vault()
    with pytest.raises(FormatError, match="prefixed"):
        sweep.prune(vault)
    with pytest.raises(FormatError, match="prefixed"):
        sweep.forget(vault, [last.id])


def scattered(night: int) -> bytes:
    return table(night, SMALL_TABLE)


def clustered(night: int) -> bytes:
    """Stretches of the table are changed, another one each night, so that plain and prefixed chunks lie side by side."""
    made = rows(24_000)
    for turn in range(1, night + 1):
        at = turn * 5 % 8 * 3000
        made[at : at + 300 : 10] = rows(24_000, seed=turn)[at : at + 300 : 10]
    return b"".join(made)


@pytest.mark.parametrize("made", [scattered, clustered])
@pytest.mark.parametrize("dedup", ["vault", "account"])
def test_however_many_nights_every_frame_rests_on_plain_ones_alone(
    tmp_path: Path, dedup: str, made: Callable[[int], bytes]
) -> None:
    ground = Ground(tmp_path, dedup=dedup)
    nights = {night(ground, content).id: content for content in ({POSTS: made(number)} for number in range(7))}
    vault = ground.vault()
    frames = prefixed(vault)
    assert len(frames) >= 6
    for place in frames.values():
        frame = vault.reader.read_frame(place)
        assert vault.reader.bases(place)
        for base in vault.reader.bases(place):
            below = vault.reader.locate(base)
            assert below.pack.kind == Kind.DATA
            assert vault.reader.read_frame(below).scope == frame.scope
    reader = SecondReader(ground.folder, PASSPHRASE)
    for id, content in nights.items():
        assert held(ground.vault(), id) == content
        items = {item.path: item.content for item in reader.items(reader.snapshots()[id])}
        assert items[b"databases/" + POSTS] == content[POSTS]
    assert reader.index_from_packs() == reader.places


def test_no_frame_rests_on_what_is_another_accounts(ground: Ground) -> None:
    """Two accounts with nearly the same table: each rests on its own last night, or stands alone."""
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    ground.feed = feed_of({POSTS: table(1, SMALL_TABLE)})
    outcome = ground.run(series="here/another")
    assert isinstance(outcome, Outcome)
    assert prefixed(ground.vault()) == {}
    assert outcome.stored > 100_000


def test_when_much_has_changed_it_is_stored_plain_and_rested_on_next(ground: Ground) -> None:
    first = night(ground, {POSTS: table(0)})
    second = night(ground, {POSTS: b"".join(changed(rows(TABLE), 2, seed=1))})
    assert second.stored > 0.8 * first.stored
    assert prefixed(ground.vault()) == {}
    third = night(ground, {POSTS: b"".join(changed(changed(rows(TABLE), 2, seed=1), 100, seed=2))})
    assert third.stored < 0.05 * first.stored
    own = set(ids_in(_references(ground.vault(), second.id)))
    vault = ground.vault()
    assert {base for place in prefixed(vault).values() for base in vault.reader.bases(place)} <= own


def _references(vault: Vault, id: str) -> bytes:
    row = vault.reader.row(vault.snapshot(id), b"databases/" + POSTS)
    assert row is not None
    return vault.reader.references(row)


def test_an_unchanged_night_after_it_stores_nothing(ground: Ground) -> None:
    night(ground, {POSTS: table(0)})
    night(ground, {POSTS: table(1)})
    assert night(ground, {POSTS: table(1)}).stored < 10_000


def test_last_nights_dump_is_found_when_a_run_of_files_alone_lies_between(ground: Ground) -> None:
    first = night(ground, {POSTS: table(0)})
    ground.feed = None
    between = ground.backup()
    assert b"databases" not in ground.read(between.id)
    assert night(ground, {POSTS: table(1)}).stored < 0.05 * first.stored


def test_a_plan_counts_what_is_rested_on(ground: Ground) -> None:
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    last = night(ground, {POSTS: table(1, SMALL_TABLE)})
    vault = ground.vault()
    for id in ids_in(_references(vault, last.id)):
        kinds = [place.pack.kind for place in vault.reader.places(id)]
        assert kinds[0] == Kind.PREFIXED
        assert kinds[1:] == [Kind.DATA] * len(vault.reader.bases(vault.reader.locate(id)))
        assert kinds[1:]


# --- forgetting and pruning -------------------------------------------------------------------------------------------


def test_what_is_rested_on_stays_as_long_as_it_is(ground: Ground) -> None:
    first = night(ground, {POSTS: table(0, SMALL_TABLE), b"gone": os.urandom(300_000)})
    second = night(ground, {POSTS: table(1, SMALL_TABLE)})
    sweep.forget(ground.vault(), [first.id])
    swept = sweep.prune(ground.vault())
    assert swept.freed > 250_000, "the rest of the pack was not freed"
    assert held(ground.vault(), second.id) == {POSTS: table(1, SMALL_TABLE)}
    assert verify(ground.vault(), read_data=1.0).damage == ()
    last = night(ground, {b"small": b"alone"})
    sweep.forget(ground.vault(), [second.id])
    assert sweep.prune(ground.vault()).freed > 100_000
    assert prefixed(ground.vault()) == {}
    assert held(ground.vault(), last.id) == {b"small": b"alone"}


def test_a_sparse_pack_of_them_is_written_anew_without_growing(ground: Ground) -> None:
    many = {b"%d" % number: table(0, SMALL_TABLE) + b"of %d" % number for number in range(4)}
    first = night(ground, many)
    new = {path: table(1, SMALL_TABLE) + path for path in many}
    second = night(ground, new)
    kept = night(ground, {b"3": new[b"3"]})
    before = {place.pack.id for place in prefixed(ground.vault()).values()}
    sweep.forget(ground.vault(), [first.id, second.id])
    sweep.prune(ground.vault())
    after = prefixed(ground.vault())
    assert after and not before & {place.pack.id for place in after.values()}
    assert sum(place.size for place in after.values()) < 20_000
    assert held(ground.vault(), kept.id) == {b"3": new[b"3"]}
    assert verify(ground.vault(), read_data=1.0).damage == ()
    ground.lose_state()
    for item in ground.storage.list("index/"):
        ground.storage.delete(item.name)
    verify(ground.vault(), repair=True)
    assert held(ground.vault(), kept.id) == {b"3": new[b"3"]}


def test_of_a_frame_that_is_copied_the_index_names_what_lives(tmp_path: Path) -> None:
    """Else what is dead in it would have it copied by each prune, or take the place of another copy."""
    ground = Ground(tmp_path, chunker=SMALL_CHUNKS)
    first = night(ground, {POSTS: table(0, 18_000)})
    second = night(ground, {POSTS: table(1, 18_000)})
    third = {POSTS: table(1, 18_000)[: 1100 << 10]}
    kept = night(ground, third)
    sweep.forget(ground.vault(), [first.id, second.id])
    sweep.prune(ground.vault())
    vault = ground.vault()
    needed = set(ids_in(_references(vault, kept.id)))
    named = {id for id, _ in vault.index.pack_rows() if _kind(vault, id) == Kind.PREFIXED}
    assert named and named <= needed
    living = sum(len(vault.reader.chunk(id)) for id in named)
    assert sum(vault.reader.read_frame(place).size for place in prefixed(vault).values()) > 2 * living
    before = {item.name for item in ground.storage.list("packs/")}
    assert sweep.prune(ground.vault()).objects == 0
    assert {item.name for item in ground.storage.list("packs/")} == before
    assert held(ground.vault(), kept.id) == third
    assert verify(ground.vault(), read_data=1.0).damage == ()
    night(ground, {POSTS: table(1, 18_000)})


def _kind(vault: Vault, id: bytes) -> int:
    return vault.reader.locate(id).pack.kind


def rested_on(ground: Ground) -> set[bytes]:
    """The packs that hold what frames rest on."""
    vault = ground.vault()
    bases = {base for place in prefixed(vault).values() for base in vault.reader.bases(place)}
    return {vault.reader.locate(base).pack.id for base in bases}


def test_what_rests_on_a_buried_pack_is_stored_again(ground: Ground) -> None:
    """The packs that a sweeper is about to delete count as absent, and so does all that rests on them."""
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    second = night(ground, {POSTS: table(1, SMALL_TABLE)})
    buried = rested_on(ground)
    vault = ground.vault()
    name = session.put_tombstone(ground.storage, vault.keys, Tombstone(packs=sorted(buried), snapshots=[second.id]))
    third = night(ground, {POSTS: table(1, SMALL_TABLE)})
    fourth = night(ground, {POSTS: table(2, SMALL_TABLE)})
    for pack in buried:
        ground.storage.delete(name_of(pack))
    ground.storage.delete(name)
    for outcome, number in ((third, 1), (fourth, 2)):
        assert held(ground.vault(), outcome.id) == {POSTS: table(number, SMALL_TABLE)}


# --- damage -----------------------------------------------------------------------------------------------------------


def damage_base(ground: Ground, how: str) -> None:
    (pack,) = rested_on(ground)
    path = ground.folder / name_of(pack)
    if how == "deleted":
        path.unlink()
    elif how == "cut":
        os.truncate(path, path.stat().st_size // 3)
    else:
        data = bytearray(path.read_bytes())
        for at in range(len(data) // 20, len(data) - 2000, 50_000):
            data[at] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("state", ["kept", "gone"])
@pytest.mark.parametrize("how", ["deleted", "cut", "flipped"])
def test_when_what_is_rested_on_is_lost_all_that_does_is_named_and_heals(ground: Ground, how: str, state: str) -> None:
    first = night(ground, {POSTS: table(0), b"other": b"other"})
    second = night(ground, {POSTS: table(1), b"other": b"other"})
    damage_base(ground, how)
    if state == "gone":
        ground.lose_state()
    with pytest.raises(VaultError):
        held(ground.vault(), second.id)
    if how != "flipped":
        before = {item.name for item in ground.storage.list("packs/")}
        sweep.forget(ground.vault(), [first.id])
        with pytest.raises(DamagedError, match="prune deletes nothing"):
            sweep.prune(ground.vault())
        assert {item.name for item in ground.storage.list("packs/")} == before
        quick = verify(ground.vault())
        assert {id for found in quick.damage for id in found.snapshots} == {second.id}
    found = verify(ground.vault(), read_data=1.0, repair=True).damage
    hurt = {path for item in found if second.id in item.snapshots for path in item.paths}
    assert b"databases/" + POSTS in hurt
    third = night(ground, {POSTS: table(1), b"other": b"other"})
    assert held(ground.vault(), second.id) == held(ground.vault(), third.id)
    sweep.prune(ground.vault())
    night(ground, {POSTS: table(2), b"other": b"other"})
    assert held(ground.vault(), third.id) == {POSTS: table(1), b"other": b"other"}


def test_the_next_night_needs_no_check_when_a_pack_that_is_rested_on_is_gone(ground: Ground) -> None:
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    second = night(ground, {POSTS: table(1, SMALL_TABLE)})
    damage_base(ground, "deleted")
    third = night(ground, {POSTS: table(1, SMALL_TABLE)})
    assert third.stored > 100_000
    assert held(ground.vault(), second.id) == {POSTS: table(1, SMALL_TABLE)}


def test_what_is_healed_is_stored_plain_since_others_may_rest_on_it(ground: Ground) -> None:
    """The very chunks that frames rest on are lost, and come again where there is a last version much like them."""
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    lost = _references(ground.vault(), night(ground, {POSTS: table(0, SMALL_TABLE)}).id)
    second = night(ground, {POSTS: table(1, SMALL_TABLE), b"alike": table(2, SMALL_TABLE)})
    vault = ground.vault()
    for id in ids_in(lost):
        flip(ground, vault.reader.locate(id))
    verify(ground.vault(), read_data=1.0)
    night(ground, {POSTS: table(1, SMALL_TABLE), b"alike": table(0, SMALL_TABLE)})
    vault = ground.vault()
    assert {vault.reader.locate(id).pack.kind for id in ids_in(lost)} == {Kind.DATA}
    assert held(vault, second.id) == {POSTS: table(1, SMALL_TABLE), b"alike": table(2, SMALL_TABLE)}


def flip(ground: Ground, place: FramePlace) -> None:
    path = ground.folder / name_of(place.pack.id)
    data = bytearray(path.read_bytes())
    data[place.offset + place.size - 5] ^= 1
    path.write_bytes(data)


def test_a_quick_check_names_what_rests_on_a_pack_that_is_gone(ground: Ground) -> None:
    night(ground, {POSTS: table(0, SMALL_TABLE)})
    second = night(ground, {POSTS: table(1, SMALL_TABLE)})
    vault = ground.vault()
    assert {vault.reader.locate(id).pack.kind for id in ids_in(_references(vault, second.id))} == {Kind.PREFIXED}
    damage_base(ground, "deleted")
    named = [found for found in verify(ground.vault()).damage if second.id in found.snapshots]
    assert [found.paths for found in named] == [(b"databases/" + POSTS,)]


def put(vault: Vault, data: bytes, below: bytes = b"", *, scope: int = 0, of: int = 0, nothing: bool = False) -> bytes:
    """Put a chunk as a writer of the vault could, plain or against another (of a scope); returns its id."""
    id, base = (blake3(each, key=vault.keys.chunk_key(at)).digest(20) for each, at in ((data, scope), (below, of)))
    kind = Kind.PREFIXED if below else Kind.DATA
    made = PackWriter(vault.storage, vault.keys, Sealer(vault.keys, kind), kind)
    if below:
        items = [Item(id, len(data), 0 if nothing else 1)]
        made.append_prefixed(scope, items, b"" if nothing else base, compress_against(below, data))
    else:
        made.append(scope, [Chunk(id, data)])
    size = made.finish()
    vault.storage.put(name_of(made.id), made.spool)
    put_run(vault.storage, vault.keys, [PackEntry(made.id, kind, size, made.frames)])
    return id


ONE, OTHER = b"one " * 100, b"one " * 99 + b"two "


def test_a_frame_that_rests_on_its_own_scope_reads(ground: Ground) -> None:
    vault = ground.vault()
    put(vault, ONE, scope=3)
    assert vault.reader.chunk(put(vault, OTHER, ONE, scope=3, of=3)) == OTHER


def test_a_frame_that_rests_on_another_scope_on_nothing_or_in_a_circle_is_damaged(ground: Ground) -> None:
    vault = ground.vault()
    put(vault, ONE, scope=3)
    for id in (
        put(vault, OTHER, ONE, scope=5, of=3),
        put(vault, OTHER, ONE, scope=7, nothing=True),
        put(vault, OTHER, ONE, scope=9, of=9),  # which is not there
    ):
        with pytest.raises(DamagedError):
            vault.reader.chunk(id)
    circle = (put(vault, ONE, OTHER), put(vault, OTHER, ONE))
    for id in circle:
        with pytest.raises(DamagedError, match="rests on nothing, or on itself"):
            vault.reader.chunk(id)


# --- crashes ----------------------------------------------------------------------------------------------------------


def test_it_is_said_durably_before_the_first_of_them_is_put(tmp_path: Path) -> None:
    ground = TwoAccounts(tmp_path)
    disk = ground.disk()
    ground.change_made(0)
    ground.backup(ground.vault(disk))
    ground.change_made(1)
    disk.begin()
    ground.backup(ground.vault(disk))
    vault = ground.vault(disk)
    (pack,) = {place.pack.id for place in prefixed(vault).values()}
    order = [done.name if done.what == "put" else done.what for done in disk.log]
    said = [order.index(f"features/{what}-prefixed") for what in ("read", "write", "prune")]
    assert max(said) < order.index("barrier", max(said)) < order.index(name_of(pack))


def test_a_worker_killed_with_packs_of_both_kinds_open_costs_its_series_alone(ground: Ground) -> None:
    content = {b"%d" % number: table(0, SMALL_TABLE) + b"of %d" % number for number in range(4)}
    first = night(ground, content)

    def files() -> Iterator[MadeFile]:
        for path, data in content.items():
            yield MadeFile(path, [data.replace(b"title", b"t\xc3\xaftle", 50)])
        yield MadeFile(b"new", [os.urandom(1 << 16) for _ in range(200)])
        os.kill(os.getpid(), signal.SIGKILL)

    ground.feed = MadeFeed(files)
    outcome = ground.run()
    assert isinstance(outcome, SeriesFailure)
    assert {place.pack.kind for place in prefixed(ground.vault()).values()} <= {Kind.PREFIXED}
    assert held(ground.vault(), first.id) == content
    night(ground, {path: data.replace(b"title", b"t\xc3\xaftle", 50) for path, data in content.items()})
    assert verify(ground.vault(), read_data=1.0).damage == ()
    sweep.prune(ground.vault())
    assert verify(ground.vault(), read_data=1.0).damage == ()


# --- following a file along its last version -----------------------------------------------------------------------------


def version(*lengths: int) -> LastVersion:
    return LastVersion(b"".join(bytes([number]) * 20 for number in range(len(lengths))), lengths)


def test_a_chunk_that_is_there_says_where_we_are() -> None:
    last = version(500_000, 600_000, 700_000)
    assert last.spot(b"x" * 20, 3_000_000)[1:] == (0, 3_000_000)
    assert version(500_000, 600_000, 700_000).spot(bytes([1]) * 20, 600_000)[1:] == (500_000, 1_100_000)


def test_cuts_close_to_each_other_are_the_same_place() -> None:
    last = version(*[500_000] * 100)
    # Each chunk is a little longer than it was: without the cuts, we would be five chunks too far at the end.
    spots = [last.spot(b"x" * 20, 525_000) for _ in range(100)]
    assert spots[-1].end == 100 * 500_000


def test_what_is_asked_beyond_either_end_is_what_there_is() -> None:
    last = version(500_000, 600_000)
    assert last.ids(-5, 10_000_000) == [bytes([0]) * 20, bytes([1]) * 20]
    assert last.ids(500_000, 500_001) == [bytes([1]) * 20]
    assert last.at(499_999) == bytes([0]) * 20
    assert last.at(1_100_000) is None
    assert version().ids(0, 5) == []
