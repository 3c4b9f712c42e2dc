"""The shop while it lives: its database in a MariaDB of the demo's own, its pages over loopback, and what proves them."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
from pathlib import Path

import pymysql

from strongroom.demo import wordpress
from strongroom.demo.mariadb import MariaDB
from strongroom.demo.process import ServerProcess
from strongroom.errors import SourceError

HOST = "www.shop.example"
TITLE, POST = "The Shop", "Tulips have come in"
TEXT, TEXT_LATER = "A hundred of them, red and yellow.", "Sold out by noon; more on Thursday."
_INSTALLER = Path(__file__).with_name("shop.php")
_PHP = ("php", "-d", "sendmail_path=/bin/false", "-d", "display_errors=stderr")
_LONGEST_PAGE = 10 << 20
# A socket's path may have so many bytes.
_LONGEST_SOCKET = 107

# What is proven of each table and user: rows by checksum and number, and the definition.
Facts = dict[str, str]


class Shop:
    """An account's WordPress, with the server of its database in ``folder``; `close` ends what runs."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs before `open`."""
        self._folder = folder
        self._server: MariaDB | None = None

    @property
    def socket(self) -> Path:
        """The database server's socket."""
        return self._folder / "mysqld.sock"

    @property
    def server(self) -> MariaDB:
        """The database server. Raise SourceError before `open`."""
        if self._server is None:
            raise SourceError("the demo's MariaDB does not run")
        return self._server

    def open(self, docroot: bytes) -> int:
        """Start the server and install WordPress there, with one post; returns the number of its tables.

        Raise SourceError where a program is missing or fails.
        """
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise SourceError(f"{self.socket} is too long for a socket; name a shorter folder with --folder")
        self._folder.mkdir()
        self._server = MariaDB(self._folder)
        name, user = wordpress.DATABASE, f"{wordpress.DATABASE}@localhost"
        self._server.run(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
            f"CREATE USER {user} IDENTIFIED BY '{wordpress.PASSWORD}'",
            f"GRANT ALL ON {name}.* TO {user}",
        )
        arguments = [*_PHP, os.fspath(_INSTALLER), os.fsdecode(docroot), TITLE, POST, TEXT]
        try:
            done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        except FileNotFoundError:
            raise SourceError("php is not on this machine; install Debian's php-cli and php-mysql") from None
        if done.returncode or not done.stdout.strip().isdigit():
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
            raise SourceError(f"WordPress could not be installed: {said[-1][:300]}")
        return len(self._tables())

    def close(self) -> None:
        """End the server; harmless where none runs."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def page(self, docroot: bytes) -> bytes:
        """The shop's front page, as PHP's own web server gives it. Raise SourceError when it does not answer with it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        command = [*_PHP, "-S", f"127.0.0.1:{port}", "-t", os.fsdecode(docroot)]
        web = ServerProcess(command, self._folder / "web.log", lambda: _listens(port))
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/", headers={"Host": HOST})
            answer = connection.getresponse()
            page = answer.read(_LONGEST_PAGE)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"it does not answer: {error}") from error
        finally:
            web.stop()
        if answer.status != 200:
            raise SourceError(f"it answers with status {answer.status}")
        return page

    def edit(self) -> None:
        """Change the post, as its author would."""
        query = "UPDATE wp_posts SET post_content = %s WHERE post_title = %s"
        self.server.rows(query, TEXT_LATER, POST, database=wordpress.DATABASE)

    def plant(self) -> None:
        """Change one letter of one row: the smallest difference there is."""
        query = "UPDATE wp_posts SET post_title = UPPER(post_title) WHERE post_title = %s"
        self.server.rows(query, POST, database=wordpress.DATABASE)

    def destroy(self) -> None:
        """Drop the database, and its user."""
        self.server.run(f"DROP DATABASE {wordpress.DATABASE}", f"DROP USER {wordpress.DATABASE}@localhost")

    def facts(self) -> Facts:
        """What there is of the database now; nothing where it is gone."""
        server, found = self.server, {}
        try:
            for table in self._tables():
                ((_, checksum),) = server.rows(f"CHECKSUM TABLE `{table}`", database=wordpress.DATABASE)
                ((count,),) = server.rows(f"SELECT COUNT(*) FROM `{table}`", database=wordpress.DATABASE)  # noqa: S608
                ((_, made),) = server.rows(f"SHOW CREATE TABLE `{table}`", database=wordpress.DATABASE)
                definition = hashlib.sha256(made.encode()).hexdigest()[:12]
                found[table] = f"{count} rows, checksum {checksum}, definition {definition}"
            for what in ("CREATE USER", "GRANTS FOR"):
                said = server.rows(f"SHOW {what} {wordpress.DATABASE}@localhost")
                found[f"SHOW {what}"] = "; ".join(sorted(line for (line,) in said))
        except pymysql.MySQLError as error:
            found["the database"] = str(error)
        return found

    def _tables(self) -> list[str]:
        return sorted(name for (name,) in self.server.rows("SHOW TABLES", database=wordpress.DATABASE))


def differences(before: Facts, after: Facts) -> list[str]:
    """What is not as it was, a line for each table."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            lines.append(f"{name}: missing")
        elif before.get(name) != after[name]:
            lines.append(f"{name}: {before.get(name, 'not there')}, then {after[name]}")
    return lines


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
