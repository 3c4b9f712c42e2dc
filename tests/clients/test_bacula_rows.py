"""What is read of Bacula without a Bacula: its digits, its paths, and what it overlooks."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from strongroom.clients.bacula import catalog_rows
from strongroom.clients.bacula.tool import BaculaTool
from strongroom.clients.overlooked import Overlooked
from strongroom.clients.places import Place, Places
from strongroom.clients.sidecar import Row, Sidecar, write
from strongroom.config import Bacula, Config, Server


@pytest.mark.parametrize(("word", "value"), [("A", 0), ("B", 1), ("BAA", 4096), ("BrBy7N", 1795632845), ("-B", -1)])
def test_numbers_are_of_64_digits(word: str, value: int) -> None:
    assert catalog_rows.number(word) == value


def test_a_stat_of_the_catalog_is_a_row() -> None:
    digest = base64.b64encode(hashlib.md5(b"hi\n").digest()).decode().rstrip("=")
    row = catalog_rows.row(b"data/f", "P4A VQsQ IGk B PoA PoB A D BAA I BrBy7N BrBy7N BrBy7N A A C", digest, 7, 3)
    assert (row.kind, row.mode, row.uid, row.gid, row.size) == ("file", 0o644, 64000, 64001, 3)
    assert (row.mtime, row.links, row.place) == ((1795632845, 0), 1, 3)
    assert catalog_rows.is_content(row.digest, [b"h", b"i\n"])
    assert not catalog_rows.is_content(row.digest, [b"ha\n"])


def test_what_has_no_digest_is_like_nothing_else() -> None:
    stat = "P4A VQsQ IGk B A A A D BAA I BrBy7N BrBy7N BrBy7N A A C"
    one, two = (catalog_rows.row(b"data/f", stat, "0", number, 3) for number in (7, 8))
    assert one.digest != two.digest
    assert catalog_rows.is_content(one.digest, [b"anything"])


@pytest.mark.parametrize("above", ["/srv/host/home/virtual", "/host/home/virtual", "/virtual", ""])
def test_accounts_are_found_below_stripped_folders(above: str) -> None:
    places = Places(Config(path=b"/c", server=Server(root=b"/srv/host")))
    assert places.of(f"{above}/site12/shadow/") == Place("site12", "data", f"{above}/site12/shadow")
    assert places.of(f"{above}/site12/info/") == Place("site12", "info", f"{above}/site12/info")
    for path in (f"{above}/site12/fst/", f"{above}/site12/shadow/home/site3/info/", f"/else{above}/site12/info/"):
        assert places.of(path) is None


def test_folders_of_a_plain_layout_are_accounts() -> None:
    places = Places(Config(path=b"/c", server=Server(layout="plain", root=b"/", accounts=(b"/srv/*/www-[ab]*",))))
    assert places.condition.startswith("(Path.Path LIKE '/srv/%/www-_%/' AND ")
    assert places.condition.endswith("=4)")
    assert places.of("/srv/x/www-abc/") == Place("www-abc", "data", "/srv/x/www-abc")
    assert places.of("/srv/x/www-abc/below/") is None
    assert places.of("/srv/x/y/www-abc/") is None
    assert places.of("/srv/x/www-c/") is None


def test_what_bacula_takes_for_unchanged_is_carried(tmp_path: Path) -> None:
    """The same size and the same seconds, and another content; and what we carried before."""
    before = [
        Row(path=b"data/carried", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"c", place=4),
        Row(path=b"data/changed", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"a"),
        Row(path=b"data/later", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"a"),
        Row(path=b"data/same", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"a"),
    ]
    write(os.fsencode(tmp_path / "sidecar"), before)
    settings = Bacula(
        driver="bacula", console=b"/c", include=b"/i", client="host-fd", storage="File", pool="Strongroom"
    )
    overlooked = Overlooked(BaculaTool(settings, "fleet", b"/state"), Sidecar(os.fsencode(tmp_path / "sidecar")), 0.0)
    now = {
        b"data/carried": Row(path=b"data/carried", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"c"),
        b"data/changed": Row(path=b"data/changed", kind="file", mtime=(5, 9), ctime=(6, 9), size=3, digest=b"b"),
        b"data/later": Row(path=b"data/later", kind="file", mtime=(5, 1), ctime=(7, 0), size=3, digest=b"b"),
        b"data/new": Row(path=b"data/new", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"b"),
        b"data/same": Row(path=b"data/same", kind="file", mtime=(5, 1), ctime=(6, 1), size=3, digest=b"a"),
    }
    assert [path for path, row in now.items() if overlooked.has(row)] == [b"data/carried", b"data/changed"]
