"""A MariaDB of its own: data, socket and binary log in one folder, nothing of the machine's configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pymysql

from strongroom.demo.process import ServerProcess
from strongroom.errors import SourceError

# What makes it start and write fast; its data need to outlive nothing.
FAST = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=48M",
    "--innodb-doublewrite=0",
    "--sync-binlog=0",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=8M",
    "--max-connections=40",
    "--performance-schema=0",
    "--debug-no-sync",
)


class MariaDB:
    """Root comes in by socket and without a password, as on Debian."""

    def __init__(self, folder: Path, *options: str, binlog: bool = True) -> None:
        """Make it in a folder, and start it. Raise SourceError where it is not installed, or does not start."""
        self.folder = folder
        # Not /tmp: a server that starts takes away what others have there for tables they need for a moment.
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        common = ("--user=root", f"--tmpdir={temporary}", *FAST)
        self.data, self.socket = folder / "data", folder / "mysqld.sock"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}"]
        install += ["--auth-root-authentication-method=socket", "--auth-root-socket-user=root", "--skip-test-db"]
        try:
            done = subprocess.run([*install, *common], capture_output=True, text=True, errors="replace")
        except FileNotFoundError:
            raise SourceError("mariadb-install-db is not on this machine; install Debian's mariadb-server") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise SourceError(f"mariadb-install-db failed: {said[-1] if said else done.returncode}")
        log = ("--log-bin=server", "--server-id=7") if binlog else ()
        self._command = ["mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}"]
        self._command += ["--skip-networking", *common, *log, *options]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = ServerProcess(self._command, self.folder / "log", self._answers)

    def stop(self) -> None:
        """End it in order."""
        self.process.stop()

    def connect(self, database: str | None = None, user: str = "root", password: str = "") -> Any:
        """A connection that commits each statement."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=user,
            password=password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as root, one after the other."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, query: str, *values: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """What a query gives root."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True
