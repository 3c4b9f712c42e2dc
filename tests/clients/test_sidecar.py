from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.clients.content_hash import ContentHash
from strongroom.clients.sidecar import GONE, Row, Sidecar, corrected, sort_key, write
from strongroom.errors import ClientError


def rows(*paths: bytes) -> list[Row]:
    kinds = {path: "dir" if any(other.startswith(path + b"/") for other in paths) else "file" for path in paths}
    return [Row(path=path, kind=kinds[path], size=len(path)) for path in sorted(paths, key=sort_key)]


def many() -> list[Row]:
    """More rows than one frame holds, with names that sort awkwardly."""
    paths = {b"data", b"data/a", b"data/a-b", b"data/a\x01", b"data/a!"}
    for number in range(700):
        paths |= {b"data/a/%04d" % number, b"data/a/%04d-" % number, b"data/b", b"data/b/%04d" % number}
    return rows(*paths)


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "sidecar")


def test_what_is_written_is_read(path: bytes) -> None:
    assert write(path, many()) == len(many())
    sidecar = Sidecar(path)
    assert list(sidecar.rows()) == many()
    for row in many():
        assert sidecar.lookup(row.path) == row
    assert sidecar.lookup(b"data/none") is None
    assert list(sidecar.below(b"data/b")) == [row for row in many() if (row.path + b"/").startswith(b"data/b/")]


def test_a_folder_is_listed_without_what_lies_deeper(path: bytes) -> None:
    write(path, many())
    children = [row.path for row in Sidecar(path).children(b"data")]
    assert children == [b"data/a", b"data/a\x01", b"data/a!", b"data/a-b", b"data/b"]


def test_an_empty_one_holds_nothing(path: bytes) -> None:
    assert write(path, []) == 0
    assert list(Sidecar(path).rows()) == []
    assert Sidecar(path).lookup(b"data") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_one_is_told(path: bytes, damage: str) -> None:
    write(path, many())
    content = bytearray(Path(os.fsdecode(path)).read_bytes())
    if damage == "cut":
        del content[-40:]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content.clear()
    Path(os.fsdecode(path)).write_bytes(content)
    with pytest.raises(ClientError, match="cannot be read"):
        assert list(Sidecar(path).rows()) == many()


def test_corrections_replace_add_and_take_away() -> None:
    before = rows(b"data", b"data/changed", b"data/gone", b"data/same")
    corrections = [
        Row(path=b"data/changed", kind="file", size=99),
        Row(path=b"data/gone", kind=GONE),
        Row(path=b"data/new", kind="file"),
    ]
    found = {row.path: row.size for row in corrected(before, corrections)}
    assert found == {b"data": 4, b"data/changed": 99, b"data/new": 0, b"data/same": 9}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3 << 20), st.binary(min_size=1, max_size=2000)), max_size=6), st.integers(1, 700)
)
def test_a_hash_does_not_depend_on_pieces_and_holes(pieces: list[tuple[int, bytes]], cut: int) -> None:
    content = bytearray(4 << 20)
    for offset, data in pieces:
        content[offset : offset + len(data)] = data
    whole = ContentHash()
    whole.add(0, bytes(content))
    pieced = ContentHash()
    for start in range(0, len(content), 4096):
        block = bytes(content[start : start + 4096])
        if block.strip(b"\0"):
            for at in range(0, 4096, cut * 7):
                pieced.add(start + at, block[at : at + cut * 7])
    assert whole.digest(len(content)) == pieced.digest(len(content))


def test_a_hash_tells_sizes_and_places_apart() -> None:
    def digest(offset: int, data: bytes, size: int) -> bytes:
        made = ContentHash()
        made.add(offset, data)
        return made.digest(size)

    digests = {
        digest(0, b"x", 1),
        digest(1, b"x", 2),
        digest(0, b"x", 2),
        digest(1 << 20, b"x", 1 << 21),
        digest(0, b"", 0),
    }
    assert len(digests) == 5
