from __future__ import annotations

import io
import os
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import UnknownError
from strongroom.model import Entry, FileCounts, Point, Status
from strongroom.restores.download import ArchiveFormat, DownloadRequest, DownloadResult, download
from tests.fakes import Notes
from tests.restores.backup import Memory, picture, xattrs_of
from tests.restores.conftest import OWNER, Server


class Pipe:
    """A stream that can neither tell nor seek."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self.parts.append(bytes(data))
        return len(data)

    @property
    def content(self) -> bytes:
        return b"".join(self.parts)


@pytest.fixture
def odd(server: Server) -> Server:
    here = server.shadow
    server.write(b"var/www/index.php", b"<?php\n")
    server.write(b"var/www/empty", b"")
    server.write(b"n" * 200 + b"/" + b"long" * 60, b"long path")
    server.write(b"\xff\xfe\n", b"odd name")
    server.write("größe".encode(), os.urandom(6_000_001))
    with open(server.write(b"sparse"), "r+b") as file:
        file.truncate(0)
        file.seek(1 << 20)
        file.write(b"middle" * 2000)
        file.seek(9 << 20)
        file.write(b"end")
    with open(server.write(b"all-hole", b""), "r+b") as file:
        file.truncate(5_000_001)
    os.symlink(b"/etc/shadow", here + b"/link")
    os.chown(here + b"/link", OWNER, OWNER, follow_symlinks=False)
    os.mkfifo(here + b"/pipe")
    os.mknod(here + b"/whiteout", stat.S_IFCHR, os.makedev(0, 0))
    server.write(b"one", b"shared")
    os.link(here + b"/one", here + b"/two")
    os.link(here + b"/one", here + b"/var/three")
    os.setxattr(here + b"/one", "user.binary", b"\0\xff=\n")
    subprocess.run(["setfacl", "-m", "u:48:rwx,d:u:48:rwx", here + b"/var/www"], check=True)
    os.utime(here + b"/one", ns=(0, -5_000_000_001))
    os.utime(here + b"/var/www", ns=(0, 2**33 * 10**9 + 123_456_789))
    for link in (b"/link", b"/pipe", b"/whiteout"):
        os.utime(here + link, ns=(1, 1_600_000_000_000_000_001), follow_symlinks=False)
    return server


def fetch(server: Server, client: Memory | None, kind: ArchiveFormat, *paths: bytes) -> tuple[bytes, DownloadResult]:
    out = Pipe()
    request = DownloadRequest(
        paths=paths or (b"data",), format=kind, point=client.point() if client else None, account=server.account
    )
    watching = Notes()
    result = download(request, client, out, watching)
    assert watching.calls > 0
    assert result.bytes == len(out.content)
    return out.content, result


def unpacked(content: bytes, place: Path, *options: str) -> bytes:
    place.mkdir()
    tar = ["tar", "-x", "-p", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*", *options, "-C", str(place)]
    subprocess.run(tar, input=content, check=True, stderr=subprocess.PIPE)
    return os.fsencode(place)


@pytest.mark.parametrize("of_point", [True, False])
def test_gnu_tar_unpacks_everything_that_was_there(odd: Server, tmp_path: Path, of_point: bool) -> None:
    before = picture(odd.shadow)
    client = Memory(piece=700_000).snapshot(b"data", odd.shadow) if of_point else None
    content, result = fetch(odd, client, ArchiveFormat.TAR)
    assert (result.status, result.warnings) == (Status.COMPLETE, ())
    assert result.entries == len(before) - 1
    assert len(content) < 7_000_000
    after = picture(unpacked(content, tmp_path / "out"))
    before.pop(b".")
    after.pop(b".")
    assert after == before


def test_a_compressed_archive_holds_the_same(odd: Server, tmp_path: Path) -> None:
    client = Memory().snapshot(b"data", odd.shadow)
    plain, _ = fetch(odd, client, ArchiveFormat.TAR)
    packed, _ = fetch(odd, client, ArchiveFormat.TAR_ZST)
    from backports import zstd

    assert zstd.decompress(packed) == plain


def test_a_zip_holds_content_links_and_modes_and_says_what_it_does_not(odd: Server) -> None:
    client = Memory(piece=700_000).snapshot(b"data", odd.shadow)
    content, result = fetch(odd, client, ArchiveFormat.ZIP)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("größe") == (Path(os.fsdecode(odd.shadow)) / "größe").read_bytes()
        assert [archive.read(name) for name in ("one", "two", "var/three")] == [b"shared"] * 3
        assert archive.read("link") == b"/etc/shadow"
        assert stat.S_ISLNK(archive.getinfo("link").external_attr >> 16)
        assert archive.getinfo("var/www/").is_dir()
        assert "\\xff\\xfe\n" in archive.namelist()
    assert result.status is Status.INCOMPLETE
    assert {remark.path for remark in result.warnings} == {b"", b"data/pipe", b"data/whiteout", b"data/\xff\xfe\n"}


def test_paths_are_named_as_the_owner_sees_them(odd: Server, tmp_path: Path) -> None:
    os.makedirs(odd.info + b"/current")
    client = Memory().snapshot(b"data", odd.shadow).snapshot(b"info", odd.info)
    content, _ = fetch(odd, client, ArchiveFormat.TAR, b"data/var/www", b"info")
    names = subprocess.run(["tar", "-t"], input=content, capture_output=True, check=True).stdout.split()
    assert sorted(names) == [b"info/", b"info/current/", b"var/www/", b"var/www/empty", b"var/www/index.php"]
    odd.write(b"info/own")
    content, _ = fetch(odd, None, ArchiveFormat.TAR, b"data/info", b"info")
    names = subprocess.run(["tar", "-t"], input=content, capture_output=True, check=True).stdout.split()
    assert sorted(names) == [b"info/", b"info/own", b"info:/", b"info:/current/"]


def test_a_missing_path_is_an_error_before_anything_is_written(odd: Server) -> None:
    for client in (None, Memory().snapshot(b"data", odd.shadow)):
        with pytest.raises(UnknownError, match="nothing"):
            fetch(odd, client, ArchiveFormat.TAR, b"data/nothing")


def test_damaged_content_and_its_other_names_are_left_out_and_named(odd: Server, tmp_path: Path) -> None:
    client = Memory().snapshot(b"data", odd.shadow)
    client.broken.add(b"data/one")
    content, result = fetch(odd, client, ArchiveFormat.TAR)
    assert result.status is Status.INCOMPLETE
    assert {remark.path for remark in result.warnings} == {b"data/one", b"data/two", b"data/var/three"}
    out = unpacked(content, tmp_path / "out")
    assert not os.path.exists(out + b"/two")
    assert os.path.exists(out + b"/sparse")


def test_live_data_of_a_stranger_gives_away_nothing_of_others(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "shadow-file"
    secret.write_bytes(b"root:secret")
    os.link(secret, server.shadow + b"/mine")
    os.symlink(tmp_path, server.shadow + b"/way")
    os.mkfifo(server.shadow + b"/pipe")
    server.exclude = (b"/var/lib/mysql",)
    server.write(b"var/lib/mysql/rows", b"rows")
    content, result = fetch(server, None, ArchiveFormat.TAR)
    assert b"secret" not in content and b"rows" not in content
    assert [remark.path for remark in result.warnings] == [b"data/mine"]
    with pytest.raises(UnknownError):
        fetch(server, None, ArchiveFormat.TAR, b"data/way/shadow-file")
    with pytest.raises(UnknownError):
        fetch(server, None, ArchiveFormat.TAR, b"data/../../shadow-file")


def test_live_files_all_of_whose_names_are_the_account_s_are_its_own_whoever_owns_them(
    server: Server, tmp_path: Path
) -> None:
    server.write(b"www/upload", b"by the web server", uid=48)
    server.write(b"www/half", b"of somebody else", uid=48)
    os.makedirs(server.shadow + b"/mail")
    os.link(server.shadow + b"/www/upload", server.shadow + b"/mail/again")
    for name in (server.shadow + b"/mail/half", os.fsencode(tmp_path / "outside")):
        os.link(server.shadow + b"/www/half", name)
    content, result = fetch(server, None, ArchiveFormat.TAR)
    out = unpacked(content, tmp_path / "out")
    assert os.path.samefile(out + b"/www/upload", out + b"/mail/again")
    assert sorted(remark.path for remark in result.warnings) == [b"data/mail/half", b"data/www/half"]
    assert result.status is Status.COMPLETE and b"of somebody else" not in content


def test_a_live_file_that_shrinks_meanwhile_leaves_the_archive_whole(server: Server, tmp_path: Path) -> None:
    place = server.write(b"a-log", os.urandom(5 << 20))
    server.write(b"b", b"after")

    class Shrinking(Pipe):
        def write(self, data: bytes, /) -> int:
            if len(data) > 1 << 19:
                os.truncate(place, 1 << 20)
            return super().write(data)

    out = Shrinking()
    request = DownloadRequest(paths=(b"data",), format=ArchiveFormat.TAR, account=server.account)
    result = download(request, None, out, Notes())
    assert result.status is Status.INCOMPLETE
    there = unpacked(out.content, tmp_path / "out")
    assert Path(os.fsdecode(there + b"/b")).read_bytes() == b"after"
    assert os.stat(there + b"/a-log").st_size == 5 << 20


def test_pieces_of_a_large_file_may_come_in_any_order(server: Server, tmp_path: Path) -> None:
    content = os.urandom(9 << 20)
    server.write(b"large", content)
    client = Memory(piece=1 << 20).snapshot(b"data", server.shadow)
    ordered = client.contents

    def shuffled(point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        yield from sorted(ordered(point, entries), key=lambda piece: -piece[1])

    client.contents = shuffled  # type: ignore[method-assign]
    packed, _ = fetch(server, client, ArchiveFormat.TAR)
    assert Path(os.fsdecode(unpacked(packed, tmp_path / "out") + b"/large")).read_bytes() == content


def test_where_a_file_was_copied_up_from_stays_out_of_an_archive(server: Server, tmp_path: Path) -> None:
    os.setxattr(server.write(b"file"), "trusted.overlay.origin", b"handle")
    content, _ = fetch(server, None, ArchiveFormat.TAR)
    assert xattrs_of(unpacked(content, tmp_path / "out") + b"/file") == {}


def test_live_data_of_which_a_tree_is_lost_are_incomplete_and_it_is_named(server: Server) -> None:
    server.write(b"file")
    account = msgspec.structs.replace(server.account, locations=server.account.locations[:1])
    account = msgspec.structs.replace(account, absent=(("info", server.info),))
    out = Pipe()
    everything = DownloadRequest(paths=(), format=ArchiveFormat.TAR, account=account)
    result = download(everything, None, out, Notes())
    (said,) = result.warnings
    assert (result.status, said.path, os.fsdecode(server.info) in said.message) == (Status.INCOMPLETE, b"info", True)
    assert result.entries == 1
    asked = msgspec.structs.replace(everything, paths=(b"data",))
    assert download(asked, None, Pipe(), Notes()).status is Status.COMPLETE


def test_who_watches_hears_of_bytes_and_entries_of_how_many(server: Server) -> None:
    class Watching(Notes):
        def progress(self, *, accounts: str, done: FileCounts, expected_entries: int) -> None:
            told.append((accounts, done.seen, done.bytes_read, expected_entries))

    told: list[tuple[str, int, int, int]] = []
    server.write(b"file", b"x" * 1000)
    client = Memory().snapshot(b"data", server.shadow)
    request = DownloadRequest(paths=(b"data",), format=ArchiveFormat.TAR, point=client.point(), account=server.account)
    download(request, client, Pipe(), Watching())
    assert told[0] == ("site1", 0, 1000, client.point().entries)
