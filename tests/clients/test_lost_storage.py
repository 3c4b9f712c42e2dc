"""Storage that is empty all of a sudden, or out of reach: the next backup begins anew, and a restore ends at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.kit import COMMAND, DUPLICITY_DRIVER, NAME, RESTIC, Driver, Kit
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
    kit.backup("--level", "full")
    _emptied(kit)
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["parent"], point["status"]) == ("full", None, "complete")
    _emptied(kit)
    shutil.rmtree(kit.state / "sidecars")  # and nothing is left to compare with, either
    (kit.data / "more").write_bytes(b"more\n")
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["parent"], point["status"]) == ("full", None, "complete")
    assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(point["id"]))) == []


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
