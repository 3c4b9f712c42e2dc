"""The conformance suite against duplicity."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from strongroom.clients.duplicity import troubles
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import DUPLICITY_DRIVER, Kit


class TestDuplicity(Conformance):
    driver = DUPLICITY_DRIVER


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
