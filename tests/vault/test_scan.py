"""A look at one folder: what it holds, and what makes its digest another."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.vault.scan import Scan, _still_there, open_folder, scan

KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "below").mkdir()
    return tmp_path


def look(folder: Path) -> Scan:
    fd = open_folder(os.fsencode(folder))
    try:
        return scan(fd, os.fstat(fd), KEY)
    finally:
        os.close(fd)


def test_files_and_folders_are_told_apart(folder: Path) -> None:
    found = look(folder)
    assert sorted(found.names) == ["a", "b"] and found.folders == ["below"] and found.vanished == []
    assert [stat.st_ino for stat in found.stats] == [os.lstat(folder / name).st_ino for name in found.names]


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: (folder / "a").write_bytes(b"22"),
    "mode": lambda folder: (folder / "a").chmod(0o600),
    "links": lambda folder: os.link(folder / "a", folder / "below/other"),
    "a new file": lambda folder: (folder / "c").touch(),
    "a new folder": lambda folder: (folder / "more").mkdir(),
    "a new name": lambda folder: (folder / "a").rename(folder / "z"),
    "the folder itself": lambda folder: folder.chmod(0o700),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", [b"plain", b"no text \xff\xfe"])
def test_every_change_shows_in_the_digest(folder: Path, name: bytes, change: Callable[[Path], object]) -> None:
    with open(os.path.join(os.fsencode(folder), name), "wb"):
        pass
    before = look(folder).digest
    assert look(folder).digest == before
    change(folder)
    assert look(folder).digest != before


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Path]:
    """A folder whose file system keeps times of any size."""
    place = tmp_path / "wide"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_times_of_any_size_are_told_apart(wide: Path) -> None:
    (wide / "file").touch()
    digests = []
    for second in ((1 << 40), (1 << 40) + 1, -(1 << 40)):
        os.utime(wide / "file", (second, second))
        digests.append(look(wide).digest)
        assert look(wide).digest == digests[-1]
    assert len(set(digests)) == 3


def test_what_vanishes_while_it_is_looked_at_is_named(folder: Path) -> None:
    with os.scandir(folder) as listing:
        files = [entry for entry in listing if not entry.is_dir(follow_symlinks=False)]
        (folder / "a").unlink()
        there, stats, vanished = _still_there(files)
    assert [entry.name for entry in there] == ["b"] and len(stats) == 1 and vanished == ["a"]
