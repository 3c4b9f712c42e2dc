"""An app below another one's folder is none of the other's: not kept with it, not put back with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.panel.servers import write
from tests.webapps.ground import SMALL, Apps, own
from tests.webapps.keeping import Keeping

BLOG = f"{SMALL}/blog"


def blog(server: Apps) -> Path:
    folder = server.docroot(3) / "blog"
    write(folder / ".webapp.yml", "name: Blog\nversion: '1'\n")
    write(folder / "index.php", "one")
    own(folder)
    return folder


@pytest.fixture
def outer(small: Apps) -> Keeping:
    return Keeping(small, SMALL)


def test_a_rollback_leaves_it_and_its_snapshots_alone(small: Apps, outer: Keeping) -> None:
    folder, inner = blog(small), Keeping(small, BLOG)
    inner.snapshots.enable(inner.app)
    first = outer.snapshots.enable(outer.app)
    assert not any(b"blog" in path.encode() for path in outer.git("ls-files").splitlines())
    (folder / "index.php").write_text("two")
    second = inner.snapshots.take(inner.app, "second")
    (outer.folder / "index.php").write_text("broken")
    assert [change.path for change in outer.snapshots.diff(outer.app, first.id)] == [b"index.php"]
    outer.snapshots.rollback(outer.app)
    assert (outer.folder / "index.php").read_text() == "<?php echo 'one';"
    assert (folder / "index.php").read_text() == "two"
    assert inner.snapshots.list(inner.app)[0].id == second.id


def test_one_that_came_since_stays_where_it_has_snapshots_of_its_own(small: Apps, outer: Keeping) -> None:
    outer.snapshots.enable(outer.app)
    folder, inner = blog(small), Keeping(small, BLOG)
    inner.snapshots.enable(inner.app)
    assert outer.snapshots.rollback(outer.app).files.deleted == 0
    assert (folder / "index.php").read_text() == "one"
    assert inner.app.snapshots


def test_one_that_only_came_since_goes_and_is_kept(small: Apps, outer: Keeping) -> None:
    outer.snapshots.enable(outer.app)
    folder = blog(small)
    back = outer.snapshots.rollback(outer.app)
    assert not folder.exists()
    assert back.before is not None
    outer.snapshots.rollback(outer.app, back.before)
    assert (folder / "index.php").read_text() == "one"
