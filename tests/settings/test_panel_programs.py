from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from strongroom.config import Server
from strongroom.errors import SettingError
from strongroom.settings.panel_programs import find_cpcmd, panel_exports
from strongroom.settings.scopes import EXPORTS, START_RANGE, Scopes
from tests.settings.stand_ins import PanelProgram


@pytest.fixture
def server(tmp_path: Path) -> Server:
    (tmp_path / "root").mkdir()
    return Server(root=os.fsencode(tmp_path / "root"), state=os.fsencode(tmp_path / "state"))


def root_of(server: Server) -> Path:
    return Path(os.fsdecode(server.root))


@pytest.mark.parametrize(
    ("said", "value"), [("true", True), ("1", True), ('"1"', True), ('""', False), ("null", False), ("false", False)]
)
@pytest.mark.parametrize("where", ["usr/local/apnscp/bin/cpcmd", "usr/bin/cpcmd"])
def test_what_the_panel_has_is_read_from_it(server: Server, said: str, value: bool, where: str) -> None:
    PanelProgram(root_of(server), EXPORTS, said, where)
    assert Scopes(server, find_cpcmd(server)).get(EXPORTS) is value


def test_what_the_panel_has_is_set_through_it_once_and_kept_nowhere_else(server: Server) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "true")
    scopes = Scopes(server, find_cpcmd(server))
    assert scopes.set(EXPORTS, "off")
    assert panel.value == "false"
    assert not scopes.set(EXPORTS, "false")
    assert [call for call in panel.calls if "scope:set" in call] == [f"-o json scope:set {EXPORTS} false"]
    assert not os.path.exists(server.state)


def test_what_the_panel_has_not_is_ours(server: Server) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "true")
    scopes = Scopes(server, find_cpcmd(server))
    assert scopes.set(START_RANGE, "4-6")
    assert scopes.get(START_RANGE) == "4-6"
    assert panel.calls == ["-o json scope:list"]


def test_it_gets_no_more_of_our_environment_than_it_needs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "true")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    monkeypatch.setenv("STRONGROOM_CONFIG", "/etc/other.toml")
    Scopes(server, find_cpcmd(server)).get(EXPORTS)
    assert panel.environments == {"HOME LANG PATH STRONGROOM_ASKED_THE_PANEL"}


def test_a_program_outside_of_the_servers_tree_is_never_run(server: Server, tmp_path: Path) -> None:
    outside = PanelProgram(tmp_path / "outside", EXPORTS, "true", "cpcmd")
    link = root_of(server) / "usr/bin/cpcmd"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside.path)
    assert find_cpcmd(server) is None
    # A neighbour whose path merely begins like the server's.
    beside = PanelProgram(tmp_path / "root2", EXPORTS, "true", "cpcmd")
    link.unlink()
    link.symlink_to(beside.path)
    assert find_cpcmd(server) is None
    assert outside.calls == beside.calls == []


def test_a_link_within_the_tree_is_the_panels_program(server: Server) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "false", "usr/local/panel/cpcmd")
    (root_of(server) / "usr/bin").mkdir()
    (root_of(server) / "usr/bin/cpcmd").symlink_to("../local/panel/cpcmd")
    assert Scopes(server, find_cpcmd(server)).get(EXPORTS) is False
    assert panel.calls


def test_our_own_program_is_never_taken_for_the_panels(tmp_path: Path) -> None:
    """As if it were installed where the panel has its own, by a link or as a copy."""
    ours = Path(sys.executable).parent / "cpcmd"
    server = Server(root=b"/", state=os.fsencode(tmp_path))
    assert find_cpcmd(server) is None
    usr = tmp_path / "root/usr/bin"
    usr.mkdir(parents=True)
    (usr / "cpcmd").write_text(ours.read_text())
    (usr / "cpcmd").chmod(0o755)
    assert find_cpcmd(Server(root=os.fsencode(tmp_path / "root"))) is None
    (usr / "cpcmd").unlink()
    (usr / "cpcmd").symlink_to(ours)
    assert find_cpcmd(Server(root=os.fsencode(Path(sys.prefix).resolve()))) is None


def test_it_is_not_asked_by_a_program_that_it_called_itself(server: Server) -> None:
    PanelProgram(root_of(server), EXPORTS, "true")
    assert find_cpcmd(server, {"STRONGROOM_ASKED_THE_PANEL": "1"}) is None
    assert find_cpcmd(server, {}) is not None


@pytest.mark.parametrize("change", [lambda path: path.chmod(0o777), lambda path: os.chown(path, 1000, 0)])
def test_a_program_that_others_can_write_is_refused(server: Server, change: object) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "true")
    change(panel.path)  # type: ignore[operator]
    with pytest.raises(SettingError, match="others than root"):
        find_cpcmd(server)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo oops >&2; exit 7", "exit status 7: oops"),
        ("echo 'ok: not json'", "no JSON"),
        ("echo 3", "a list was expected"),
        ("kill -9 $$", "exit status -9"),
    ],
)
def test_a_panel_that_fails_is_one_line_and_no_default(server: Server, script: str, problem: str) -> None:
    panel = PanelProgram(root_of(server), EXPORTS, "true")
    panel.path.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(SettingError, match=problem):
        Scopes(server, find_cpcmd(server)).get(EXPORTS)


def test_a_value_that_makes_no_sense_is_told(server: Server) -> None:
    PanelProgram(root_of(server), START_RANGE, '"all day"')
    with pytest.raises(SettingError, match="the panel says 'all day'"):
        Scopes(server, find_cpcmd(server)).get(START_RANGE)


@pytest.mark.parametrize("path", ["etc/cron.daily/10backup_dbs", "usr/local/apnscp/bin/scripts/backup_dbs.php"])
def test_the_panels_own_exports_are_noticed(server: Server, path: str) -> None:
    assert panel_exports(server) is None
    there = root_of(server) / path
    there.parent.mkdir(parents=True)
    there.touch()
    assert panel_exports(server) == os.fsencode(there)
