"""Storage that is empty all of a sudden, or out of reach: the next backup begins anew, and a restore ends at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.kit import BORG, COMMAND, DUPLICITY_DRIVER, NAME, RESTIC, Driver, Kit
from tests.fidelity.compare import compare
from tests.servers.folder import server_folder


def _emptied(kit: Kit) -> None:
    """The storage as somebody has it who moved to a new disk, and made his repository anew there."""
    shutil.rmtree(kit.storage)
    kit.storage.mkdir()
    if kit.driver is RESTIC:
        words = ["restic", "--repo", f"{kit.storage}/repository", "--password-file", f"{kit.folder}/secret", "init"]
        subprocess.run(words, check=True, capture_output=True)
    elif kit.driver is DUPLICITY_DRIVER:
        (kit.storage / "repository").mkdir()


@pytest.mark.parametrize("driver", [COMMAND, DUPLICITY_DRIVER, RESTIC], ids=lambda driver: driver.name)
def test_a_set_whose_base_is_gone_is_a_full_one(tmp_path: Path, driver: Driver) -> None:
    with server_folder() as memory:
        _begins_anew(Kit(tmp_path, driver, memory=memory).vouch())


def _begins_anew(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"content\n")
    first = kit.backup("--level", "full")
    _emptied(kit)
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["parent"], point["status"]) == ("full", None, "complete")
    _emptied(kit)
    shutil.rmtree(kit.state / "sidecars")  # and nothing is left to compare with, either
    (kit.data / "more").write_bytes(b"more\n")
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["parent"], point["status"]) == ("full", None, "complete")
    # Points that are lost hide none of the others.
    assert [found["points"] for found in kit.json("find", "site1", "file", status=1)] == [[point["id"]]]
    assert [found["points"] for found in kit.json("history", "site1", "/file", status=1)] == [[point["id"]]]
    assert kit("find", "site1", "file").err.count("\n") == 1
    # Nor is another point's set taken for theirs.
    lost = kit("restore", "site1", "--point", first["id"], "--to", kit.folder / "lost")
    assert (lost.status, os.path.exists(kit.folder / "lost/data/file")) == (2, False), lost.err
    assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(point["id"]))) == []


@pytest.mark.parametrize("driver", [COMMAND, BORG, RESTIC], ids=lambda driver: driver.name)
def test_the_state_folder_may_be_another(tmp_path: Path, driver: Driver) -> None:
    """As on a new machine: what was saved has paths of the old one in it."""
    with server_folder() as memory:
        kit = Kit(tmp_path, driver, memory=memory).vouch()
        (kit.data / "file").write_bytes(b"content\n")
        point = kit.backup()["id"]
        configuration = kit.server.config.read_text()
        kit.server.config.write_text(configuration.replace(f"{memory}/state", f"{memory}/quite/another/state"))
        shutil.rmtree(memory / "state")
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(point))) == []
        (kit.data / "file").write_bytes(b"changed\n")
        assert kit.vouch().backup("--level", "incremental")["status"] == "complete"


def test_a_restore_that_finds_no_room_in_the_state_folder_says_so(tmp_path: Path) -> None:
    with server_folder() as memory:
        kit = Kit(tmp_path, COMMAND, memory=memory).vouch()
        (kit.data / "large").write_bytes(random.Random(1).randbytes(8 << 20))
        point = kit.backup()["id"]
        work = memory / "state/clients" / NAME / "work"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", work], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            told = kit.refused("restore", "site1", "--point", point, "--client", NAME, "--to", tmp_path / "out")
        finally:
            subprocess.run(["umount", "-l", work], check=True)
        assert "make room in the state folder" in told
        assert kit.restored(point).is_dir()


def test_a_restore_from_storage_that_is_away_ends_at_once(tmp_path: Path) -> None:
    """In one line, and before anything of what stands there is touched."""
    kit = Kit(tmp_path, RESTIC).vouch()
    file = kit.data / "file"
    file.write_bytes(b"backed up\n")
    point = kit.backup()["id"]
    file.write_bytes(b"of today\n")
    (kit.data / "new").write_bytes(b"new\n")
    kit.storage.rename(tmp_path / "away")
    words = ("restore", "site1", "--point", point, "--client", NAME, "--mode", "mirror", "--yes")
    assert "there is no restic repository" in kit.refused(*words)
    assert file.read_bytes() == b"of today\n"
    assert (kit.data / "new").exists()
