from __future__ import annotations

import os
from pathlib import Path

from strongroom.config import Server
from strongroom.config.identity import server_id


def test_a_server_keeps_its_id_wherever_its_tree_is_moved(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    ids = {server_id(Server(root=os.fsencode(tmp_path / name))) for name in ("a", "b")}
    assert len(ids) == 1
    assert "0123456789abcdef0123456789abcdef" not in ids


def test_two_trees_without_an_id_are_two_servers(tmp_path: Path) -> None:
    ids = {server_id(Server(root=os.fsencode(tmp_path / name))) for name in ("a", "b")}
    assert len(ids) == 2
    assert all(len(found) == 32 for found in ids)
