"""A whole backup and restore as JetBackup is thought to do them, with this panel's classes: out, destroyed, back, compared.

What copies stands in for JetBackup: rsync that keeps no ACLs, attributes or devices, and the server's own dump tool through the
credentials that the panel gives.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from strongroom.clients import sidecar
from strongroom.config import load
from strongroom.jetbackup import attributes
from strongroom.model import Account
from strongroom.panel import load_layout
from tests.fidelity.compare import compare
from tests.jetbackup.ground import Ground, Refused
from tests.panel.servers import write

OWNER = 10000


@pytest.fixture
def furnished(ground: Ground) -> Ground:
    """site1 with what an account has: a site, ACLs of a fortified one, an overlay's marks, a database with rows."""
    data = ground.one / "shadow"
    write(data / "var/www/html/index.php", "<?php")
    uploads = data / "var/www/html/wp-content/uploads"
    write(uploads / "2026/picture.jpg", b"\xff\xd8")
    write(data / "var/lib/mysql/own_shop/db.opt", "not to be copied")
    write(data / "etc/hidden/kept", "x")
    subprocess.run(["setfacl", "-R", "-m", "u:48:rwx,d:u:48:rwx", uploads], check=False)
    subprocess.run(["setfacl", "-m", "u:48:rw", data / "var/www/html/index.php"], check=True)
    os.setxattr(uploads, "user.kept", b"v\xff")
    os.setxattr(data / "etc/hidden", "trusted.overlay.opaque", b"y")
    os.mknod(data / "etc/gone.conf", stat.S_IFCHR, os.makedev(0, 0))
    for path in (uploads, uploads / "2026", uploads / "2026/picture.jpg"):
        os.chown(path, OWNER, OWNER)
    ground.mariadb.run(
        "CREATE TABLE posts (id INT PRIMARY KEY, title TEXT)", "INSERT INTO posts VALUES (1, 'ä')", database="own_shop"
    )
    return ground


