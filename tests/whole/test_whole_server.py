"""The server's own point and an account's mail, through the real program and real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.panel.servers import write
from tests.servers.mariadb import MariaDB
from tests.servers.panel import Panel, panel
from tests.servers.postgresql import PostgreSQL
from tests.whole.ground import CONFIGURATION, Server

DATABASES = """
[databases.mysql]
socket = "{mysql}"
[databases.postgresql]
host = "{postgresql}"
"""


@pytest.fixture
def mail(postgresql: PostgreSQL) -> Iterator[Panel]:
    with panel(postgresql) as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL) -> Server:
    tables = DATABASES.format(mysql=mariadb.socket, postgresql=postgresql.sockets)
    made = Server(tmp_path, CONFIGURATION + tables)
    made.site(1, "example.com")
    assert made.json("init")["created"] is True
    return made


def exports(server: Server, point: str) -> list[str]:
    found = server.json("show", point)["exports"]
    assert all(each["status"] == "complete" and each["bytes"] for each in found)
    return [each["path"] for each in found]


def test_the_servers_point_has_what_its_rotation_does_not_make(server: Server, mail: Panel) -> None:
    point = server.backup("server")
    assert (point["status"], point["databases"], point["warnings"]) == ("complete", [], [])
    paths = [
        "databases:/mysql/grants.sql",
        "databases:/postgresql/globals.sql",
        "databases:/postgresql/mailer_table.sql",
    ]
    assert exports(server, point["id"]) == paths
    assert f"export     {paths[0]} complete, " in server("show", point["id"]).out.decode()
    target = server.folder / "back"
    assert server("restore", "server", "--to", target).status == 0
    assert b"example.org" in (target / "databases/postgresql/mailer_table.sql").read_bytes()
    # From now on the server makes its mail map itself.
    write(server.root / "var/log/mailer_table", b"-- a dump\n")
    again = server.backup("server")
    assert exports(server, again["id"]) == paths[:2]
    assert [each["path"] for each in server.json("ls", again["id"], "/var/log")] == ["/var/log/mailer_table"]


def test_a_server_that_cannot_be_asked_makes_its_point_incomplete(server: Server) -> None:
    server.config.write_text(server.config.read_text().replace('socket = "', 'socket = "/nowhere'))
    point = server.backup("server", status=1)
    assert point["status"] == "incomplete"
    said = {each["path"]: each["message"] for each in point["warnings"]}
    assert "cannot be reached" in said["databases:/mysql/grants.sql"]
    assert {each["path"]: each["status"] for each in server.json("show", point["id"])["exports"]} == {
        "databases:/mysql/grants.sql": "incomplete",
        "databases:/postgresql/globals.sql": "complete",
    }


def test_an_accounts_own_mail_comes_back_from_its_own_point(server: Server, mail: Panel) -> None:
    before = mail.domains(), mail.addresses("example.com", "shop.example.com", "example.org")
    point = server.backup("site1")
    assert (point["status"], point["databases"]) == ("complete", [])
    assert exports(server, point["id"]) == ["databases:/postgresql/mailer_rows.sql"]
    mail.run("DELETE FROM domain_lookup WHERE site_id = 1")
    assert server("restore", "site1", "--to", server.folder / "back").status == 0
    assert (server.folder / "back/databases/postgresql/mailer_rows.sql").exists()
    for only in ((), ("--only", "databases")):
        mail.run("DELETE FROM domain_lookup WHERE site_id = 1")
        done = server.json("restore", "site1", *only, "--yes")
        assert (done["status"], done["warnings"]) == ("complete", [])
        assert (mail.domains(), mail.addresses("example.com", "shop.example.com", "example.org")) == before


def test_an_account_without_databases_or_mail_is_whole_without_exports(server: Server) -> None:
    point = server.backup("site1")
    assert (point["status"], point["warnings"]) == ("complete", [])
    assert exports(server, point["id"]) == []
