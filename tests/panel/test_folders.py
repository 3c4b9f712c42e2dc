"""Where a tree belongs is known by the account's name alone, so that an account that is gone can come back."""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.panel import load_layout
from tests.panel.servers import configured, site


def test_a_site_that_is_gone_belongs_where_it_was(tmp_path: Path) -> None:
    site(tmp_path, 1, "example.com")
    folders = load_layout(configured(tmp_path)).folders("site7")
    assert folders == {
        "data": os.fsencode(tmp_path / "home/virtual/site7/shadow"),
        "info": os.fsencode(tmp_path / "home/virtual/site7/info"),
    }


def test_a_site_that_stands_is_told_the_same_places_as_its_locations(tmp_path: Path) -> None:
    site(tmp_path, 1, "example.com")
    layout = load_layout(configured(tmp_path))
    assert layout.folders("site1") == {where.tree: where.path for where in layout.account("site1").locations}


def test_what_is_no_name_of_a_site_belongs_nowhere(tmp_path: Path) -> None:
    layout = load_layout(configured(tmp_path))
    assert layout.folders("../etc") == {}
    assert layout.folders("server") == {"data": os.fsencode(tmp_path)}


def test_a_plain_account_that_is_gone_belongs_to_the_first_glob_it_fits(tmp_path: Path) -> None:
    (tmp_path / "srv/shop").mkdir(parents=True)
    layout = load_layout(configured(tmp_path, layout="plain", accounts=(b"/home/w-*", b"/srv/*")))
    assert layout.folders("shop") == {"data": os.fsencode(tmp_path / "srv/shop")}
    assert layout.folders("gone") == {"data": os.fsencode(tmp_path / "srv/gone")}
    assert layout.folders("w-1") == {"data": os.fsencode(tmp_path / "home/w-1")}
    assert layout.folders("..") == {}


def test_a_plain_account_below_wildcard_folders_is_found_only_while_it_stands(tmp_path: Path) -> None:
    (tmp_path / "srv/a/shop").mkdir(parents=True)
    layout = load_layout(configured(tmp_path, layout="plain", accounts=(b"/srv/*/*",)))
    assert layout.folders("shop") == {"data": os.fsencode(tmp_path / "srv/a/shop")}
    assert layout.folders("gone") == {}
