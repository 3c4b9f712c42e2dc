"""What Strongroom writes for a director: taken by Bacula's own test, read by the director, and run by its calendar."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.clients.bacula.client import BaculaClient
from strongroom.clients.bacula.nightly import runs
from strongroom.clients.registry import open_client
from strongroom.config import load
from strongroom.config.values import Days
from tests.clients.kit import NAME
from tests.panel.servers import write
from tests.servers.bacula import Bacula
from tests.servers.folder import server_folder
from tests.whole.ground import CONFIGURATION, Server


class Fleet:
    """Two servers, and the one director of both."""

    def __init__(self, folder: Path) -> None:
        (folder / "volumes").mkdir()
        self.bacula = Bacula(folder / "bacula", folder / "volumes", clients=("host-fd", "second-fd"))
        self.servers = [self._server(folder / client, client) for client in ("host-fd", "second-fd")]

    def _server(self, folder: Path, client: str) -> Server:
        folder.mkdir()
        server = Server(folder, f"{CONFIGURATION}[clients.{NAME}]\n{self.bacula.table(client)}")
        server.json("init")
        data = server.site(1, "example.com")
        write(data / "file", client)
        write(data / "var/lib/mysql/ibdata1", "a server's data")
        write(server.root / "var/log/mailer_table.sql", "maps")
        opened = open_client(load(str(server.config)), NAME)
        assert isinstance(opened, BaculaClient)
        opened.judge(())  # the probe has a test of its own
        return server


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with server_folder() as folder:
        made = Fleet(folder)
        yield made
        made.bacula.stop()


def test_the_configuration_passes_the_directors_own_test(fleet: Fleet) -> None:
    written: list[str] = []
    for server in fleet.servers:
        written += server.json("clients", "--configure", NAME)["files"]
        assert fleet.bacula.tested("director") == ""
    assert sorted(map(os.fsencode, written)) == sorted(
        os.fsencode(path) for path in fleet.bacula.include.iterdir() if path.suffix == ".conf"
    )
    said = fleet.bacula.say(".jobs", ".pools", ".filesets")
    for client in ("host-fd", "second-fd"):
        assert f"nightly-{client}\n" in said
        assert f"nightly-{client}-differential\n" in said
        assert f"strongroom-{client}-{NAME}-restore\n" in said
    schedule = fleet.bacula.say("show schedules")
    assert "Level=Full" in schedule and "Level=Differential" in schedule and "Level=Incremental" in schedule
    for server in fleet.servers:
        before = {path.name: path.read_bytes() for path in fleet.bacula.include.iterdir()}
        server.json("clients", "--configure", NAME)
        assert {path.name: path.read_bytes() for path in fleet.bacula.include.iterdir()} == before


def test_a_file_daemon_that_the_director_does_not_know_is_written_too(fleet: Fleet) -> None:
    folder = fleet.bacula.folder.parent / "third"
    folder.mkdir()
    server = Server(
        folder, f'{CONFIGURATION}[clients.{NAME}]\n{fleet.bacula.table("third-fd")}address = "third.example"\n'
    )
    assert "clients.other.address: and password_file go together" in server("clients").err
    (folder / "secret").write_text('a "secret"\n')
    with server.config.open("a") as file:
        file.write(f'password_file = "{folder}/secret"\n')
    server.site(1, "example.com")
    files = server.json("clients", "--configure", NAME)["files"]
    (host,) = (Path(path) for path in files if path.endswith("-host.conf"))
    assert host.stat().st_mode & 0o777 == 0o640
    assert fleet.bacula.tested("director") == ""
    assert "Address=third.example FDport=9102" in fleet.bacula.say("show client=third-fd")
    assert "no client 'vault'" in server("clients", "--configure", "vault").err


def test_servers_share_a_director_and_nothing_else(fleet: Fleet) -> None:
    points = [server.backup("site1", "--client", NAME) for server in fleet.servers]
    for server, point, client in zip(fleet.servers, points, ("host-fd", "second-fd"), strict=True):
        assert [each["id"] for each in server.json("points", "--client", NAME)] == [point["id"]]
        out = server.folder / "out"
        server.json("restore", "site1", "/file", "--point", point["id"], "--client", NAME, "--to", out)
        assert (out / "data/file").read_text() == client
        server.json("prune", "--client", NAME)
    assert fleet.servers[0].json("check", "--client", NAME)["objects"] == 1


def test_the_job_of_the_directors_calendar_becomes_points(fleet: Fleet) -> None:
    """Exports first, then all accounts and what belongs to none, without the data of database servers."""
    server = fleet.servers[0]
    server.json("clients", "--configure", NAME)
    told = fleet.bacula.say("run job=nightly-host-fd level=Full yes", "wait", "list joblog jobid=99")
    assert "Job queued" in told
    log = fleet.bacula.say('.sql query="SELECT LogText FROM Log"')
    assert "backup_dbs" in log
    (job,) = [line for line in fleet.bacula.say("list jobs").splitlines() if "nightly-host-fd" in line]
    assert job.split("|")[8].strip() in ("T", "W")
    point = server.json("points", "site1", "--client", NAME)[-1]
    assert (point["run"].partition(".")[0], point["status"]) == ("nightly-host-fd", "incomplete")
    names = {entry["path"] for entry in server.json("ls", point["id"], "-R")}
    assert "/file" in names and "/var/lib" in names
    assert not any("ibdata1" in name for name in names)
    files = fleet.bacula.say(f"list files jobid={job.split('|')[1].strip()}")
    assert "/var/log/mailer_table.sql" in files
    assert "/info/current/siteinfo" in files


@pytest.mark.parametrize(
    ("full", "differential", "expected"),
    [
        (
            "first sunday",
            "sunday",
            {"Full": ["1st sun"], "Differential": ["2nd,3rd,4th,5th sun"], "Incremental": ["mon,tue,wed,thu,fri,sat"]},
        ),
        (
            "first sunday",
            "never",
            {"Full": ["1st sun"], "Incremental": ["mon,tue,wed,thu,fri,sat", "2nd,3rd,4th,5th sun"]},
        ),
        ("saturday", "wednesday", {"Full": ["sat"], "Differential": ["wed"], "Incremental": ["mon,tue,thu,fri,sun"]}),
        ("daily", "sunday", {"Full": ["mon-sun"]}),
    ],
)
def test_each_day_is_of_one_level(full: str, differential: str, expected: dict[str, list[str]]) -> None:
    found: dict[str, list[str]] = {}
    for level, when in runs(Days.parse(full), Days.parse(differential)):
        found.setdefault(level, []).append(when)
    assert found == expected
