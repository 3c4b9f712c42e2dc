"""What the server's own rotation makes is taken as it is while it is fresh, and only then."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from strongroom.model import GLOBALS, GRANTS, MAIL_MAP
from strongroom.panel import load_layout
from strongroom.panel.base import Layout
from strongroom.runs.rotation import made_elsewhere
from tests.panel.servers import configured, write

HOUR = 3600


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    # A root that would be a pattern of its own.
    return load_layout(configured(tmp_path / "ro[o]t"))


def made(tmp_path: Path, layout: Layout, name: str, hours: float, content: bytes = b"-- dump\n") -> set[bytes]:
    """What need not be made once the server has a file of this age."""
    path = write(tmp_path / "ro[o]t" / name, content)
    moment = time.time() - hours * HOUR
    os.utime(path, (moment, moment))
    server = layout.server()
    assert server is not None
    return made_elsewhere(server)


@pytest.mark.parametrize(
    ("name", "export"),
    [
        ("var/log/mailer_table", MAIL_MAP),
        ("var/log/mailer_table-20261124.gz", MAIL_MAP),
        ("var/lib/mysql/mysql-grants", GRANTS),
        ("var/lib/pgsql/15/backups/globals.sql", GLOBALS),
    ],
)
def test_a_fresh_file_of_the_servers_is_enough(tmp_path: Path, layout: Layout, name: str, export: bytes) -> None:
    assert made(tmp_path, layout, name, 25) == set()
    assert made(tmp_path, layout, name, 23) == {export}
    assert made(tmp_path, layout, name, 23, b"") == set()


def test_the_newest_one_counts(tmp_path: Path, layout: Layout) -> None:
    made(tmp_path, layout, "var/log/mailer_table-20261120.gz", 100)
    assert made(tmp_path, layout, "var/log/mailer_table", 1) == {MAIL_MAP}


def test_a_link_or_a_folder_is_no_dump(tmp_path: Path, layout: Layout) -> None:
    made(tmp_path, layout, "elsewhere", 1)
    log = tmp_path / "ro[o]t/var/log"
    log.mkdir(parents=True)
    (log / "mailer_table").symlink_to(tmp_path / "ro[o]t/elsewhere")
    (log / "mailer_table-1").mkdir()
    assert made(tmp_path, layout, "elsewhere", 1) == set()


def test_where_no_rotation_is_known_all_is_made(tmp_path: Path) -> None:
    config = configured(tmp_path, layout="plain", accounts=(b"/srv/*",), state=os.fsencode(tmp_path / "state"))
    (tmp_path / "state/settings").mkdir(parents=True)
    server = load_layout(config).server()
    assert server is not None and made_elsewhere(server) == set()
