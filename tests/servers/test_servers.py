"""The servers that tests stand on are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as found:
        yield found


def test_a_mariadb_starts_answers_and_stops(folder: Path) -> None:
    server = MariaDB(folder)
    try:
        assert server.rows("SELECT @@log_bin, @@datadir") == [(1, f"{server.data}/")]
    finally:
        server.stop()
    assert not server.socket.exists()


def test_a_postgresql_starts_answers_and_stops(folder: Path) -> None:
    server = PostgreSQL(folder)
    try:
        assert server.rows("SELECT current_user, current_setting('data_directory')") == [("postgres", str(server.data))]
    finally:
        server.stop()
    assert not list(server.sockets.iterdir())
