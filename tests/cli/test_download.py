from __future__ import annotations

import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.cli.ground import Ground
from tests.fakes import file, tree


@pytest.fixture
def point(strongroom: Ground) -> str:
    return strongroom.client.add("site1", tree(file(b"data/www/index.php", b"old"), file(b"info/current/siteinfo"))).id


def test_a_point_becomes_an_archive_that_only_its_owner_reads(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "site1.tar"
    document = strongroom.json("download", "site1", "--point", point, "-o", str(target))
    assert set(document) >= {"path", "bytes", "entries"}
    assert (document["path"], document["bytes"]) == (str(target), target.stat().st_size)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as archive:
        assert {"www/index.php", "info/current/siteinfo"} <= set(archive.getnames())


def test_the_live_data_are_taken_when_no_point_is_named(strongroom: Ground) -> None:
    page = strongroom.folder / "root/home/virtual/site1/shadow/www/index.php"
    page.parent.mkdir()
    page.write_bytes(b"new")
    target = strongroom.folder / "www.zip"
    strongroom.json("download", "site1", "/www", "-o", str(target))
    with zipfile.ZipFile(target) as archive:
        assert archive.read("www/index.php") == b"new"


def test_json_and_standard_output_contradict_each_other(strongroom: Ground) -> None:
    assert strongroom.json("download", "site1", "-o", "-", status=2)["error"]["code"] == "usage"


def test_an_unknown_path_leaves_no_file(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "x.tar"
    for arguments in (("--point", point), ()):
        answer = strongroom("download", "site1", "/nothing", "-o", str(target), *arguments)
        assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert not list(strongroom.folder.glob("x.tar*"))


def test_it_streams_to_standard_output(strongroom: Ground, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "strongroom", "--config", str(strongroom.config), "download", "site2", "-o", "-"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "site2.tar").write_bytes(done.stdout)
    with tarfile.open(tmp_path / "site2.tar") as archive:
        assert "etc/passwd" in archive.getnames()
