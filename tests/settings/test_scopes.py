from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from strongroom.config import Server
from strongroom.errors import ConfigError, SettingError, UnknownError, UsageError
from strongroom.settings.scopes import EXPORTS, NOTIFY, PRUNE, REGISTRY, START_RANGE, TIME_LIMIT, Scopes, hours


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(root=os.fsencode(tmp_path / "root"), state=os.fsencode(tmp_path / "state"))


@pytest.fixture
def scopes(server: Server) -> Scopes:
    return Scopes(server)


def file_of(server: Server) -> Path:
    return Path(os.fsdecode(server.state)) / "settings/scopes.json"


def test_every_scope_has_its_default_until_it_is_set_and_tells_all_of_itself(scopes: Scopes) -> None:
    assert scopes.names() == sorted(REGISTRY) == [EXPORTS, PRUNE, TIME_LIMIT, NOTIFY, START_RANGE]
    assert scopes.names("backups.*") == [EXPORTS, PRUNE, TIME_LIMIT]
    for found in scopes.described():
        assert found.value == found.default == REGISTRY[found.name].default
        assert found.info and found.settings
    assert scopes.get(EXPORTS) is True
    assert scopes.get(START_RANGE) == "3-22"


def test_what_is_set_stays_set_for_the_next_program(scopes: Scopes, server: Server) -> None:
    assert scopes.set(EXPORTS, "false")
    assert scopes.set(START_RANGE, "01-5")
    assert scopes.set(PRUNE, "First  Sunday")
    again = Scopes(server)
    assert (again.get(EXPORTS), again.get(START_RANGE), again.get(PRUNE)) == (False, "1-5", "first sunday")


def test_reading_makes_no_file_and_setting_makes_one_for_root_alone(scopes: Scopes, server: Server) -> None:
    scopes.get(EXPORTS)
    assert not file_of(server).exists()
    scopes.set(EXPORTS, "off")
    assert stat.S_IMODE(file_of(server).stat().st_mode) == 0o600
    assert os.listdir(file_of(server).parent) == ["scopes.json"]
    assert stat.S_IMODE(file_of(server).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "FALSE"])
def test_setting_what_is_set_already_writes_nothing(scopes: Scopes, server: Server, word: str) -> None:
    assert not scopes.set(EXPORTS, "true")
    assert not file_of(server).exists()
    assert scopes.set(EXPORTS, word)
    before = file_of(server).stat()
    assert not scopes.set(EXPORTS, word)
    after = file_of(server).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_default_that_is_set_again_is_not_kept_as_if_it_were_a_choice(scopes: Scopes, server: Server) -> None:
    scopes.set(EXPORTS, "false")
    scopes.set(EXPORTS, "true")
    assert json.loads(file_of(server).read_text()) == {}


@pytest.mark.parametrize("name", ["", "backups", "backups.nothing", "apache.evasive", "../scopes"])
def test_an_unknown_scope_is_named(scopes: Scopes, name: str) -> None:
    for ask in (scopes.get, scopes.describe, lambda name: scopes.set(name, "1")):
        with pytest.raises(UnknownError, match="no scope"):
            ask(name)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (EXPORTS, "maybe"),
        (EXPORTS, ""),
        (EXPORTS, "2"),
        (START_RANGE, ""),
        (START_RANGE, "3"),
        (START_RANGE, "22-3"),
        (START_RANGE, "3-3"),
        (START_RANGE, "3-25"),
        (START_RANGE, "-1-3"),
        (START_RANGE, "3-22x"),
        (START_RANGE, "٣-٤"),
        (PRUNE, "sometimes"),
        (NOTIFY, "two words"),
        (NOTIFY, "-oQ/tmp"),
        (NOTIFY, "a@b\nc"),
    ],
)
def test_a_value_that_is_none_changes_nothing(scopes: Scopes, server: Server, name: str, word: str) -> None:
    with pytest.raises(UsageError, match=name):
        scopes.set(name, word)
    assert not file_of(server).exists()


def test_the_hours_of_a_range() -> None:
    assert hours("3-22") == (3, 22)
    assert hours("0-24") == (0, 24)
    with pytest.raises(ValueError, match="H-H"):
        hours("24-25")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"backups.automatic-database-exports": 3}', '{"cron.start-range": "x"}']
)
def test_a_damaged_file_is_told_and_not_taken_for_the_defaults(scopes: Scopes, server: Server, content: str) -> None:
    scopes.set(EXPORTS, "false")
    file_of(server).write_text(content)
    with pytest.raises(SettingError, match=r"scopes\.json: damaged"):
        scopes.get(EXPORTS)


def test_a_scope_of_a_later_version_is_kept(scopes: Scopes, server: Server) -> None:
    scopes.set(EXPORTS, "false")
    file_of(server).write_text('{"backups.of-tomorrow": "yes"}')
    scopes.set(START_RANGE, "4-6")
    assert json.loads(file_of(server).read_text()) == {"backups.of-tomorrow": "yes", START_RANGE: "4-6"}


def test_a_state_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match=r"server\.state"):
        Scopes(Server(state=os.fsencode(tmp_path / "state"))).set(EXPORTS, "false")
