"""The configuration that init writes says the truth about every key."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path

import pytest

from strongroom.config import COMMENTED, Config, parse, write_default
from strongroom.errors import ConfigError

PATH = b"/etc/strongroom/config.toml"
_OPTIONAL = re.compile(r"^# (?:# )?(?=\[|[a-z_]+ *= )")


def uncommented(*leave_out: str) -> str:
    lines = [_OPTIONAL.sub("", line) for line in COMMENTED.splitlines()]
    return "\n".join(line for line in lines if not line.startswith(leave_out))


def test_it_says_what_holds_without_it() -> None:
    assert parse(COMMENTED.encode(), PATH) == Config(path=PATH)


def test_its_commented_keys_are_valid_once_the_alternatives_are_chosen() -> None:
    document = uncommented('layout = "apiscp"', "host        =", "port        =", "defaults_file")
    config = parse(document.replace("[server]", '[server]\nlayout = "plain"').encode(), PATH)
    assert config.server.accounts == (b"/srv/*",)
    assert set(config.clients) == {"offsite", "fleet", "jetbackup", "other"}
    assert config.accounts["shop"].databases == ("mysql:shop", "postgresql:shop_search")
    assert config.databases.mysql is not None
    assert config.databases.postgresql is not None


def test_it_shows_every_key_there_is() -> None:
    shown = tomllib.loads(uncommented())
    empty = Config(path=PATH)
    for name in ("server", "vault", "backup", "retention", "webapps"):
        assert set(shown[name]) == set(getattr(empty, name).__struct_fields__), name
    assert set(shown["databases"]["mysql"]) == {"socket", "host", "port", "user", "password_file", "defaults_file"}
    assert set(shown["databases"]["postgresql"]) == {"host", "port", "user", "password_file"}


def test_it_is_written_for_its_owner_alone_and_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    assert write_default(os.fsencode(path)) is True
    assert path.read_text() == COMMENTED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("# mine")
    assert write_default(os.fsencode(path)) is False
    assert path.read_text() == "# mine"
    assert os.listdir(path.parent) == ["config.toml"]


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.symlink_to(tmp_path / "elsewhere")
    assert write_default(os.fsencode(path)) is False
    assert os.listdir(tmp_path) == ["config.toml"]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_default(os.fsencode(tmp_path / "file" / "config.toml"))
