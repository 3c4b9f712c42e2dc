"""A server with real web apps in its accounts: WordPress on MariaDB in site1, DokuWiki without a database in site2."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from strongroom.cli.main import main
from strongroom.demo import wordpress
from strongroom.demo.ground import Ground
from strongroom.demo.shop import POST, TEXT, TITLE
from tests.panel.servers import write
from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.webapps import packages
from tests.whole.ground import CONFIGURATION, Done, Server

MYSQL = """
[databases.mysql]
socket = "{socket}"
"""
PRESS, WIKI = "site1:/var/www/html", "site2:/var/www/html"
SMALL = "site3:/var/www/html"
PRESS_UID, WIKI_UID, SMALL_UID, APACHE = 10010, 10020, 10030, 48
DATABASE = wordpress.DATABASE
SMALL_DATABASE = "small_shop"
_INSTALLER = Path(wordpress.__file__).with_name("shop.php")
_PHP = ("php", "-d", "sendmail_path=/bin/false", "-d", "display_errors=stderr")


class Press:
    """WordPress as installed once: its files, and its database as SQL text, to be copied for each test."""

    def __init__(self, folder: Path, mariadb: MariaDB) -> None:
        self.mariadb = mariadb
        self.files = folder / "press"
        ground = Ground(os.fsencode(self.files), PRESS_UID, PRESS_UID, "press")
        wordpress.build(ground, packages.app("wordpress"), mariadb.socket)
        user = f"{DATABASE}@localhost"
        mariadb.run(f"CREATE USER {user} IDENTIFIED BY '{wordpress.PASSWORD}'", f"GRANT ALL ON {DATABASE}.* TO {user}")
        self._create()
        docroot = self.files / os.fsdecode(wordpress.DOCROOT)
        subprocess.run([*_PHP, _INSTALLER, docroot, TITLE, POST, TEXT], check=True, stdout=subprocess.DEVNULL)
        dump = ["mariadb-dump", "--no-defaults", f"--socket={mariadb.socket}", "--skip-extended-insert", DATABASE]
        self.sql = subprocess.run(dump, check=True, capture_output=True).stdout

    def install(self, data: Path) -> None:
        """Put a copy of it into an account's data, and its database on the server."""
        subprocess.run(["cp", "-a", "--", *sorted(self.files.iterdir()), data], check=True)
        self._create()
        load = ["mariadb", "--no-defaults", f"--socket={self.mariadb.socket}", DATABASE]
        subprocess.run(load, check=True, input=self.sql)

    def remove(self) -> None:
        """Take the database off the server."""
        self.mariadb.run(f"DROP DATABASE IF EXISTS {DATABASE}")

    def _create(self) -> None:
        self.remove()
        self.mariadb.run(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")


class Apps(Server):
    """The program's server, with accounts that hold apps; ``data(1)`` is where those of site1 lie."""

    def __init__(self, folder: Path, mariadb: MariaDB | None = None, more: str = "") -> None:
        super().__init__(folder, CONFIGURATION + (MYSQL.format(socket=mariadb.socket) if mariadb else "") + more)

    def __call__(self, *arguments: str | bytes | Path, timeout: float = 120) -> Done:
        """Run the program in this process, which begins sooner."""
        given = ["--config", str(self.config), *map(os.fsdecode, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(given)
        return Done(status, out.getvalue().encode("utf-8", "surrogateescape"), err.getvalue())

    def data(self, number: int) -> Path:
        """The data of an account."""
        return self.root / f"home/virtual/site{number}/shadow"

    def docroot(self, number: int) -> Path:
        """The document root of an account's own domain."""
        return self.data(number) / "var/www/html"


def press_site(server: Apps, press: Press) -> Path:
    """site1, ``www.shop.example``, with WordPress and its database; returns WordPress's folder."""
    data = server.site(1, "shop.example", uid=PRESS_UID)
    mysql = "[DEFAULT]\nenabled = 1\ndbaseprefix = shopkeeper_\ndbaseadmin = None\n"
    write(data.parent / "info/current/mysql", mysql)
    press.install(data)
    return server.docroot(1)


def wiki_site(server: Apps) -> Path:
    """site2, ``wiki.example``, with DokuWiki and two pages in it; returns DokuWiki's folder."""
    data = server.site(2, "wiki.example", uid=WIKI_UID)
    docroot = server.docroot(2)
    unpacked = Path(os.fsdecode(packages.app("dokuwiki")))
    docroot.parent.mkdir(parents=True)
    # Debian's package has DokuWiki in three places; unpacked by hand it is one folder.
    shutil.copytree(
        unpacked / "usr/share/dokuwiki",
        docroot,
        symlinks=False,
        ignore=shutil.ignore_patterns(".htaccess"),
        ignore_dangling_symlinks=True,
    )
    for name in ("plugins", "tpl"):
        shutil.copytree(
            unpacked / "var/lib/dokuwiki/lib" / name,
            docroot / "lib" / name,
            dirs_exist_ok=True,
            ignore_dangling_symlinks=True,
        )
    shutil.copytree(unpacked / "var/lib/dokuwiki/data", docroot / "data", ignore_dangling_symlinks=True)
    shutil.copytree(unpacked / "etc/dokuwiki", docroot / "conf", ignore_dangling_symlinks=True)
    write(docroot / "conf/local.php", "<?php\n$conf['title'] = 'The Wiki';\n$conf['useacl'] = 0;\n")
    for name in ("start", "bread"):
        write(docroot / f"data/pages/{name}.txt", f"====== {name} ======\nBaked today.\n")
    subprocess.run(["chown", "-R", f"{WIKI_UID}:{WIKI_UID}", "--", data / "var"], check=True)
    return docroot


def small_site(server: Apps, database: str = "") -> Path:
    """site3, ``small.example``, with an app of a few files; with a MySQL database where one is named. Returns its folder."""
    data = server.site(3, "small.example", uid=SMALL_UID)
    docroot = server.docroot(3)
    manifest = "name: Small\nversion: '1'\ncaches: [/cache/*]\nuploads: [/uploads/]\n"
    if database:
        manifest += f"database: {{type: mysql, db: {database}, host: localhost}}\n"
        settings = "[DEFAULT]\nenabled = 1\ndbaseprefix = small_\ndbaseadmin = None\n"
        write(data.parent / "info/current/mysql", settings)
    files = {
        ".webapp.yml": manifest,
        "index.php": "<?php echo 'one';",
        "lib/a.php": "<?php // a",
        "lib/b.php": "<?php // b",
        "lib/deep/c.php": "<?php // c",
        "cache/page.html": "cached",
        "uploads/photo.jpg": "a photo",
    }
    for name, text in files.items():
        write(docroot / name, text)
    (docroot / "empty").mkdir()
    (docroot / "link").symlink_to("lib/a.php")
    own(data / "var")
    return docroot


def own(path: Path) -> None:
    """Give site3's owner what stands there."""
    subprocess.run(["chown", "-hR", f"{SMALL_UID}:{SMALL_UID}", "--", path], check=True)


@contextmanager
def folder_of_apps(mariadb: MariaDB | None = None, more: str = "") -> Iterator[Apps]:
    """A server without accounts, in a folder that other users can enter; ``more`` is more of its configuration."""
    with server_folder() as folder:
        yield Apps(folder, mariadb, more)
