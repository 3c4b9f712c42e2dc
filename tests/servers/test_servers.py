"""The servers that tests stand on are what they say."""

from __future__ import annotations

from pathlib import Path

from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL


def test_a_mariadb_starts_answers_and_stops(tmp_path: Path) -> None:
    server = MariaDB(tmp_path)
    try:
        assert server.rows("SELECT @@log_bin, @@datadir") == [(1, f"{server.data}/")]
    finally:
        server.stop()
    assert not server.socket.exists()


def test_a_postgresql_starts_answers_and_stops(tmp_path: Path) -> None:
    server = PostgreSQL(tmp_path)
    try:
        assert server.rows("SELECT current_user, current_setting('data_directory')") == [("postgres", str(server.data))]
    finally:
        server.stop()
    assert not list(server.sockets.iterdir())
