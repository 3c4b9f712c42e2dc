"""The story ends with PROOF OK when all came back, and with PROOF FAILED when anything did not."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.demo import inode_flags, place
from strongroom.demo.program import Program
from strongroom.demo.story import Story
from strongroom.demo.telling import Telling
from strongroom.errors import ClientError, UsageError
from tests.demo import packages


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "demo"
    inode_flags.release(os.fsencode(tmp_path))
    shutil.rmtree(os.fsencode(tmp_path))


def _fake(fault: str) -> tuple[str, ...]:
    path = f"PYTHONPATH={os.pathsep.join(sys.path)}"
    return ("env", f"FAULT={fault}", path, sys.executable, "-m", "tests.demo.fake_strongroom")


def _story(folder: Path, fault: str = "") -> tuple[Story, io.StringIO]:
    told = io.StringIO()
    unpacked = packages.make(folder.parent / "unpacked")
    return Story(place.prepare(folder), Telling(told), lambda: unpacked, _fake(fault)), told


def test_it_ends_well_when_everything_comes_back_and_can_be_told_again(folder: Path) -> None:
    story, told = _story(folder)
    held = story.tell()
    assert (story.differences, held) == ([], True)
    assert "PROOF OK" in told.getvalue()
    assert "FAILED" not in told.getvalue()
    assert [line for line in told.getvalue().replace(str(folder), "/folder").splitlines() if len(line) > 100] == []
    document = story.document()
    assert document["proof"] == "ok"
    assert [step["name"] for step in document["steps"]].count("backup") == 2
    for part in ("server", "restored"):
        shutil.rmtree(os.fsencode(folder / part))
    (folder / "packages").mkdir()
    place.prepare(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".strongroom-demo", "packages", "restored"]


def test_it_fails_when_a_difference_is_planted_or_the_program_loses_something(folder: Path) -> None:
    story, told = _story(folder, "poor")
    assert not story.tell(plant_difference=True)
    found = [line for line in story.differences if not line.startswith("/var/www")]
    assert found[:2] == ["backup: incomplete, not complete (exit status 1) /x: could not be read"] * 2
    assert found[2] == "site1 data: var/www/html/index.php: missing"
    assert found[3].startswith("site1 data: var/www/html/wp-config.php: sha256: ")
    assert found[4] == "site1 data: var/www/html/wp-includes: mode: 0755, then 0700"
    # The value that the program lost, and the letter that was planted; without its index.php there is no page.
    assert [line.partition(": 1 rows, checksum ")[0] for line in found[5:7]] == [
        "shopkeeper_wp: wp_options",
        "shopkeeper_wp: wp_posts",
    ]
    assert found[7:] == ["http://www.shop.example/: it answers with status 404"]
    assert told.getvalue().endswith("PROOF FAILED: 8 differences\n")
    assert story.document()["proof"] == "failed"


def test_a_command_that_was_not_done_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[server]\nroot = '/'\n[vault]\nurl = '/'\n")
    with pytest.raises(ClientError, match=r"^strongroom restore site1 --yes: the vault burned down$"):
        Program(config, _fake("crash"))("restore", "site1", "--yes")


def test_a_command_that_does_not_answer_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"^strongroom points: FileNotFoundError: .*config.toml' \(exit status 1\)$"):
        Program(tmp_path / "config.toml", _fake(""))("points")


def test_a_step_that_was_not_done_says_so() -> None:
    told = io.StringIO()
    with pytest.raises(ValueError, match="cause"), Telling(told).step("restore"):
        raise ValueError("cause")
    assert told.getvalue() == "  restore    not done\n"


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


def test_nothing_runs_any_more_when_it_is_interrupted(folder: Path) -> None:
    """Interrupted in the middle of a backup: the terminal's signal reaches us and what we called, and nothing is left."""
    told = io.StringIO()
    unpacked = packages.make(folder.parent / "unpacked")
    story = Story(place.prepare(folder), Telling(told), lambda: unpacked, _fake("interrupt"))
    with pytest.raises(KeyboardInterrupt):
        story.tell()
    assert not (folder / "mysql/mysqld.sock").exists()
    assert _running(folder) == []


def _running(folder: Path) -> list[str]:
    """The command lines of processes that have to do with a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if str(folder) in line]
