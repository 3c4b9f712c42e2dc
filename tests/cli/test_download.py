from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.cli.ground import Ground
from tests.fakes import file, tree
from tests.panel.servers import write


@pytest.fixture
def point(strongroom: Ground) -> str:
    return strongroom.client.add("site1", tree(file(b"data/www/index.php", b"old"), file(b"info/current/siteinfo"))).id


def test_a_point_becomes_an_archive_that_only_its_owner_reads(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "site1.tar"
    document = strongroom.json("download", "site1", "--point", point, "-o", str(target))
    assert set(document) >= {"path", "bytes", "entries"}
    assert (document["path"], document["bytes"]) == (str(target), target.stat().st_size)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as archive:
        assert {"www/index.php", "info/current/siteinfo"} <= set(archive.getnames())


def test_the_live_data_are_taken_when_no_point_is_named(strongroom: Ground) -> None:
    page = strongroom.folder / "root/home/virtual/site1/shadow/www/index.php"
    page.parent.mkdir()
    page.write_bytes(b"new")
    target = strongroom.folder / "www.zip"
    strongroom.json("download", "site1", "/www", "-o", str(target))
    with zipfile.ZipFile(target) as archive:
        assert archive.read("www/index.php") == b"new"


def test_json_and_standard_output_contradict_each_other(strongroom: Ground) -> None:
    assert strongroom.json("download", "site1", "-o", "-", status=2)["error"]["code"] == "usage"


def test_an_unknown_path_leaves_no_file(strongroom: Ground, point: str) -> None:
    target = strongroom.folder / "x.tar"
    for arguments in (("--point", point), ()):
        answer = strongroom("download", "site1", "/nothing", "-o", str(target), *arguments)
        assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert not list(strongroom.folder.glob("x.tar*"))


def test_it_streams_to_standard_output(strongroom: Ground, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "strongroom", "--config", str(strongroom.config), "download", "site2", "-o", "-"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "site2.tar").write_bytes(done.stdout)
    with tarfile.open(tmp_path / "site2.tar") as archive:
        assert "etc/passwd" in archive.getnames()


def test_an_archive_that_nobody_reads_to_its_end_is_not_done(strongroom: Ground) -> None:
    site = strongroom.folder / "root/home/virtual/site2/shadow"
    (site / "large").write_bytes(os.urandom(1 << 20))
    program = f"{sys.executable} -m strongroom --config {strongroom.config} download site2 -o -"
    script = f"set -o pipefail; {program} | head -c 5"
    done = subprocess.run(["bash", "-c", script], capture_output=True)
    assert (done.returncode, len(done.stdout), done.stderr.count(b"\n")) == (2, 5, 1)
    assert b"closed before the archive was whole" in done.stderr


def test_of_the_server_only_what_is_backed_up_is_in_an_archive(strongroom: Ground) -> None:
    root = strongroom.folder / "root"
    write(root / "var/log/mailer_table", b"rows")
    write(root / "var/log/secure", b"of nobody's business")
    target = strongroom.folder / "server.tar"
    assert strongroom.json("download", "server", "-o", str(target))["status"] == "complete"
    with tarfile.open(target) as archive:
        assert archive.getnames() == ["var", "var/log", "var/log/mailer_table"]
    for path in ("/home/virtual/site1", "/var/log/secure"):
        error = strongroom.json("download", "server", path, "-o", str(target), status=2)["error"]
        assert error["code"] == "unknown" and "left out" in error["message"]


def test_a_path_that_is_left_out_of_backups_is_told_so(strongroom: Ground) -> None:
    write(strongroom.folder / "root/home/virtual/site1/shadow/var/lib/mysql/shop/rows", b"rows")
    for path in ("/var/lib/mysql", "/var/lib/mysql/shop/rows"):
        answer = strongroom("download", "site1", path, "-o", str(strongroom.folder / "x.tar"))
        assert answer.status == 2 and f"'{path}' of site1 is left out" in answer.err


def test_a_path_that_is_not_there_is_named_as_its_owner_writes_it(strongroom: Ground) -> None:
    answer = strongroom("download", "site1", "/nothing", "-o", str(strongroom.folder / "x.tar"))
    assert answer.err == "strongroom: no '/nothing' in what site1 has now; look for it on the server\n"


def test_a_pipe_is_written_to_and_not_replaced(strongroom: Ground) -> None:
    pipe = strongroom.folder / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert strongroom("download", "site2", "-o", str(pipe)).status == 0
        assert reader.stdout is not None and b"etc/passwd" in reader.stdout.read()
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_is_neither_followed_nor_replaced(strongroom: Ground) -> None:
    link = strongroom.folder / "link.tar"
    link.symlink_to(strongroom.folder / "elsewhere")
    assert strongroom.json("download", "site2", "-o", str(link), status=2)["error"]["code"] == "usage"
    assert link.is_symlink() and not link.exists()


@pytest.mark.parametrize("name", ["site2.tar.gz", "site2.tgz", "site2.TAR.XZ"])
def test_a_name_that_promises_another_format_is_refused(strongroom: Ground, name: str) -> None:
    assert (
        strongroom.json("download", "site2", "-o", str(strongroom.folder / name), status=2)["error"]["code"] == "usage"
    )
    assert strongroom("download", "site2", "--format", "tar", "-o", str(strongroom.folder / name)).status == 0


def test_a_folder_that_is_missing_is_told_by_the_name_that_was_given(strongroom: Ground) -> None:
    target = strongroom.folder / "missing" / "site2.tar"
    said = strongroom("download", "site2", "-o", str(target)).err
    assert said == f"strongroom: {target}: No such file or directory; check the path\n"


def test_a_full_disk_is_told_with_the_name_of_the_file(strongroom: Ground) -> None:
    full = strongroom.folder / "full"
    os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    answer = strongroom("download", "site2", "-o", str(full))
    assert answer.err == f"strongroom: {full}: No space left on device; make room there\n"
    assert stat.S_ISCHR(full.stat().st_mode)
