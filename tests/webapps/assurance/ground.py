"""WordPress, really served, with assurance on; and what an update leaves of its tree and its database."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strongroom.demo.process import ServerProcess
from strongroom.webapps.assurance.look import Task
from strongroom.webapps.assurance.probe import look
from strongroom.webapps.assurance.serving import free_port
from strongroom.webapps.states import States
from tests.webapps.ground import DATABASE, PRESS, PRESS_UID, Apps, Press, press_site
from tests.webapps.keeping import Keeping

# What its makers say of 6.1.9, and what an update to another version is.
VERSION = "6.1.9"
# No busy machine is as slow as a page that fails here; the one that has to be slow has less patience.
PATIENCE = 90
MORE = f"""
[webapps]
pages = 3
page_seconds = {PATIENCE}
slow_seconds = {PATIENCE}
settle_seconds = 0
browser = "never"
"""
_XATTRS = ("system.posix_acl_access", "system.posix_acl_default")

_TRANSIENT = re.compile(r"INSERT INTO `wp_options` VALUES \(\d+,'_(?:site_)?transient_")

Tree = dict[str, tuple[Any, ...]]


class Assured:
    """One account with WordPress at ``url``, snapshots and assurance on."""

    def __init__(self, server: Apps, press: Press, url: str) -> None:
        self.server, self.press, self.url = server, press, url
        self.docroot = server.docroot(1)

    def update(self, *words: str | Path, status: int) -> dict[str, Any]:
        """Update it; returns the program's document."""
        document: dict[str, Any] = self.server.json("apps", "update", PRESS, "--url", self.url, *words, status=status)
        return document

    def by(self, script: str, status: int) -> dict[str, Any]:
        """Update it by what a script of the shell does in its folder."""
        return self.update("--", "sh", "-ec", script, status=status)

    def tree(self) -> Tree:
        """Everything in its folder but the repository: type, mode, owners, content, ACLs."""
        return tree(self.docroot)

    def database(self) -> str:
        """Its whole database as text."""
        return dumped(self.press, DATABASE)

    @contextmanager
    def patience(self, seconds: int) -> Iterator[None]:
        """Wait so long for a page meanwhile."""
        text = self.server.config.read_text()
        self.server.config.write_text(text.replace(f"page_seconds = {PATIENCE}", f"page_seconds = {seconds}"))
        yield
        self.server.config.write_text(text)

    def reset(self) -> None:
        """Let a failed app be tried again."""
        keeping = Keeping(self.server, PRESS)
        States(keeping.config.server.state).change(keeping.app, failed="")


def tree(root: Path) -> Tree:
    found: Tree = {}
    for above, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*folders, *files):
            path = os.path.join(above, name)
            found[os.path.relpath(path, root)] = _what(path)
    found["."] = _what(str(root))
    return found


def _what(path: str) -> tuple[Any, ...]:
    status = os.lstat(path)
    content = ""
    if os.path.islink(path):
        content = os.readlink(path)
    elif os.path.isfile(path):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    acls = [name for name in _XATTRS if name in os.listxattr(path, follow_symlinks=False)]
    values = tuple(os.getxattr(path, name, follow_symlinks=False) for name in acls)
    return status.st_mode, status.st_uid, status.st_gid, content, tuple(acls), values


def dumped(press: Press, database: str) -> str:
    """A database as text, without what whoever looks at WordPress changes: how far tables have counted, and transients."""
    dump = ["mariadb-dump", "--no-defaults", f"--socket={press.mariadb.socket}"]
    dump += ["--skip-extended-insert", "--order-by-primary", "--skip-comments", database]
    text = subprocess.run(dump, check=True, capture_output=True, text=True, errors="replace").stdout
    lines = [line for line in text.splitlines() if not _TRANSIENT.match(line)]
    return re.sub(r" AUTO_INCREMENT=\d+", "", "\n".join(lines))


@contextmanager
def serving(docroot: Path, port: int, log: Path, uid: int = PRESS_UID) -> Iterator[None]:
    """PHP's own server, as the owner, where an account's web server would be."""
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig=KILL"]
    # Its cache would show old files for two seconds, which is what settle_seconds is for.
    settings = ["-d", "sendmail_path=/bin/false", "-d", "opcache.enable=0"]
    command = ["setpriv", *ids, "php", *settings, "-S", f"127.0.0.1:{port}", "-t", str(docroot)]
    environment = {"PATH": os.environ["PATH"], "PHP_CLI_SERVER_WORKERS": "4"}
    log.touch()
    process = ServerProcess(command, log, lambda: _listens(port), environment=environment)
    try:
        yield
    finally:
        # Its workers are of its group, and would go on.
        os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def assured(server: Apps, press: Press) -> Iterator[Assured]:
    """WordPress in site1, served at the address that it knows itself by."""
    port = free_port()
    url = f"http://localhost:{port}/"
    docroot = press_site(server, press)
    # The account's domain is one that leads here: only then is the app believed what it says of its address.
    facts = server.data(1).parent / "info/current/siteinfo"
    facts.write_text(facts.read_text().replace("shop.example", "localhost"))
    config = docroot / "wp-config.php"
    config.write_text(config.read_text().replace("http://www.shop.example", url.rstrip("/")))
    assert server("init").status == 0
    keeping = Keeping(server, PRESS)
    keeping.snapshots.enable(keeping.app)
    with serving(docroot, port, server.folder / "php.log"):
        # What WordPress notes down when it is first looked at is there from the beginning.
        for _ in range(2):
            look(Task(url=url, uid=PRESS_UID, gid=PRESS_UID, login=("wp-login.php",), page_seconds=60))
        yield Assured(server, press, url)


def core(press: Press, folder: Path, version: str = "6.1.10", upgrade: str = "") -> Path:
    """A new core: Debian's with another version, whose upgrade of the database runs some PHP more."""
    subprocess.run(["cp", "-a", "--", press.files / "var/www/html", folder], check=True)
    for name in ("wp-config.php", "wp-content"):
        subprocess.run(["rm", "-r", "--", folder / name], check=True)
    subprocess.run(["find", folder, "-type", "l", "-delete"], check=True)  # Debian's own, into other packages
    facts = folder / "wp-includes/version.php"
    text = facts.read_text().replace(f"'{VERSION}'", f"'{version}'")
    facts.write_text(re.sub(r"(\$wp_db_version = )(\d+)", lambda found: f"{found[1]}{int(found[2]) + 1}", text))
    schema = folder / "wp-admin/includes/upgrade.php"
    begins = "function upgrade_all() {"
    text = schema.read_text()
    assert begins in text and version in facts.read_text()
    schema.write_text(text.replace(begins, f"{begins}\n\tglobal $wpdb;\n{upgrade}\n"))
    return folder


def plugin(folder: Path, body: str = "", version: str = "1.0") -> Path:
    """A plugin that does what its body says."""
    folder.mkdir(parents=True)
    head = f"<?php\n/*\nPlugin Name: {folder.name}\nVersion: {version}\n*/\n"
    (folder / f"{folder.name}.php").write_text(head + body)
    return folder
