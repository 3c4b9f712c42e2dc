"""Reading files: holes, cuts, long lists, and names of every kind."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

from strongroom.vault.content import ContentReader
from strongroom.vault.cutting import SMALL, Cutter
from strongroom.vault.frame import Chunk
from strongroom.vault.header import CHUNKER, Chunker
from strongroom.vault.record import ListNode, Row, Type, content_references
from strongroom.vault.verify import verify
from tests.vault.plot import SMALL_CHUNKS, Ground

TINY = Chunker(least=64, average=256, most=1024)


class Kept:
    """What a content reader hands over."""

    def __init__(self) -> None:
        self.node_key = b"n" * 32
        self.stored: dict[bytes, bytes] = {}
        self.nodes: dict[bytes, Chunk] = {}

    def data(self, data: bytes) -> bytes:
        id = len(self.stored).to_bytes(20, "big")
        self.stored[id] = data
        return id

    def node(self, node: Chunk) -> None:
        self.nodes[node.id] = node


def read(path: Path, chunker: Chunker = CHUNKER, seed: int = 5) -> tuple[Row, Kept]:
    kept = Kept()
    reader = ContentReader(kept, chunker, seed, frozenset({0}), lambda size: None)
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        reader.enter(os.fstat(fd).st_dev, {})
        row = reader.row(fd, path.name, path.lstat())
    finally:
        os.close(fd)
    assert row is not None
    return row, kept


def chunks(row: Row, kept: Kept) -> list[bytes]:
    references = content_references(row)
    return [kept.stored[references[at : at + 20]] for at in range(0, len(references), 20)]


def test_a_small_file_is_one_chunk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * SMALL)
    row, kept = read(tmp_path / "file", TINY)
    assert chunks(row, kept) == [b"x" * SMALL]
    assert row.extra.lengths == ()


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    row, kept = read(tmp_path / "file")
    assert (row.references, kept.stored) == (b"", {})


def test_a_large_file_is_cut_by_its_content(tmp_path: Path) -> None:
    noise = random.Random(3).randbytes(3 << 20)
    (tmp_path / "file").write_bytes(noise)
    row, kept = read(tmp_path / "file")
    cut = chunks(row, kept)
    assert b"".join(cut) == noise
    assert len(cut) > 1
    assert row.extra.lengths == tuple(len(chunk) for chunk in cut)
    assert all(CHUNKER.least <= len(chunk) <= CHUNKER.most for chunk in cut[:-1])
    (tmp_path / "file").write_bytes(b"inserted before" + noise)
    moved = chunks(*read(tmp_path / "file"))
    assert len(set(moved) - set(cut)) <= 2


def test_cuts_are_the_vault_s_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(random.Random(3).randbytes(3 << 20))
    assert read(tmp_path / "file", seed=1)[0].extra.lengths != read(tmp_path / "file", seed=2)[0].extra.lengths


def test_more_than_sixty_four_chunks_go_to_list_nodes(tmp_path: Path) -> None:
    noise = random.Random(4).randbytes(SMALL + 500_000)
    (tmp_path / "file").write_bytes(noise)
    row, kept = read(tmp_path / "file", TINY)
    assert row.extra.depth == 1
    assert row.extra.lengths == ()
    found = b""
    for at in range(0, len(row.references), 20):
        node = kept.nodes[row.references[at : at + 20]]
        sizes = []
        for place in range(0, len(node.references), 20):
            chunk = kept.stored[node.references[place : place + 20]]
            sizes.append(len(chunk))
            found += chunk
        assert msgspec.msgpack.decode(node.data, type=ListNode).lengths == sizes
    assert found == noise


def test_very_many_chunks_go_to_lists_of_lists(tmp_path: Path) -> None:
    cutter = Cutter(kept := Kept(), CHUNKER, 1)
    many = 300_000
    ids = b"".join(number.to_bytes(20, "big") for number in range(many))
    references, sizes, depth = cutter.listed(ids, [7] * many)
    assert depth == 2
    assert sizes == ()
    assert len(references) // 20 <= 64
    for _ in range(depth):
        references = b"".join(kept.nodes[references[at : at + 20]].references for at in range(0, len(references), 20))
    assert references == ids


def test_holes_cost_nothing_and_stay_where_they_are(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.seek(1 << 20)
        file.write(b"a" * 4096)
        file.seek(5 << 20)
        file.write(b"b" * 8192)
        file.truncate(9 << 20)
    row, kept = read(tmp_path / "file")
    assert row.size == 9 << 20
    assert row.extra.extents == ((1 << 20, 4096), (5 << 20, 8192))
    assert chunks(row, kept) == [b"a" * 4096, b"b" * 8192]


def test_one_great_hole_is_read_in_no_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", 1 << 40)
    row, kept = read(tmp_path / "file")
    assert (row.size, row.extra.extents, kept.stored) == (1 << 40, (), {})


def test_large_attributes_are_chunks_and_small_ones_stand_in_the_row(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    os.setxattr(tmp_path / "file", "user.large", b"l" * 2000)
    os.setxattr(tmp_path / "file", "user.small", b"s")
    row, kept = read(tmp_path / "file")
    assert row.extra.xattrs == ((b"user.large", 0), (b"user.small", b"s"))
    assert chunks(row, kept) == [b"content"]
    assert kept.stored[row.references[-20:]] == b"l" * 2000


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.symlink(b"\xff target", tmp_path / "link")
    os.mknod(tmp_path / "device", 0o020600, os.makedev(1, 3))
    assert read(tmp_path / "pipe")[0].type == Type.FIFO
    assert read(tmp_path / "link")[0].extra.target == b"\xff target"
    assert read(tmp_path / "device")[0].extra.rdev == (1, 3)


@pytest.mark.parametrize("size", [0, 1, 5000, SMALL, SMALL + 1, 2 * SMALL + 77])
@pytest.mark.parametrize("hole", [False, True])
def test_files_of_any_size_come_back_through_a_vault(tmp_path: Path, size: int, hole: bool) -> None:
    ground = Ground(tmp_path, chunker=SMALL_CHUNKS)
    with open(ground.source / "file", "wb") as file:
        if hole:
            file.seek(70_000)
        file.write(random.Random(size).randbytes(size))
        if hole:
            file.truncate(70_000 + size + 9_999)
    outcome = ground.backup()
    assert outcome.complete
    assert ground.read(outcome.id) == ground.live()


def test_a_lost_chunk_below_a_list_node_is_healed_though_the_file_did_not_change(tmp_path: Path) -> None:
    """The row names the list alone: that a chunk below it is lost must be found all the same."""
    ground = Ground(tmp_path, chunker=SMALL_CHUNKS)
    (ground.source / "large").write_bytes(random.Random(9).randbytes(SMALL * 2))
    first = ground.backup()
    ground.age()
    vault = ground.vault()
    row = vault.reader.row(vault.snapshot(first.id), b"data/large")
    assert row is not None
    assert row.extra.depth == 1
    place = vault.reader.locate(vault.reader.references(row)[20 * 500 : 20 * 501])
    file = next(path for path in ground.folder.rglob(place.pack.id.hex()))
    data = bytearray(file.read_bytes())
    data[place.offset + place.size - 3] ^= 1
    file.write_bytes(data)
    assert verify(ground.vault(), read_data=1.0).damage != ()
    second = ground.backup()
    assert second.counts.bytes_read == SMALL * 2
    assert ground.read(second.id) == ground.read(first.id) == ground.live()
    assert verify(ground.vault(), read_data=1.0).damage == ()
    ground.age()
    third = ground.backup()
    assert (third.counts.bytes_read, third.stored) == (0, 0)  # what was healed is lost no more
