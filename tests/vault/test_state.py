"""What a vault keeps on this machine to be fast, and what killed runs left of it."""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.vault.state import State


def test_what_a_killed_run_was_writing_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    state.remember_base("here/site1", "one", "full", {b"data": b"x"})
    (folder,) = (tmp_path / "bases").iterdir()
    nobody = 1 << 22  # beyond all that the kernel gives
    (folder / f"0123456789abcdef.{nobody}.new").touch()
    (folder / f"fedcba9876543210.{os.getpid()}.new").touch()
    state.remember_base("here/site1", "two", "full", {b"data": b"y"})
    left = sorted(path.name for path in folder.iterdir() if path.name.endswith(".new"))
    assert left == [f"fedcba9876543210.{os.getpid()}.new"]
    assert len(list(folder.iterdir())) == 3
