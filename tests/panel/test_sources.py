"""A database server's data folder is refused as a source, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strongroom.errors import SourceError
from strongroom.model import Location
from strongroom.panel.sources import refuse_database_folders
from tests.panel.servers import write


def location(path: Path, select: tuple[bytes, ...] | None = None) -> Location:
    return Location(tree="data", path=os.fsencode(path), why="a test", select=select)


@pytest.mark.parametrize(
    "made",
    [
        ("ibdata1", "mysql/user.MYD", "ib_logfile0"),
        ("ibdata1", "mysql/db.frm"),
        ("aria_log_control", "ibdata1"),
        ("PG_VERSION", "global/pg_control"),
    ],
)
def test_a_data_folder_is_known_by_what_is_in_it(tmp_path: Path, made: tuple[str, ...]) -> None:
    for name in made:
        write(tmp_path / "shop" / name)
    with pytest.raises(SourceError, match=r"/shop: .*data folder .*\[databases\]"):
        refuse_database_folders(location(tmp_path / "shop"))


@pytest.mark.parametrize("folder", ["var/lib/mysql", "var/lib/postgresql", "var/lib/pgsql"])
def test_a_data_folder_is_known_by_its_place_even_when_empty(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(SourceError, match="corrupt"):
        refuse_database_folders(location(tmp_path / folder))


def test_other_folders_pass(tmp_path: Path) -> None:
    write(tmp_path / "shop/mysql/schema.sql")
    write(tmp_path / "shop/PG_VERSION", "16")
    write(tmp_path / "shop/ibdata1.txt")
    refuse_database_folders(location(tmp_path / "shop"))
    refuse_database_folders(location(tmp_path / "absent"))


def test_a_location_that_selects_some_files_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "PG_VERSION")
    write(tmp_path / "global/x")
    refuse_database_folders(location(tmp_path, (b"/var/log/mailer_table*",)))
