"""Freezes, on a real btrfs in a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.runs.freeze import Freeze


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A mounted btrfs with a subvolume for accounts in it."""
    image, place = tmp_path / "image", tmp_path / "btrfs"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        subprocess.run(["btrfs", "-q", "subvolume", "create", place / "virtual"], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def account(place: Path) -> dict[str, bytes]:
    for tree in ("shadow", "info"):
        (place / tree).mkdir(parents=True)
        (place / tree / "file").write_text("then")
    return {"data": bytes(place / "shadow"), "info": bytes(place / "info")}


def text(folder: bytes) -> str:
    return Path(os.fsdecode(folder), "file").read_text()


def snapshots(place: Path) -> str:
    return subprocess.run(
        ["btrfs", "subvolume", "list", "-s", place], check=True, capture_output=True, text=True
    ).stdout


def test_what_changes_later_is_not_in_it(btrfs: Path) -> None:
    folders = account(btrfs / "virtual/site1")
    freeze = Freeze(folders, "one")
    assert freeze.possible()
    frozen = freeze.take()
    assert set(frozen) == {"data", "info"}
    (btrfs / "virtual/site1/shadow/file").write_text("now")
    assert [text(frozen["data"]), text(frozen["info"]), text(folders["data"])] == ["then", "then", "now"]
    stats = [os.stat(path + b"/file") for path in (frozen["info"], folders["info"])]
    assert len({(stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns) for stat in stats}) == 1
    assert (btrfs / "virtual/.strongroom").stat().st_mode & 0o777 == 0o700
    freeze.release()
    freeze.release()
    assert snapshots(btrfs) == "" and os.listdir(btrfs / "virtual/.strongroom") == []


def test_a_folder_that_is_a_subvolume_itself_is_frozen_beside(btrfs: Path) -> None:
    (btrfs / "virtual/site1").mkdir()
    subprocess.run(["btrfs", "-q", "subvolume", "create", btrfs / "virtual/site1/shadow"], check=True)
    (btrfs / "virtual/site1/shadow/file").write_text("then")
    freeze = Freeze({"data": bytes(btrfs / "virtual/site1/shadow")}, "one")
    frozen = freeze.take()
    assert text(frozen["data"]) == "then"
    assert os.listdir(btrfs / "virtual/site1/shadow") == ["file"]
    freeze.release()


def test_there_is_none_where_it_would_not_show_everything(btrfs: Path, tmp_path: Path) -> None:
    folders = account(btrfs / "virtual/site1")
    subprocess.run(["btrfs", "-q", "subvolume", "create", btrfs / "virtual/site1/shadow/inner"], check=True)
    assert not Freeze(folders, "one").possible()
    assert not Freeze(account(tmp_path / "elsewhere"), "one").possible()
    mixed = {"data": account(btrfs / "virtual/site2")["data"], "info": bytes(tmp_path / "elsewhere/info")}
    assert not Freeze(mixed, "one").possible()
    assert snapshots(btrfs) == ""


def test_what_a_killed_run_left_is_swept_and_what_another_holds_is_not(btrfs: Path) -> None:
    folders = account(btrfs / "virtual/site1")
    other = Freeze(folders, "other")
    other.take()
    child = os.fork()
    if not child:
        Freeze(folders, "killed").take()
        os._exit(0)
    os.waitpid(child, 0)
    assert "killed" in snapshots(btrfs)
    freeze = Freeze(folders, "one")
    freeze.take()
    assert "killed" not in snapshots(btrfs) and "other" in snapshots(btrfs)
    freeze.release()
    other.release()
    assert snapshots(btrfs) == ""
