"""A snapshot holds files, attributes and database of one moment, and a rollback puts all of it back exactly."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from strongroom.errors import SnapshotError, UnknownError
from strongroom.model import Status
from tests.servers.folder import server_folder
from tests.webapps.ground import APACHE, DATABASE, PRESS, PRESS_UID, WIKI, WIKI_UID, Apps, Press
from tests.webapps.keeping import Keeping, content


def git(folder: Path, *arguments: str, uid: int) -> str:
    """git as the owner runs it in the app's folder."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, user=uid, group=uid, extra_groups=[], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def elsewhere() -> object:
    with server_folder() as folder:
        yield folder


def test_wordpress_is_put_back_exactly(shop: Apps, press: Press, elsewhere: Path) -> None:
    keeping = Keeping(shop, PRESS)
    folder = keeping.folder
    os.chmod(folder / "wp-content/themes", 0o2775)
    (folder / "wp-content/empty").mkdir(mode=0o711)
    subprocess.run(["setfacl", "-m", f"u:{APACHE}:rwX,d:u:{APACHE}:rwX", folder / "wp-content/empty"], check=True)
    os.setxattr(folder / "index.php", "user.note", b"kept")
    os.link(folder / "index.php", folder / "index2.php")
    mtime = folder.stat().st_mtime_ns
    first = keeping.snapshots.enable(keeping.app)
    assert folder.stat().st_mtime_ns == mtime
    assert (first.label, first.databases, first.warnings, first.sealed) == ("Initial install", (f"mysql:{DATABASE}",), (), True)
    assert first.gap_seconds >= 0 and first.files > 2000
    before, rows = keeping.copy(elsewhere / "before"), content(press.mariadb)

    (folder / "wp-login.php").write_text("<?php // hacked")
    (folder / "wp-content/new-plugin").mkdir()
    (folder / "wp-content/new-plugin/a.php").write_text("<?php")
    shutil.rmtree(folder / "wp-admin")
    (folder / "wp-content/empty").rmdir()
    os.chmod(folder / "wp-config.php", 0o666)
    os.chown(folder / "index.php", APACHE, APACHE)
    subprocess.run(["setfacl", "-b", folder / "wp-content/uploads"], check=True)
    upload = next((folder / "wp-content/uploads").rglob("*.jpg"))
    os.chmod(upload, 0o600)
    (folder / "wp-includes/version.php").unlink()
    (folder / "wp-includes/version.php").symlink_to("/etc/passwd")
    press.mariadb.run("DROP TABLE wp_posts", "UPDATE wp_options SET option_value = 'x'", database=DATABASE)

    (folder / "wp-content/uploads/later.jpg").write_bytes(b"later")
    (folder / "wp-content/cache/later.html").write_bytes(b"later")
    back = keeping.snapshots.rollback(broken(keeping))
    assert (back.status, back.snapshot, back.databases) == (Status.COMPLETE, first.id, (f"mysql:{DATABASE}",))
    for name in ("wp-content/uploads/later.jpg", "wp-content/cache/later.html"):
        assert (folder / name).read_bytes() == b"later"
        (folder / name).unlink()
    touched = ("wp-content/uploads", "wp-content/cache")
    for name in touched:
        os.utime(folder / name, ns=((before / name).stat().st_atime_ns, (before / name).stat().st_mtime_ns))
    assert keeping.differs(before) == []
    assert content(press.mariadb) == rows

    # The rollback can be taken back: what it replaced is a snapshot of its own.
    assert [each.id for each in keeping.snapshots.list(keeping.app)] == [back.before, first.id]
    again = keeping.snapshots.rollback(keeping.app, back.before)
    assert again.status is Status.COMPLETE
    assert (folder / "wp-login.php").read_text() == "<?php // hacked"
    assert not (folder / "wp-admin").exists()
    assert "wp_posts" not in content(press.mariadb)


def broken(keeping: Keeping) -> object:
    """The app as it was known: its marks may be gone by now."""
    return keeping.__dict__.setdefault("known", None) or keeping.app
