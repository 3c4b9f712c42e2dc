"""A PostgreSQL of its own: cluster and socket in one folder; it runs as postgres, since it refuses to run as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from strongroom.config import Postgresql
from strongroom.demo.process import ServerProcess

USER = "postgres"
PORT = 5432
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "40",
    "autovacuum": "off",
    "logging_collector": "off",
}


def programs() -> Path:
    """The folder of the newest PostgreSQL that is installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class PostgreSQL:
    """Users of the system come in by socket under their own name, as on Debian."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.sockets = folder / "data", folder / "run"
        for made in (self.data, self.sockets):
            made.mkdir()
            shutil.chown(made, USER, USER)
        self._as_postgres(
            ["initdb", "-D", str(self.data), "--auth-local=peer", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
        )
        (self.data / "pg_hba.conf").write_text("local all postgres peer\nlocal all all scram-sha-256\n")
        self.start()

    def start(self) -> None:
        settings: list[str | Path] = [f"-c{name}={value}" for name, value in FAST.items()]
        command: list[str | Path] = [
            programs() / "postgres",
            "-D",
            self.data,
            "-k",
            self.sockets,
            "-p",
            str(PORT),
            *settings,
        ]
        self.process = ServerProcess(command, self.folder / "log", self._answers, user=USER)

    def stop(self) -> None:
        self.process.stop(signal.SIGINT)

    @property
    def settings(self) -> Postgresql:
        return Postgresql(host=str(self.sockets), port=PORT, user=USER)

    def connect(self, database: str = "postgres", user: str = USER, password: str = "") -> psycopg.Connection[Any]:
        """A connection as a user of the server; postgres itself is known by who asks."""
        from strongroom.exports.system_user import acting_as

        with acting_as(USER if user == USER else None):
            return psycopg.connect(
                host=str(self.sockets), port=PORT, user=user, password=password, dbname=database, autocommit=True
            )

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as postgres, one after the other."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str, values: Sequence[object] = (), database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def _as_postgres(self, command: list[str]) -> None:
        subprocess.run(
            [programs() / command[0], *command[1:]],
            check=True,
            capture_output=True,
            user=USER,
            group=USER,
            extra_groups=[],
            cwd="/",
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
