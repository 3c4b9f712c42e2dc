"""Every format that was ever released stays readable, and stays what it was."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from strongroom.vault import sweep
from strongroom.vault.errors import AbsentError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.vault import Vault
from strongroom.vault.verify import verify
from tests.golden.make import HERE, SECOND_PASSPHRASE, shown
from tests.vault.plot import PASSPHRASE, Ground, read_point

VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").exists())


@pytest.fixture(params=VERSIONS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a golden vault, since reading alone must not be trusted to leave it alone."""
    shutil.copytree(HERE / request.param, tmp_path / "golden")
    return tmp_path / "golden"


def expected(place: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place / "expected.json").read_text())
    return told


def opened(place: Path, passphrase: bytes = PASSPHRASE) -> Vault:
    return Vault(FolderStorage(str(place / "vault")), str(place / "state"), passphrase)


def test_there_is_one_of_the_first_format_and_one_of_each_feature() -> None:
    assert {"v1", "v1-prefixed"} <= set(VERSIONS)


@pytest.mark.parametrize("passphrase", [PASSPHRASE, SECOND_PASSPHRASE])
def test_every_point_reads_as_it_was_made(place: Path, passphrase: bytes) -> None:
    vault = opened(place, passphrase)
    told = expected(place)["points"]
    assert vault.ids() == set(told)
    for id, entries in told.items():
        read = read_point(vault, id)
        assert {os.fsdecode(path): shown(seen) for path, seen in read.items()} == entries


def test_what_was_forgotten_stays_forgotten(place: Path) -> None:
    with pytest.raises(AbsentError):
        opened(place).snapshot(expected(place)["forgotten"])


def test_it_is_whole(place: Path) -> None:
    assert verify(opened(place), read_data=1.0).damage == ()


def test_it_takes_another_point_and_a_prune(place: Path) -> None:
    ground = Ground(place)
    (ground.source / "file").write_bytes(b"of today")
    outcome = ground.backup()
    assert ground.read(outcome.id) == ground.live()
    sweep.prune(ground.vault())
    told = expected(place)["points"]
    assert ground.vault().ids() == {outcome.id, *told}
    for id, entries in told.items():
        assert {os.fsdecode(path): shown(seen) for path, seen in ground.read(id).items()} == entries
