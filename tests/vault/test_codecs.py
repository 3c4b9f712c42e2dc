"""Records, snapshots and maps: what is written is what is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.vault import header, record, snapshot
from strongroom.vault.errors import DamagedError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.frame import Chunk
from strongroom.vault.keys import CHEAP, ID_SIZE, Keys
from strongroom.vault.record import NOTHING, Extra, Own, Record, Row, Type
from strongroom.vault.snapshot import SegmentHead, Snapshot

NODE_KEY = b"n" * 32
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
NAME = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
XATTRS = st.lists(st.tuples(NAME, st.one_of(st.binary(max_size=30), st.integers(0, 3))), max_size=3).map(tuple)
EXTRA = st.one_of(
    st.just(NOTHING),
    st.builds(
        Extra, target=st.binary(max_size=20), rdev=st.one_of(st.none(), st.tuples(UINT32, UINT32)), xattrs=XATTRS,
        flags=UINT32, lengths=st.lists(UINT32, max_size=3).map(tuple),
        extents=st.one_of(st.none(), st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**63))).map(tuple)),
        depth=st.integers(0, 3), defect=st.sampled_from(["", "unread", "changed"]), remark=st.text(max_size=10),
    ),
)  # fmt: skip
ROW = st.builds(
    Row, NAME, st.integers(0, 6), st.integers(0, 0o7777), UINT32, UINT32, st.integers(0, 2**63 - 1), INT64,
    st.integers(0, 999_999_999), INT64, st.integers(0, 999_999_999), st.integers(0, 2**64 - 1), UINT32,
    st.integers(0, 3).map(lambda count: b"r" * (ID_SIZE * count)), EXTRA,
)  # fmt: skip
OWN = st.builds(Own, st.integers(0, 0o7777), UINT32, UINT32, INT64, UINT32, INT64, UINT32, st.integers(0, 2**64 - 1))


@settings(max_examples=150)
@given(OWN, st.lists(ROW, max_size=8, unique_by=lambda row: row.name), st.integers(0, 2))
def test_a_record_comes_back_as_it_was(own: Own, rows: list[Row], references: int) -> None:
    made = Record(own, sorted(rows), [(b"name", "what is told")], b"o" * (ID_SIZE * references))
    node = record.encode(made, NODE_KEY)
    again = record.decode(node.data, node.references)
    assert again == made
    assert record.encode(again, NODE_KEY).id == node.id


@given(st.lists(ROW, min_size=1, max_size=4, unique_by=lambda row: row.name), st.data())
def test_a_record_that_was_altered_never_reads_as_another_by_its_id(rows: list[Row], data: st.DataObject) -> None:
    node = record.encode(Record(Own(0, 0, 0, 0, 0, 0, 0, 0), sorted(rows), []), NODE_KEY)
    at = data.draw(st.integers(0, len(node.data) - 1))
    altered = node.data[:at] + bytes((node.data[at] ^ 1,)) + node.data[at + 1 :]
    assert record.node_id(NODE_KEY, node.references, altered) != node.id
    assert record.node_id(b"m" * 32, node.references, node.data) != node.id


def test_references_and_body_cannot_change_places() -> None:
    """Bytes that move from the references to the body make another id."""
    ids, body = b"a" * 40, b"body"
    assert record.node_id(NODE_KEY, ids, body) != record.node_id(NODE_KEY, ids[:20], ids[20:] + body)


@given(st.binary(max_size=60))
def test_what_is_no_record_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        record.decode(data, b"")


def test_references_that_do_not_add_up_are_damaged() -> None:
    row = Row(b"name", Type.FILE, references=b"r" * 40)
    node = record.encode(Record(Own(0, 0, 0, 0, 0, 0, 0, 0), [row], []), NODE_KEY)
    with pytest.raises(DamagedError):
        record.decode(node.data, node.references[:20])


def test_large_attributes_are_no_content() -> None:
    row = Row(
        b"name", Type.FILE, references=b"c" * 20 + b"x" * 40, extra=Extra(xattrs=((b"a", 0), (b"b", b"v"), (b"c", 1)))
    )
    assert record.content_references(row) == b"c" * 20


# --- snapshots --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return header.create(FolderStorage(str(tmp_path_factory.mktemp("keys") / "vault")), b"x", cost=CHEAP)


@settings(max_examples=50)
@given(
    st.builds(
        Snapshot, id=st.just("0123456789abcdef"), series=st.text(max_size=20), seq=st.integers(1, 2**40),
        parent=st.one_of(st.none(), st.text(max_size=16)), level=st.sampled_from(["full", "incremental"]),
        complete=st.booleans(), scan_started=st.integers(0, 2**63 - 1), scope=UINT32,
        segments=st.lists(st.builds(SegmentHead, st.binary(max_size=30), st.binary(min_size=20, max_size=20)), max_size=4),
        sources=st.lists(st.text(max_size=9)), filter=st.binary(max_size=8), entries=st.integers(0, 2**40),
        detail=st.binary(max_size=100),
    )
)  # fmt: skip
def test_a_snapshot_comes_back_as_it_was(keys: Keys, made: Snapshot) -> None:
    assert snapshot.decode(snapshot.encode(made, keys), made.id, keys) == made
    told = snapshot.summary(made)
    assert (told.id, told.seq, told.complete) == (made.id, made.seq, made.complete)


def test_a_snapshot_under_anothers_name_is_damaged(keys: Keys, tmp_path: Path) -> None:
    made = Snapshot(
        id="one", series="s", seq=1, parent=None, level="full", complete=True, scan_started=0, scope=0, segments=[],
        sources=[], filter=b"", entries=0, detail=b"",
    )  # fmt: skip
    data = snapshot.encode(made, keys)
    with pytest.raises(DamagedError):
        snapshot.decode(data, "two", keys)


# --- maps -------------------------------------------------------------------------------------------------------------


def folders(number: int) -> list[tuple[bytes, bytes]]:
    return [(b"data/folder%d/below" % at, at.to_bytes(20, "big")) for at in range(number)]


def decoded(segments: list[tuple[SegmentHead, Chunk]]) -> list[tuple[bytes, bytes]]:
    return [pair for _, node in segments for pair in snapshot.decode_segment(node.data, node.references)]


def test_a_map_holds_every_folder_in_order() -> None:
    given_ = folders(5_000)
    assert decoded(snapshot.build_map(given_, NODE_KEY)) == sorted(given_, key=lambda pair: record.sort_key(pair[0]))


@pytest.mark.parametrize("change", ["added", "taken away", "recorded anew"])
@pytest.mark.parametrize("at", [0, 2_500, 4_999])
def test_one_changed_folder_changes_one_or_two_segments(change: str, at: int) -> None:
    before = folders(5_000)
    after = list(before)
    match change:
        case "added":
            after.append((before[at][0] + b" new", b"n" * 20))
        case "taken away":
            del after[at]
        case "recorded anew":
            after[at] = (after[at][0], b"n" * 20)
    first = {head.id for head, _ in snapshot.build_map(before, NODE_KEY)}
    second = {head.id for head, _ in snapshot.build_map(after, NODE_KEY)}
    assert len(first) > 4
    assert 1 <= len(second - first) <= 2


def test_every_folder_is_found_in_the_segment_that_is_looked_in() -> None:
    segments = snapshot.build_map(folders(3_000), NODE_KEY)
    heads = [head for head, _ in segments]
    for number, (_, node) in enumerate(segments):
        for path, _ in snapshot.decode_segment(node.data, node.references):
            assert snapshot.segment_for(heads, path) == number
    assert snapshot.segment_for(heads, b"a") is None
    assert snapshot.segment_for([], b"data") is None


@given(st.lists(st.lists(NAME, min_size=1, max_size=4).map(b"/".join), min_size=2, max_size=30, unique=True))
def test_a_folder_comes_directly_before_all_that_is_below_it(paths: list[bytes]) -> None:
    ordered = sorted(paths, key=record.sort_key)
    for path in ordered:
        below = [number for number, other in enumerate(ordered) if other.startswith(path + b"/")]
        assert below == list(range(ordered.index(path) + 1, ordered.index(path) + 1 + len(below)))


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode([b"a", b"b"]), msgspec.msgpack.encode({"a": 1})])
def test_what_is_no_segment_is_damaged(body: bytes) -> None:
    with pytest.raises(DamagedError):
        snapshot.decode_segment(body, b"r" * 20)
