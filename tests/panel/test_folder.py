"""Looking into a stranger's folder never leads out of it, and never hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strongroom.panel.folder import Folder
from tests.panel.servers import write


def read(root: Path, *names: bytes, limit: int = 100) -> bytes | None:
    with Folder.at(os.fsencode(root)) as folder:
        return folder.read(*names, limit=limit)


def test_a_small_regular_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a/b/c", "content")
    assert read(tmp_path, b"a", b"b", b"c") == b"content"
    assert read(tmp_path, b"a", b"b", b"c", limit=7) == b"content"
    assert read(tmp_path, b"a", b"b", b"c", limit=6) is None


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c"])
def test_a_link_at_any_place_is_not_followed(tmp_path: Path, link: str) -> None:
    write(tmp_path / "a/b/c", "content")
    (tmp_path / link).rename(tmp_path / "moved")
    (tmp_path / link).symlink_to(tmp_path / "moved")
    assert read(tmp_path, b"a", b"b", b"c") is None


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "device", 0o20666, os.makedev(1, 5))
    (tmp_path / "folder").mkdir()
    assert [read(tmp_path, name) for name in (b"pipe", b"device", b"folder", b"absent", b"x" * 300)] == [None] * 5


def test_a_file_that_holds_more_than_it_says_is_not_read() -> None:
    assert read(Path("/proc/self"), b"status", limit=10) is None


def test_a_listing_stops_where_it_is_told_to(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / str(number))
    with Folder.at(os.fsencode(tmp_path)) as folder:
        assert len(folder.names()) == 20
        assert len(folder.names(most=5)) == 5
