"""The conformance suite against duplicity."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from strongroom.clients.duplicity import troubles
from strongroom.clients.duplicity_volumes import containing
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import DUPLICITY_DRIVER, NAME, Kit
from tests.servers.folder import server_folder


class TestDuplicity(Conformance):
    driver = DUPLICITY_DRIVER


def test_a_forecast_names_every_set_that_is_opened_and_no_other(tmp_path: Path) -> None:
    """What it does not name may be missing, and the file comes back; all that it names has to be there."""
    with server_folder() as memory:
        kit = Kit(tmp_path, DUPLICITY_DRIVER, memory=memory).vouch()
        for name in ("a-file", "same", "z-file"):
            (kit.data / name).write_bytes(name.encode() * 1000)
        kit.backup("--level", "full")
        for name in ("a-file", "new", "z-file"):
            (kit.data / name).write_bytes(b"changed " + name.encode())
        kit.backup("--level", "incremental")
        volumes = sorted(kit.storage.rglob("duplicity-*.difftar*"))
        for name, sets in (("new", 2), ("same", 1)):
            plan = kit.json("plan", "site1", f"/{name}", "--client", NAME)
            assert [read["level"] for read in plan["reads"]] == ["full", "incremental"][:sets]
            assert plan["bytes"] == sum(volume.stat().st_size for volume in volumes[:sets])
            for volume in volumes[sets:]:
                volume.rename(memory / volume.name)
            assert (kit.restored("latest", f"/{name}") / name).read_bytes() == (kit.data / name).read_bytes()
        assert "is not there any more" in kit.refused("plan", "site1", "/new", "--client", NAME)
        kit.storage.rename(memory / "away")
        assert [read["bytes"] for read in kit.json("plan", "site1", "/new", "--client", NAME)["reads"]] == [len(b"changed new")]


def test_volumes_that_may_hold_a_path() -> None:
    manifest = (
        b'Hostname a\nLocaldir /v\nVolume 1:\n    StartingPath   .  \n    EndingPath     "a/data/b\\x20c" 3\n    Hash SHA1 0\n'
        b'Volume 2:\n    StartingPath   "a/data/b\\x20c" 4\n    EndingPath     a/info  \n    Hash SHA1 0\n'
        b"Volume 3:\n    StartingPath   a/strongroom  \n    EndingPath     a/strongroom/sidecar  \n    Hash SHA1 0\n"
    )
    assert containing(manifest, b"") == ([1, 2, 3], 3)
    assert containing(manifest, b"a/data/b c") == ([1, 2], 3)
    assert containing(manifest, b"a/data/a") == ([1], 3)
    assert containing(manifest, b"a/strongroom") == ([3], 3)


def test_what_the_log_names_as_unread_is_named_by_its_path() -> None:
    told = (
        b"NOTICE 1\n. Last full backup date: none\n\n"
        b"WARNING 10 '/view/site1.ab/data/na\\xefve \\udcff'\n. Error accessing possibly locked file\n\n"
        b"WARNING 12 'site1.ab/data/broken'\n. Error 'EIO' processing site1.ab/data/broken\n\nWARNING 1\n. Something else\n"
    )
    assert list(troubles(told, b"/view")) == [
        Trouble(
            path="/view/site1.ab/data/na\xefve ".encode() + b"\xff", message="Error accessing possibly locked file"
        ),
        Trouble(path=b"/view/site1.ab/data/broken", message="Error 'EIO' processing site1.ab/data/broken"),
    ]


def test_the_passphrase_is_in_no_argument_and_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = Kit(tmp_path, DUPLICITY_DRIVER).vouch()
    (kit.data / "file").write_bytes(b"content\n")
    between = tmp_path / "between"
    between.mkdir()
    seen = tmp_path / "seen"
    for program in ("duplicity", "gpg"):
        real = shutil.which(program)
        (between / program).write_text(f'#!/bin/sh\n{{ env; echo "{program}: $@"; }} >>"{seen}"\nexec "{real}" "$@"\n')
        (between / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{between}{os.pathsep}{os.environ['PATH']}")
    point = kit.backup()
    assert (kit.restored(point["id"], "/file") / "file").read_bytes() == b"content\n"
    told = seen.read_text()
    assert "duplicity: full" in told
    assert "gpg: " in told
    assert "correct horse" not in told
