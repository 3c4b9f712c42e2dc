"""The real program with the real vault, as processes: what only shows from outside."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ground import CONFIGURATION
from tests.panel.servers import site


class Server:
    """A server of two accounts with a vault, and the program run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = site(folder / "root", 1, "example.com") / "shadow/var/www/index.php"
        site(folder / "root", 2, "example.org")
        self.page.parent.mkdir(parents=True)
        self.page.write_bytes(b"<?php")
        (folder / "config.toml").write_text(CONFIGURATION.format(folder=folder))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "strongroom", "--config", str(self.folder / "config.toml"), *arguments]

    def json(self, *arguments: str) -> Any:
        done = subprocess.run(self.command("--json", *arguments), capture_output=True, stdin=subprocess.DEVNULL)
        assert done.stderr == b""
        return json.loads(done.stdout)

    def on_a_terminal(self, answer: str, *arguments: str) -> tuple[int, str]:
        """Run a command on a terminal where somebody types an answer."""
        ours, theirs = pty.openpty()
        running = subprocess.Popen(self.command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, answer.encode() + b"\n")
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # a terminal whose other side is closed
        os.close(ours)
        return running.wait(30), shown.decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = Server(tmp_path_factory.mktemp("server"))
    assert server.json("init")["created"] is True
    assert server.json("backup")["status"] == "complete"
    return server


def test_a_destroyed_account_comes_back_when_somebody_says_yes(server: Server) -> None:
    shutil.rmtree(server.folder / "root/home/virtual/site1")
    status, shown = server.on_a_terminal("n", "restore", "example.com")
    assert status == 2
    assert "to write" in shown and "you said no" in shown
    assert not server.page.exists()
    status, shown = server.on_a_terminal("y", "restore", "example.com")
    assert status == 0, shown
    assert server.page.read_bytes() == b"<?php"


def test_the_state_folder_may_vanish_and_the_catalog_comes_back_as_it_was(server: Server) -> None:
    before = server.json("points")
    shutil.rmtree(server.folder / "state")
    assert server.json("points") == before


def test_a_vault_is_read_where_the_account_does_not_exist(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path)
    shutil.copytree(server.folder / "vault", tmp_path / "vault")
    shutil.copy(server.folder / "passphrase", tmp_path / "passphrase")
    shutil.rmtree(tmp_path / "root")
    assert other.json("restore", "example.com", "--to", str(tmp_path / "here"))["status"] == "complete"
    assert (tmp_path / "here/data/var/www/index.php").read_bytes() == b"<?php"


def test_of_two_backups_of_one_account_at_once_one_waits(server: Server) -> None:
    both = [
        subprocess.Popen(server.command("--json", "backup", "site2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ends = [running.communicate(timeout=120) for running in both]
    assert [running.returncode for running in both] == [0, 0], ends
    ids = {json.loads(out)["points"][0]["id"] for out, _ in ends}
    assert len(ids) == 2


INTERRUPTED = b"strongroom: interrupted; what was finished stays\n"
STOPPED = b"strongroom: stopped; what was finished stays\n"


@pytest.mark.parametrize(("sent", "ends"), [(signal.SIGINT, (130, INTERRUPTED)), (signal.SIGTERM, (143, STOPPED))])
def test_a_backup_that_is_stopped_ends_in_order_and_stops_no_later_one(
    server: Server, sent: signal.Signals, ends: tuple[int, bytes]
) -> None:
    big = server.folder / "root/home/virtual/site2/shadow/big"
    with big.open("wb") as file:
        file.truncate(1 << 20)
        file.write(os.urandom(64 << 20))
    running = subprocess.Popen(
        server.command("backup", "site2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    making = server.folder / "vault/tmp"
    while running.poll() is None and not (making.exists() and list(making.glob("sessions+*"))):
        time.sleep(0.01)
    os.kill(running.pid, sent)
    _, err = running.communicate(timeout=120)
    big.unlink()
    if running.returncode != 0:  # on a quick machine it may have been done
        assert (running.returncode, err) == ends
    assert not list((server.folder / "vault/sessions").iterdir())
    assert server.json("backup", "site2")["status"] == "complete"


def test_a_wrong_passphrase_and_an_absent_vault_are_one_line(server: Server) -> None:
    secret = server.folder / "passphrase"
    right = secret.read_bytes()
    secret.write_bytes(b"wrong\n")
    try:
        for command in (("backup", "site1"), ("restore", "site1", "--yes"), ("check",)):
            assert server.json(*command)["error"]["code"] == "client"
    finally:
        secret.write_bytes(right)
    vault = server.folder / "vault"
    vault.rename(server.folder / "away")
    try:
        for command in (("points",), ("backup",), ("check",)):
            assert server.json(*command)["error"]["code"] == "client"
        assert not vault.exists()
    finally:
        (server.folder / "away").rename(vault)


def test_settings_come_back_from_the_servers_point_when_the_state_folder_is_lost(tmp_path: Path) -> None:
    server = Server(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace(f"{tmp_path}/state", f"{tmp_path}/root/var/lib/strongroom"))
    server.json("init")
    name = "backups.automatic-database-exports"
    server.json("scope", "set", name, "false")
    (point,) = server.json("backup", "server")["points"]
    assert point["status"] == "complete"
    shutil.rmtree(tmp_path / "root/var/lib/strongroom")
    assert server.json("scope", "get", name)["value"] is True
    held = [entry["path"] for entry in server.json("ls", point["id"], "/var/lib/strongroom", "-R")]
    assert held == ["/var/lib/strongroom/settings", "/var/lib/strongroom/settings/scopes.json"]
    server.json("restore", "server", "/var/lib/strongroom/settings", "--yes")
    assert server.json("scope", "get", name)["value"] is False
