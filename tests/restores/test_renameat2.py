from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.restores.renameat2 import exchange, rename_new


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "a").write_bytes(b"A")
    (tmp_path / "b").write_bytes(b"B")
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_new_name_replaces_nothing(folder: int, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        rename_new(folder, b"a", folder, b"b")
    rename_new(folder, b"a", folder, b"c\xff")
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"b", b"c\xff"]
    assert (tmp_path / "b").read_bytes() == b"B"


def test_an_exchange_swaps_two_names_and_follows_no_link(folder: int, tmp_path: Path) -> None:
    exchange(folder, b"a", folder, b"b")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"B", b"A")
    (tmp_path / "link").symlink_to("b")
    exchange(folder, b"a", folder, b"link")
    assert (os.readlink(tmp_path / "a"), (tmp_path / "link").read_bytes()) == ("b", b"B")


def test_an_exchange_needs_both_names(folder: int) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(folder, b"a", folder, b"nothing")


def test_a_name_with_a_nul_is_not_cut_short(folder: int) -> None:
    with pytest.raises(ValueError, match="null"):
        rename_new(folder, b"a", folder, b"c\0d")
