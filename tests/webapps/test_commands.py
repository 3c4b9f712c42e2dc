"""The commands as an administrator types them, and snapshots that come back with their account."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.servers.mariadb import MariaDB
from tests.webapps.ground import SMALL, SMALL_DATABASE, Apps
from tests.webapps.keeping import Keeping, content


def test_every_command_of_an_apps_snapshots(small_shop: Apps, mariadb: MariaDB) -> None:
    server, folder = small_shop, small_shop.docroot(3)
    (app,) = server.json("apps", "list")
    assert {
        "app",
        "account",
        "kind",
        "version",
        "path",
        "url",
        "database",
        "snapshots",
        "assurance",
        "locked",
        "failed",
    } <= app.keys()
    assert (app["app"], app["url"], app["database"]) == (SMALL, "http://small.example/", "mysql:small_shop")
    assert (app["snapshots"], app["assurance"], app["locked"], app["failed"]) == (False, False, "none", False)

    first = server.json("apps", "enable", SMALL)
    assert (first["label"], first["status"], first["databases"]) == (
        "Initial install",
        "complete",
        ["mysql:small_shop"],
    )
    (app,) = server.json("apps", "list", "small.example")
    assert (app["snapshots"], app["assurance"]) == (True, True)

    (folder / "index.php").write_text("changed")
    mariadb.run("UPDATE posts SET title = 'x'", database=SMALL_DATABASE)
    told = server.json("apps", "diff", "site3")
    assert {"path": "/var/www/html/index.php", "change": "changed", "what": ["content", "mtime"]} in told
    assert {"path": "databases:/mysql/small_shop/posts", "change": "changed", "what": ["content"]} in told
    second = server.json("apps", "snapshot", SMALL, "--label", "by me")
    assert [each["label"] for each in server.json("apps", "snapshots", SMALL)] == ["by me", "Initial install"]
    back = server.json("apps", "rollback", SMALL, first["snapshot"])
    assert (back["status"], back["databases"], back["files"]["written"]) == ("complete", ["mysql:small_shop"], 1)
    assert (folder / "index.php").read_text() == "<?php echo 'one';"
    listed = server.json("apps", "snapshots", SMALL)
    assert [each["snapshot"] for each in listed] == [back["before"], second["snapshot"], first["snapshot"]]
    text = server("apps", "snapshots", SMALL).out.decode()
    assert second["snapshot"][:12] in text and "by me" in text

    assert server.json("apps", "lock", SMALL, "minor") == {"app": SMALL, "locked": "minor"}
    assert server.json("apps", "lock", "none", SMALL) == {"app": SMALL, "locked": "none"}
    keeping = Keeping(server, SMALL)
    keeping.states.change(keeping.app, failed="the login page was broken")
    assert server.json("apps", "list")[0]["failed"] is True
    assert "failed: the login page was broken" in server("apps", "list").out.decode()
    assert server.json("apps", "reset", SMALL) == {"app": SMALL, "failed": False}
    assert server.json("apps", "list")[0]["failed"] is False
    assert server.json("apps", "disable", SMALL) == {"app": SMALL, "snapshots": False}
    assert not (folder / ".git").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("snapshot", "site3:/nowhere"), "unknown"),
        (("rollback", SMALL), "snapshot"),
        (("snapshots", "site9"), "unknown"),
        (("lock", SMALL, "patch"), "usage"),
        (("rollback", SMALL, "--only", "all"), "usage"),
    ],
)
def test_what_cannot_be_done_is_one_line(small: Apps, arguments: tuple[str, ...], code: str) -> None:
    assert small.json("apps", *arguments, status=2)["error"]["code"] == code


def test_snapshots_are_in_the_accounts_backups_and_come_back_with_it(small_shop: Apps, mariadb: MariaDB) -> None:
    server = small_shop
    assert server.json("init")["created"] is True
    first = server.json("apps", "enable", SMALL)
    (account, _) = server.json("accounts")
    assert (account["apps"], account["app_snapshots"]) == (["adhoc:/var/www/html"], [SMALL])
    assert f"holds   /var/www/html/.git: snapshots of {SMALL}" in server("accounts", "--locations").out.decode()
    keeping = Keeping(server, SMALL)
    before, rows = keeping.copy(server.folder / "before"), content(mariadb, SMALL_DATABASE)
    (keeping.folder / "index.php").write_text("changed")
    mariadb.run("UPDATE posts SET title = 'x'", database=SMALL_DATABASE)

    point = server.backup("site3")
    assert point["status"] == "complete"
    assert server.json("show", point["id"])["app_snapshots"] == [SMALL]
    assert f"snapshots  of {SMALL}" in server("show", point["id"]).out.decode()
    assert server.json("ls", point["id"], "/var/www/html/.git/HEAD")

    shutil.rmtree(server.data(3))
    mariadb.run(f"DROP DATABASE {SMALL_DATABASE}")
    assert server.json("restore", "site3", "--yes")["status"] == "complete"
    assert [each["snapshot"] for each in server.json("apps", "snapshots", SMALL)] == [first["snapshot"]]
    assert server.json("apps", "snapshots", SMALL)[0]["sealed"] is True
    assert server.json("apps", "rollback", SMALL)["status"] == "complete"
    assert keeping.differs(Path(before)) == []
    assert content(mariadb, SMALL_DATABASE) == rows


def test_snapshots_that_came_without_this_servers_key_come_back_with_a_warning(small: Apps) -> None:
    small.json("apps", "enable", SMALL)
    shutil.rmtree(small.folder / "state")
    (app,) = small.json("apps", "list")
    assert (app["snapshots"], app["assurance"]) == (True, True)
    (small.docroot(3) / "index.php").write_text("changed")
    back = small.json("apps", "rollback", SMALL, status=1)
    assert (small.docroot(3) / "index.php").read_text() == "<?php echo 'one';"
    assert any("not made on this server" in each["message"] for each in back["warnings"])
