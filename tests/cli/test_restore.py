from __future__ import annotations

import os
import shutil

import pytest

from tests.cli.ground import Ground
from tests.fakes import file, folder, tree


@pytest.fixture
def point(strongroom: Ground) -> str:
    entries = tree(folder(b"data"), file(b"data/www/index.php", b"old"), file(b"info/current/siteinfo", b"info"))
    return strongroom.client.add("site1", entries, domains=("example.com",)).id


def test_beside_never_asks_and_lays_out_the_trees(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "beside"
    document = strongroom.json("restore", "site1", "--to", str(target))
    assert (target / "data/www/index.php").read_bytes() == b"old"
    assert (target / "info/current/siteinfo").read_bytes() == b"info"
    assert set(document) >= {"restore", "status", "account", "point", "files", "databases", "undo", "warnings"}
    assert set(document["files"]) == {"written", "unchanged", "deleted", "bytes"}
    assert (document["status"], document["point"], document["undo"]) == ("complete", point, None)


def test_one_path_or_one_part_alone_comes_back(strongroom: Ground, point: str) -> None:
    one, other = strongroom.folder / "one", strongroom.folder / "other"
    strongroom.json("restore", "example.com", "/www/index.php", "--to", str(one))
    assert sorted(p.name for p in one.rglob("*") if p.is_file()) == ["index.php"]
    strongroom.json("restore", "site1", "--only", "info", "--to", str(other))
    assert os.listdir(other) == ["info"]


def test_in_place_without_a_terminal_is_refused_with_its_counts(strongroom: Ground, point: str) -> None:
    live = strongroom.folder / "root/home/virtual/site1/shadow/www/index.php"
    answer = strongroom("restore", "site1")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "to write" in answer.err and "--yes" in answer.err
    assert strongroom.json("restore", "site1", status=2)["error"]["code"] == "restore"
    assert not live.exists()


def test_the_mounted_overlay_is_told_of_once_and_only_where_data_changed(strongroom: Ground, point: str) -> None:
    beside = strongroom("restore", "site1", "--to", str(strongroom.folder / "beside"))
    assert beside.err == strongroom("restore", "site1", "--only", "info", "--yes").err == ""
    changed = strongroom("restore", "site1", "--yes")
    assert (changed.status, changed.err.count("\n")) == (0, 1)
    assert "/etc/systemd/user/fsmount.init reload_site site1" in changed.err
    assert strongroom("restore", "site1", "--yes").err == ""


def test_a_dry_run_counts_and_changes_nothing(strongroom: Ground, point: str) -> None:
    document = strongroom.json("restore", "site1", "/www", "--dry-run")
    assert document["dry_run"] is True
    assert document["files"]["written"] == 2
    assert document["writes"] == ["/www", "/www/index.php"]
    assert not (strongroom.folder / "root/home/virtual/site1/shadow/www").exists()
    assert "write    /www/index.php" in strongroom("restore", "site1", "/www", "--dry-run").out


def test_an_account_that_was_destroyed_comes_back_in_place(strongroom: Ground, point: str) -> None:
    site = strongroom.folder / "root/home/virtual/site1"
    shutil.rmtree(site)
    assert strongroom.json("restore", "example.com", "--yes")["status"] == "complete"
    assert (site / "shadow/www/index.php").read_bytes() == b"old"
    assert (site / "info/current/siteinfo").read_bytes() == b"info"


def test_a_folder_that_is_not_empty_is_refused_unless_a_mode_is_given(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "beside"
    target.mkdir()
    (target / "mine").touch()
    assert strongroom.json("restore", "site1", "--to", str(target), status=2)["error"]["code"] == "restore"
    assert strongroom.json("restore", "site1", "--to", str(target), "--mode", "merge")["status"] == "complete"


def test_a_part_and_a_path_of_another_part_contradict_each_other(strongroom: Ground, point: str) -> None:
    error = strongroom.json("restore", "site1", "/www", "--only", "info", "--to", "/tmp/x", status=2)["error"]
    assert error["code"] == "usage"


def test_a_part_that_the_point_does_not_have_is_unknown(strongroom: Ground) -> None:
    strongroom.client.add("site2", tree(file(b"data/a")))
    error = strongroom.json("restore", "site2", "--only", "info", "--to", str(strongroom.folder / "x"), status=2)[
        "error"
    ]
    assert error["code"] == "unknown"
