"""The story ends with PROOF OK when all came back, and with PROOF FAILED when anything did not."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.demo import place
from strongroom.demo.story import Story
from strongroom.demo.telling import Telling
from strongroom.errors import ClientError, UsageError
from tests.demo import packages

FAKE = (sys.executable, str(Path(__file__).with_name("fake_strongroom.py")))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "demo"
    if (tmp_path / "demo/vault").exists():
        place.prepare(tmp_path / "demo")
    shutil.rmtree(tmp_path)


def _story(folder: Path, fault: str = "") -> tuple[Story, io.StringIO]:
    told = io.StringIO()
    unpacked = packages.make(folder.parent / "unpacked")
    command = ("env", f"FAULT={fault}", f"PYTHONPATH={os.pathsep.join(sys.path)}", *FAKE)
    return Story(place.prepare(folder), Telling(told), lambda: unpacked, command), told


def test_it_ends_well_when_everything_comes_back(folder: Path) -> None:
    story, told = _story(folder)
    held = story.tell()
    assert (story.differences, held) == ([], True)
    assert "PROOF OK" in told.getvalue()
    assert "FAILED" not in told.getvalue()
    assert all(len(line) <= 120 for line in told.getvalue().splitlines())
    document = story.document()
    assert document["proof"] == "ok"
    assert [step["name"] for step in document["steps"]].count("backup") == 2


def test_it_fails_when_a_difference_is_planted(folder: Path) -> None:
    story, told = _story(folder)
    assert not story.tell(plant_difference=True)
    (line,) = story.differences
    assert line.startswith("site1 data: var/www/html/wp-config.php: sha256: ")
    assert told.getvalue().endswith("PROOF FAILED: 1 difference\n")
    assert story.document()["proof"] == "failed"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("lose", "site1 data: var/www/html/index.php: missing"),
        ("mode", "site1 data: var/www/html/index.php: mode: 0644, then 0600"),
        ("incomplete", "backup: incomplete, not complete (exit status 1) /x: could not be read"),
    ],
)
def test_it_fails_when_the_program_loses_something(folder: Path, fault: str, expected: str) -> None:
    story, told = _story(folder, fault)
    assert not story.tell()
    assert expected in story.differences
    assert "PROOF FAILED" in told.getvalue()


def test_a_command_that_was_not_done_ends_it_in_one_line(folder: Path) -> None:
    story, told = _story(folder, "crash")
    with pytest.raises(ClientError, match=r"^strongroom restore site1 --yes: the vault burned down$"):
        story.tell()
    assert told.getvalue().endswith("not done\n")


def test_a_demo_is_remade_with_immutable_files_and_all(folder: Path) -> None:
    kept = folder / "packages/wordpress_1_all.deb"
    _story(folder)[0].tell()
    kept.parent.mkdir()
    kept.touch()
    place.prepare(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".strongroom-demo", "packages", "restored"]
    assert kept.exists()


def test_when_it_is_told_a_plain_rm_removes_it(folder: Path) -> None:
    _story(folder)[0].tell()
    for part in ("server", "restored"):
        shutil.rmtree(os.fsencode(folder / part))


def test_a_folder_with_something_else_in_it_is_refused(folder: Path) -> None:
    (folder / "precious").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds something else than a demo"):
        place.prepare(folder)
    assert (folder / "precious").is_dir()


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="root alone can write"):
        place.prepare(folder)


def test_a_link_in_place_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")
    with pytest.raises(UsageError, match="root alone can write"):
        place.prepare(folder)
    assert list((folder.parent / "elsewhere").iterdir()) == []