class Store:
    """What JetBackup would have in its storage of one account."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        home, excludes, mode, databases, door, users, config = ground.php(
            "$a = $panel->getAccount('site1');"
            "return [$a->getHomeDir(), $a->getHomeDirExcludeList(), $a->getHomeDirPermissions(), $a->getDatabases(1),"
            "$panel->getDatabaseAuth(1), $a->getDatabaseUsers(1), $a->getPanelConfig()->getPath()];"
        )
        self.mode, self.databases, self.users = mode, [each["getName"] for each in databases], users
        self.server = [f"--socket={door['getSocket']}", f"--user={door['getUsername']}"]
        options = ["--no-devices", "--no-specials", *(f"--exclude={each}" for each in excludes)]
        subprocess.run(["rsync", "-a", *options, f"{home}/", folder / "homedir"], check=True)
        subprocess.run(["cp", "-r", config, folder / "config"], check=True)
        for name in self.databases:
            with (folder / name).open("wb") as dump:
                subprocess.run(["mariadb-dump", "--no-defaults", *self.server, name], stdout=dump, check=True)

    def restore(self, ground: Ground) -> list[str]:
        """Everything back, the way the types of the contract force; returns what the log says."""
        added = "".join(f"$a->addDatabase(new ForeignDatabase('{name}', 1));" for name in self.databases)
        home = ground.php(f"$a = $panel->getAccount('site1'); $a->preRestore(); {added} return $a->getHomeDir();")
        subprocess.run(["rsync", "-a", f"{self.folder}/homedir/", home], check=True)
        os.chmod(home, self.mode)
        for name in self.databases:
            with (self.folder / name).open("rb") as dump:
                subprocess.run(["mariadb", "--no-defaults", *self.server, name], stdin=dump, check=True)
        added = "".join(f"$a->addDatabaseUser({self._user(user)});" for user in self.users)
        return self.finish(ground, added)

    def finish(self, ground: Ground, before: str = "") -> list[str]:
        """What the panel does after a restore, and what the log says of it."""
        config = f"new CameBack({_php(str(self.folder / 'config'))})"
        code = f"$a = $panel->getAccount('site1'); {before} $a->postRestore(new Restored({config})); return $log->messages;"
        return list(ground.php(code))

    def _user(self, user: dict[str, Any]) -> str:
        said = ", ".join((_php(user["getName"]), _php(user["getPassword"]), "1", self._privileges(user)))
        return f"new ForeignUser({said}, 'Strongroom_Accounts', {_php(user['getCustomData'])})"

    def _privileges(self, user: dict[str, Any]) -> str:
        each = (
            f"new ForeignPrivileges({_php(one['getDatabaseName'])}, {_php(one['getGrants'])})"
            for one in user["getPrivileges"]
        )
        return f"[{', '.join(each)}]"


def _php(value: Any) -> str:
    return f"json_decode(base64_decode('{base64.b64encode(json.dumps(value).encode()).decode()}'), true)"


def state(ground: Ground) -> list[tuple[object, ...]]:
    return [
        *ground.mariadb.rows("SELECT * FROM posts", database="own_shop"),
        *ground.mariadb.rows("SHOW GRANTS FOR 'own_web'@'localhost'"),
        *ground.mariadb.rows("SHOW GRANTS FOR 'own_web'@'10.%'"),
    ]


def test_a_destroyed_account_is_what_it_was(furnished: Ground, tmp_path: Path) -> None:
    data = furnished.one / "shadow"
    before = tmp_path / "before"
    subprocess.run(["cp", "-a", data, before], check=True)
    rows = state(furnished)
    store = Store(furnished, tmp_path / "store")
    for path in data.iterdir():
        shutil.rmtree(path)
    furnished.mariadb.run("DROP DATABASE own_shop", "DROP USER 'own_web'@'localhost', 'own_web'@'10.%'")
    said = store.restore(furnished)
    assert any("ACLs and other attributes of 6 files were put back" in line for line in said), said
    shutil.rmtree(before / "var/lib/mysql")
    shutil.rmtree(data / "var/lib/mysql", ignore_errors=True)
    differences = compare(os.fsencode(before), os.fsencode(data))
    # Of the folder that held what is left out the time is another one, in both.
    assert [line for line in differences if not line.startswith("var/lib: mtime")] == []
    assert state(furnished) == rows
    # A second time changes nothing.
    assert any("attributes of 0 files" in line for line in store.finish(furnished))


def test_a_list_that_somebody_changed_gives_no_rights(furnished: Ground, tmp_path: Path) -> None:
    """Rows for a capability, a file of another's, a link's target, a place outside: none of them has any effect."""
    store = Store(furnished, tmp_path / "store")
    data = furnished.one / "shadow"
    secret = tmp_path / "secret"
    secret.write_text("x")
    (data / "alink").symlink_to(secret)
    os.link(secret, data / "linked")
    planted = ((b"security.capability", b"\1\0\0\2" + bytes(16)), (b"user.planted", b"1"))
    rows = [
        sidecar.Row(path=path, kind=kind, xattrs=planted, rdev=(0, 0))
        for path, kind in (
            (b"data/../../escape", "char"),
            (b"data/alink", "file"),
            (b"data/etc/passwd", "file"),
            (b"data/linked", "file"),
        )
    ]
    sidecar.write(os.fsencode(store.folder / "config/attributes"), rows)
    with pytest.raises(Refused, match="cannot be the name of a file"):
        store.finish(furnished)
    assert os.listxattr(secret) == []
    assert os.listxattr(data / "etc/passwd") == ["user.planted"]
    assert not (furnished.one / "escape").exists()
    assert not (furnished.root / "home/virtual/escape").exists()


def test_of_an_account_with_other_ids_no_acl_is_put_back(furnished: Ground, tmp_path: Path) -> None:
    store = Store(furnished, tmp_path / "store")
    passwd = furnished.one / "shadow/etc/passwd"
    passwd.write_text(passwd.read_text().replace("10000", "12345"))
    assert any("other ids" in line for line in store.finish(furnished))


def test_what_is_not_there_any_more_is_passed_over(furnished: Ground, tmp_path: Path) -> None:
    account = furnished_account(furnished)
    path = os.fsencode(tmp_path / "attributes")
    attributes.keep(account, path)
    (furnished.one / "shadow/etc/gone.conf").unlink()
    shutil.rmtree(furnished.one / "shadow/var")
    work = attributes.PutBack(account, sidecar.Sidecar(path))
    work.run()
    assert (work.count, work.remarks) == (1, [])
    assert stat.S_ISCHR((furnished.one / "shadow/etc/gone.conf").lstat().st_mode)


def furnished_account(ground: Ground) -> Account:
    return load_layout(load(str(ground.config))).account("site1")
