"""Passwords reach the servers' programs, and nobody who looks at them finds any."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.errors import ExportError
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Status
from tests.exports.taken import take
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

PASSWORD = "pass \"word\\:#;'é"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Arguments and environment of every program that is started: what everybody, or its user, can read of a process.

    They are taken as the program gets them: a dump this small has often ended before anybody could look at it in /proc.
    """
    found: list[bytes] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, command: Sequence[str], **options: Any) -> None:
            environment: dict[str, str] = options["env"]
            found.append("\0".join(command).encode())
            found.append("\0".join(f"{name}={value}" for name, value in environment.items()).encode())
            super().__init__(command, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    yield found
    assert any(b"dump" in shown for shown in found) or not found
    assert not [shown for shown in found if b"pass" in shown.replace(b"--no-password", b"").replace(b"passfile", b"")]


def test_mariadb_is_reached_with_a_password(mariadb: MariaDB, password_file: Path, seen: list[bytes]) -> None:
    mariadb.run("CREATE DATABASE sec", "CREATE TABLE sec.t (x INT)")
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER backup@localhost IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute("GRANT ALL ON *.* TO backup@localhost WITH GRANT OPTION")
    try:
        settings = msgspec.structs.replace(mariadb.settings, user="backup", password_file=bytes(password_file))
        assert take(MysqlServer(settings).export("sec")).copy.status is Status.COMPLETE
        assert len(seen) == 2
        defaults = password_file.with_name("my.cnf")
        escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        defaults.write_text(f'[client]\nuser=backup\npassword="{escaped}"\nsocket={mariadb.socket}\n')
        defaults.chmod(0o600)
        settings = msgspec.structs.replace(mariadb.settings, defaults_file=bytes(defaults), socket=None)
        assert take(MysqlServer(settings).export("sec")).copy.status is Status.COMPLETE
        password_file.write_text("wrong\n")
        settings = msgspec.structs.replace(mariadb.settings, user="backup", password_file=bytes(password_file))
        with pytest.raises(ExportError, match="cannot be reached: Access denied for user 'backup'@'localhost'"):
            take(MysqlServer(settings).export("sec"))
    finally:
        mariadb.run("DROP DATABASE sec", "DROP USER backup@localhost")


def test_postgresql_is_reached_with_a_password(postgresql: PostgreSQL, password_file: Path, seen: list[bytes]) -> None:
    with postgresql.connect() as connection:
        from psycopg.sql import SQL, Literal

        connection.execute(SQL("CREATE ROLE backup LOGIN SUPERUSER PASSWORD {}").format(Literal(PASSWORD)))
    postgresql.run("CREATE DATABASE sec", "CREATE TABLE t (x int)")
    try:
        settings = msgspec.structs.replace(postgresql.settings, user="backup", password_file=bytes(password_file))
        assert take(PostgresqlServer(settings).export("sec")).copy.status is Status.COMPLETE
        assert len(seen) == 6
        password_file.write_text("wrong\n")
        with pytest.raises(ExportError, match="password authentication failed"):
            take(PostgresqlServer(settings).export("sec"))
    finally:
        postgresql.run("DROP DATABASE sec", "DROP TABLE t", "DROP ROLE backup")


def test_a_password_file_that_is_not_there_is_one_line(mariadb: MariaDB) -> None:
    settings = msgspec.structs.replace(mariadb.settings, password_file=b"/nowhere/password")
    with pytest.raises(ExportError, match="/nowhere/password: No such file or directory; the password"):
        take(MysqlServer(settings).export("sec"))
