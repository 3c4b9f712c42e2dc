"""``strongroom databases`` and ``backup_dbs``, as an administrator types them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import cast

import pytest

from strongroom.cli.main import backup_dbs
from strongroom.exports.base import DatabaseServer
from strongroom.settings import durable
from tests.cli.ground import Ground
from tests.settings.servers import FakeServer

SHOP = "mysql:shop_wp"


@pytest.fixture
def dumps(strongroom: Ground) -> Path:
    return strongroom.folder / "root/home/virtual/site1/shadow/home/admin/mysql_backups"


def test_a_schedule_is_set_listed_changed_and_removed(strongroom: Ground) -> None:
    today = date.today().isoformat()
    made = strongroom.json(
        "databases", "schedule", "site1", SHOP, "--span", "2", "--preserve", "3", "--extension", "zip"
    )
    keys = {"name": SHOP, "span": 2, "preserve": 3, "extension": "zip", "email": "", "next": today}
    assert keys.items() <= made.items()
    assert strongroom.json("databases", "schedule", "example.com") == [made]
    changed = strongroom.json("databases", "schedule", "site1", SHOP, "--email", "me@example.com")
    assert changed == made | {"email": "me@example.com"}
    assert SHOP in strongroom("databases", "schedule", "site1").out
    assert strongroom.json("databases", "schedule", "site1", "mysql:shop_blog") == []
    assert strongroom.json("databases", "schedule", "site2") == []
    assert strongroom("databases", "schedule", "site1", SHOP, "--remove").status == 0
    assert strongroom.json("databases", "schedule", "site1") == []


def test_databases_are_listed_with_their_schedules(strongroom: Ground) -> None:
    strongroom("databases", "schedule", "site1", SHOP, "--span", "1")
    listed = strongroom.json("databases", "list")
    assert [(each["account"], each["engine"], each["name"]) for each in listed] == [
        ("site1", "mysql", "shop_blog"),
        ("site1", "mysql", "shop_wp"),
    ]
    assert [each["schedule"] and each["schedule"]["span"] for each in listed] == [None, 1]
    assert strongroom.json("databases", "list", "site2") == []
    assert "site1    mysql:shop_wp    day    all    gz" in strongroom("databases", "list").out


def test_a_server_that_is_silent_hides_no_other(strongroom: Ground) -> None:
    silent = FakeServer("postgresql", {})
    silent.fails = "postgresql is away"
    strongroom.servers = lambda config: [cast(DatabaseServer, server) for server in (strongroom.mysql, silent)]
    answer = strongroom("databases", "list", "--json")
    assert (answer.status, answer.err) == (1, "strongroom: postgresql is away\n")
    assert [each["name"] for each in answer.document] == ["shop_blog", "shop_wp"]
    strongroom.mysql.fails = "mysql is away"
    assert strongroom("databases", "list").status == 2


def test_what_lies_in_the_owners_folders_is_listed(strongroom: Ground, dumps: Path) -> None:
    strongroom.backup_dbs("--force")
    (dumps / "shop_wp-20200101.zip").write_bytes(b"uploaded")
    blog, shop = strongroom.json("databases", "list", "site1", "--dumps")
    assert [file["path"].rpartition(".")[2] for file in shop["dumps"]] == ["gz", "zip"]
    assert shop["dumps"][1] == {
        "path": "/home/admin/mysql_backups/shop_wp-20200101.zip",
        "stamp": "20200101000000",
        "bytes": 8,
        "snapshot": False,
    }
    assert len(blog["dumps"]) == 1
    lines = strongroom("databases", "list", "--dumps").out.splitlines()
    assert lines[-1].split() == ["site1", "mysql:shop_wp", "/home/admin/mysql_backups/shop_wp-20200101.zip", "8", "B"]
    (dumps.parent / "away").mkdir()
    dumps.rename(dumps.parent / "away/dumps")
    dumps.symlink_to("away/dumps")
    answer = strongroom("databases", "list", "--dumps")
    assert (answer.status, answer.out) == (1, "") and "links are not followed" in answer.err


def test_the_schedule_of_an_account_that_is_gone_can_be_taken_away(strongroom: Ground) -> None:
    strongroom("databases", "schedule", "site1", SHOP, "--span", "1")
    (strongroom.folder / "root/home/virtual/site1").rename(strongroom.folder / "gone")
    assert len(strongroom.json("databases", "schedule", "site1")) == 1
    answer = strongroom.backup_dbs()
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert strongroom("databases", "schedule", "site1", SHOP, "--remove").status == 0
    assert strongroom.backup_dbs() == (0, "", "")


def test_backup_dbs_dumps_what_is_due_and_is_quiet(strongroom: Ground, dumps: Path) -> None:
    assert strongroom.backup_dbs() == (0, "", "")
    assert not dumps.exists()
    strongroom("databases", "schedule", "site1", SHOP, "--span", "1", "--extension", "none")
    assert strongroom.backup_dbs() == (0, "", "")
    assert strongroom.backup_dbs() == (0, "", "")
    (dump,) = dumps.iterdir()
    assert dump.read_bytes() == b"a dump"


def test_force_takes_everything_and_json_says_what(strongroom: Ground, dumps: Path) -> None:
    strongroom("scope", "set", "backups.automatic-database-exports", "false")
    answer = strongroom.backup_dbs("--force", "--json")
    assert answer.status == 0 and answer.err == ""
    assert [(each["name"], each["status"]) for each in answer.document] == [
        ("shop_blog", "complete"),
        ("shop_wp", "complete"),
    ]
    assert len(list(dumps.iterdir())) == 2
    assert strongroom("databases", "dump", "--force", "-v").out.count("/home/admin/mysql_backups/") == 2


@pytest.mark.parametrize(("cut", "status"), [({"shop_wp"}, 1), ({"shop_wp", "shop_blog"}, 2)])
def test_each_failure_is_one_line_and_shows_in_the_status(strongroom: Ground, cut: set[str], status: int) -> None:
    strongroom.mysql.cut = cut
    answer = strongroom.backup_dbs("--force")
    assert (answer.status, answer.out, answer.err.count("\n")) == (status, "", len(cut))
    assert "backup_dbs: site1 mysql:shop_wp: shop_wp: the dump was cut\n" in answer.err


def test_two_at_once_do_not_mix(strongroom: Ground) -> None:
    with durable.alone(bytes(strongroom.folder / "state"), b"dumps"):
        answer = strongroom.backup_dbs("--force")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "another run" in answer.err


def test_everything_of_no_server_is_not_done(strongroom: Ground) -> None:
    status = backup_dbs(["--config", str(strongroom.config), "--force"], lambda config: [])
    assert status == 2


def test_where_the_panel_dumps_by_itself_a_schedule_says_so(strongroom: Ground) -> None:
    panel = strongroom.folder / "root/etc/cron.daily/10backup_dbs"
    panel.parent.mkdir(parents=True)
    panel.touch()
    answer = strongroom("databases", "schedule", "site1", SHOP, "--span", "1")
    assert answer.status == 0
    assert str(panel) in answer.err


def test_the_program_takes_its_configuration_from_the_environment(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "backup_dbs"
    environment = {"STRONGROOM_CONFIG": str(tmp_path / "none.toml"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([program, "--force"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"backup_dbs: {tmp_path}/none.toml")
