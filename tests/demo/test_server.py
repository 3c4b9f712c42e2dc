"""The demo's server has the layout and the odd things it promises, and changes as a night changes it."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.demo import churn, inode_flags, pictures, proof, server, wordpress
from strongroom.demo.ground import Ground
from strongroom.demo.information import php
from strongroom.demo.packages import unpacked
from strongroom.demo.server import Server
from strongroom.errors import SourceError
from tests.demo import packages


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    made = server.build(os.fsencode(folder / "root"), packages.make(folder / "unpacked"), folder / "mysqld.sock")
    yield made
    inode_flags.release(made.root)
    shutil.rmtree(os.fsencode(folder))


def test_it_has_five_accounts_with_data_metadata_and_links_to_the_mount(built: Server) -> None:
    assert [tenant.name for tenant in built.tenants] == ["site1", "site2", "site3", "site4", "site5"]
    for tenant in built.tenants:
        assert os.path.isdir(built.data(tenant))
        assert (Path(os.fsdecode(built.info(tenant))) / "current/siteinfo").read_text().startswith("[DEFAULT]\n")
        for name in (tenant.domain, f"admin{tenant.number}"):
            assert os.readlink(built.root + b"/home/virtual/" + name.encode()) == tenant.name.encode() + b"/fst"


def test_only_the_suspended_account_is_suspended(built: Server) -> None:
    suspended = [tenant.name for tenant in built.tenants if os.path.exists(built.info(tenant) + b"/disabled")]
    assert suspended == ["site5"]


def test_the_server_has_its_own_tables_and_settings(built: Server) -> None:
    root = Path(os.fsdecode(built.root))
    assert (root / "var/log/mailer_table").read_bytes() == gzip.decompress(
        (root / "var/log/mailer_table-20251031.gz").read_bytes()
    )
    for name in (
        "var/lib/mysql/mysql-grants",
        "var/lib/pgsql/15/backups/globals.sql",
        "root/apnscp-vars.yml",
        "usr/local/apnscp/config/custom/config.ini",
    ):
        assert (root / name).stat().st_size


def test_wordpress_has_its_links_dereferenced_or_dangling(built: Server) -> None:
    html = Path(os.fsdecode(built.data(built.tenants[0]))) / "var/www/html"
    assert (html / "wp-includes/ID3/getid3.php").read_text() == "<?php // getid3\n"
    assert not (html / "wp-includes/ID3/getid3.php").is_symlink()
    assert os.readlink(html / "wp-includes/ca-bundle.crt") == "/etc/ssl/certs/not-in-a-package.crt"
    assert "DB_NAME" in (html / "wp-config.php").read_text()


def test_uploads_have_acls_for_the_web_server_and_the_owner_by_number(built: Server) -> None:
    uploads = built.data(built.tenants[0]) + b"/" + wordpress.DOCROOT + b"/wp-content/uploads"
    shown = subprocess.run(["getfacl", "-n", "-p", uploads], capture_output=True, text=True, check=True).stdout
    uid = built.tenants[0].uid
    for line in ("user:48:rwx", f"user:{uid}:rwx", "default:user:48:rwx", f"default:user:{uid}:rwx"):
        assert line in shown.splitlines()
    assert os.stat(uploads + b"/2025/catalogue.pdf").st_uid == 48


def test_mail_has_proper_maildir_names(built: Server) -> None:
    mailbox = Path(os.fsdecode(built.data(built.tenants[2]))) / "home/junior/Mail"
    seen = list((mailbox / "cur").iterdir())
    assert len(seen) > 300
    for path in seen:
        assert f",S={path.stat().st_size}," in path.name
        assert ":2," in path.name
    assert list((mailbox / ".Sent/cur").iterdir())


def test_the_museum_holds_odd_things(built: Server) -> None:
    odd = built.data(built.tenants[3]) + b"/home/curator/odd"
    manifest = proof.take(odd)
    kinds = {record.type for record in manifest.records.values()}
    assert kinds >= {"file", "dir", "symlink", "fifo"}
    if "device nodes" not in built.skipped:
        assert kinds >= {"char", "block"}
        assert os.stat(odd + b"/specials/whiteout").st_rdev == 0
    assert max(map(len, manifest.records)) > 6000
    assert manifest.records[b"sparse/only-hole"].data == ()
    assert len(manifest.records[b"sparse/alternating"].data) == 4
    assert len(manifest.records[b"hard/file"].links) == 3
    assert any(record.mode & 0o4000 for record in manifest.records.values())
    assert any(record.mtime < 0 for record in manifest.records.values())


def test_pictures_are_real(built: Server) -> None:
    source = Ground(built.root, 0, 0, "pictures").random
    picture, photo = pictures.png(source, 40, 30), pictures.jpeg(source, 41, 30)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert photo.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF\0")
    assert photo.endswith(b"\xff\xd9")
    scan = photo.split(b"\xff\xda", 1)[1][10:-2]
    assert b"\xff" not in scan.replace(b"\xff\x00", b"")


def test_php_values_are_written_as_php_writes_them() -> None:
    assert php({"a": True, "b": {"é": 5}}) == b'a:2:{s:1:"a";b:1;s:1:"b";a:1:{s:2:"\xc3\xa9";i:5;}}'


def test_a_night_changes_one_percent_in_every_way(built: Server) -> None:
    before = [proof.take(built.data(tenant)) for tenant in built.tenants]
    changed = churn.change(built)
    found = [
        line
        for tenant, old in zip(built.tenants, before, strict=True)
        for line in proof.differences(old, proof.take(built.data(tenant)))
    ]
    files = sum(len(manifest.records) for manifest in before)
    assert 0.005 * files < changed.total < 0.02 * files
    paths = {line.split(": ")[0] for line in found if ": sha256:" in line}
    times = {line.split(": ")[0] for line in found if ": mtime:" in line or ": size:" in line}
    assert len(paths - times) == changed.behind > 0
    assert sum(line.endswith(": missing") for line in found) == changed.deleted + changed.renamed
    assert sum(line.endswith(": was not there before") for line in found) == changed.added + changed.renamed
    assert any("wp-config.php: sha256" in line for line in found)
    assert any(": links:" in line for line in found)
    assert any(": type: file, then symlink" in line for line in found)
    assert stat.S_IMODE(os.stat(built.data(built.tenants[3]) + b"/home/curator/odd/many/000").st_mode) == 0o600


def test_packages_that_cannot_be_unpacked_are_one_line_with_advice(tmp_path: Path) -> None:
    (tmp_path / "wordpress_1_all.deb").write_bytes(b"cut short")
    with pytest.raises(SourceError, match=r"^dpkg-deb failed: .*check the network and apt's sources") as caught:
        unpacked(tmp_path, ("wordpress",))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / ".ready").exists()
