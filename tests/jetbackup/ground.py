"""A real small server with both kinds of databases, and PHP that runs the installed classes as JetBackup would."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.panel.servers import site, write
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.whole.ground import CONFIGURATION, Server

CHECKOUT = os.environ.get("STRONGROOM_JETBACKUP_CONTRACT", "")
HARNESS = Path(__file__).with_name("harness.php")
DATABASES = """
[databases.mysql]
socket = "{mysql}"
[databases.postgresql]
host = "{postgresql}"
"""
HASH = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


class Refused(Exception):
    """What PHP code threw: its class, and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind, self.message = kind, message


class Ground(Server):
    """site1 has a database on each server, an addon domain, and users on two hosts; site2 has nothing but files."""

    def __init__(self, folder: Path, mariadb: MariaDB, postgresql: PostgreSQL, *, prefix: str) -> None:
        self.prefix = prefix
        self.mariadb, self.postgresql = mariadb, postgresql
        tables = DATABASES.format(mysql=mariadb.socket, postgresql=postgresql.sockets)
        super().__init__(folder, CONFIGURATION + tables)
        self.one = site(self.root, 1, "example.com", "addon.example", uid=10000)
        self.two = site(self.root, 2, "example.org", uid=20000)
        information = (
            "[DEFAULT]\ndomain = example.com\nadmin_user = 'admin'\nemail = 'me@example.com'\nplan = 'basic'\n"
        )
        write(self.one / "info/current/siteinfo", information)
        write(self.one / "info/work/work/kernel", "the kernel's")
        for number, begins in ((1, self.prefix), (2, f"{self.prefix}two_")):
            for service in ("mysql", "pgsql"):
                written = f"[DEFAULT]\nenabled = 1\ndbaseprefix = {begins}\ndbaseadmin = None\n"
                write(self.root / f"home/virtual/site{number}/info/current/{service}", written)
        os.chmod(self.one / "shadow", 0o751)
        shop, web = f"{prefix.replace('_', chr(92) + '_')}shop", f"{prefix}web"
        mariadb.run(
            f"CREATE DATABASE {prefix}shop",
            f"CREATE DATABASE {prefix}two_other",
            f"CREATE USER '{web}'@'localhost' IDENTIFIED BY PASSWORD '{HASH}'",
            f"CREATE USER '{web}'@'10.%' IDENTIFIED BY PASSWORD '{HASH}'",
            f"GRANT SELECT, INSERT ON `{shop}`.* TO '{web}'@'localhost' WITH GRANT OPTION",
            f"GRANT ALL ON `{shop}`.* TO '{web}'@'10.%'",
        )
        postgresql.run(
            f"CREATE ROLE {prefix}app LOGIN PASSWORD 'secret'", f"CREATE DATABASE {prefix}blog OWNER {prefix}app"
        )
        self.jetbackup = folder / "jetbackup"
        (self.jetbackup / "usr/local/jetapps/var/lib/jetbackup5").mkdir(parents=True)
        self.installed = self.json("jetbackup", "install", "--root", self.jetbackup)

    def drop(self) -> None:
        own = self.prefix
        self.mariadb.run(
            *(f"DROP DATABASE IF EXISTS {own}{name}" for name in ("shop", "two_other", "new")),
            f"DROP USER IF EXISTS '{own}web'@'localhost', '{own}web'@'10.%', '{own}new'@'localhost'",
        )
        self.postgresql.run(
            *(f"DROP DATABASE IF EXISTS {own}{name}" for name in ("blog", "new")),
            *(f"DROP ROLE IF EXISTS {own}{name}" for name in ("app", "new")),
        )

    def php(self, code: str) -> Any:
        """What PHP code returns, run with the classes; ``$panel`` is the panel, ``$log`` its log. Raise Refused."""
        begin = "$panel = new JetBackup\\Panel\\Panel(); $log = new JetBackup\\Core\\Panel\\Log(); $panel->setLogger($log);\n"
        done = subprocess.run(
            ["php", "-n", HARNESS, self.jetbackup, CHECKOUT],
            input=(begin + code).encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, b""), (done.stdout[-2000:], done.stderr[-2000:])
        report = json.loads(done.stdout)
        assert report["printed"] == ""
        if "thrown" in report:
            raise Refused(report["thrown"], report["message"])
        return _plain(report["value"])


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return base64.b64decode(value["base64"]).decode("utf-8", "surrogateescape")
        return {key: _plain(each) for key, each in value.items()}
    return value
