"""The configuration chooses the layout; those of other distributions come by their entry points."""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from strongroom.config import Config, Server, parse
from strongroom.errors import ConfigError
from strongroom.panel import load_layout

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("name", ["apiscp", "plain"])
def test_a_layout_that_ships_is_the_one_its_entry_point_names(name: str) -> None:
    module, _, kind = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["strongroom.layouts"][
        name
    ].partition(":")
    layout = load_layout(Config(path=b"/c.toml", server=Server(layout=name)))
    assert type(layout) is getattr(import_module(module), kind)


@pytest.fixture
def other_distribution(tmp_path: Path) -> object:
    """A distribution on the path that brings two layouts, one of which cannot be imported."""
    (tmp_path / "hosting_layout.py").write_text(
        "class Hosting:\n    def __init__(self, config):\n        self.config = config\n"
    )
    information = tmp_path / "hosting_layout-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hosting-layout\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[strongroom.layouts]\nhosting = hosting_layout:Hosting\nbroken = no_such_module:Layout\n"
    )
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))


@pytest.mark.usefixtures("other_distribution")
def test_a_layout_of_another_distribution_is_found() -> None:
    config = parse(b"[server]\nlayout = 'hosting'", b"/c.toml")
    assert type(load_layout(config)).__name__ == "Hosting"


@pytest.mark.usefixtures("other_distribution")
def test_a_layout_that_cannot_be_loaded_is_one_line() -> None:
    config = parse(b"[server]\nlayout = 'broken'", b"/c.toml")
    with pytest.raises(ConfigError, match="'broken' is not installed as it should be"):
        load_layout(config)
