"""Repositories on another host, reached by ssh: a real server, on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.kit import NAME, Driver, Kit, repository
from tests.fidelity.compare import compare
from tests.servers.folder import server_folder
from tests.servers.sshd import HOST, SshServer


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """The other host."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    server = SshServer(folder)
    monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
    yield server
    server.stop()


@pytest.mark.parametrize(("driver", "scheme"), [("restic", f"sftp:{HOST}:"), ("borg", f"ssh://{HOST}")])
def test_a_repository_on_another_host(tmp_path: Path, far: SshServer, driver: str, scheme: str) -> None:
    with server_folder() as memory:
        kit = Kit(tmp_path, Driver(driver, ("full", "incremental"), repository(driver, scheme)), memory=memory).vouch()
        (kit.data / "file").write_bytes(b"first\n")
        kit.backup()
        (kit.data / "file").write_bytes(b"second\n")
        point = kit.backup()
        assert (point["level"], point["status"]) == ("incremental", "complete")
        assert point["stored_bytes"] > 0
        assert compare(os.fsencode(kit.data), os.fsencode(kit.restored(point["id"]))) == []
        assert kit.json("clients")[1]["remote"] is True
        assert kit.json("check", "--client", NAME)["status"] == "clean"
        far.stop()
        words = ("restore", "site1", "--point", point["id"], "--client", NAME, "--to", tmp_path / "never")
        assert "reach" in (told := kit.refused(*words)) or "unable to open repository" in told
        assert not (tmp_path / "never").exists()
        assert [each["id"] for each in kit.json("points", "site1", "--limit", "1")] == [point["id"]]
