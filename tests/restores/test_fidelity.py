from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from strongroom.clients.base import RunHead, Task
from strongroom.clients.vault import VaultClient
from strongroom.clients.workroom import Workroom
from strongroom.exports.sqlite import HEADER
from strongroom.model import Entry, FileType, Level, Point, Status, Time
from strongroom.restores.beneath import Folder, Folders
from strongroom.restores.request import RestoreRequest
from strongroom.restores.restore import restore
from strongroom.vault.folder import FolderStorage
from strongroom.vault.vault import Vault, create
from tests.restores.backup import Memory, Quiet, picture, xattrs_of
from tests.restores.conftest import MERGE, MIRROR, OWNER, Back, Server

ORIGIN = b"trusted.overlay.origin"


@pytest.fixture
def odd(server: Server) -> Server:
    """An account with every odd thing that this file system holds."""
    here = server.shadow
    server.write(b"var/www/index.php", b"<?php\n")
    server.write(b"var/www/empty", b"")
    server.write(b"var/www/program", b"#!/bin/sh\n", mode=0o4755)
    server.write(b"var/www/by-root", b"x", uid=0, mode=0o6755)
    server.write(b"large", os.urandom(3 << 20) + b"tail")
    server.write(b"names/\xff\xfe\n\x1b[31m", b"odd name")
    server.write(b"names/" + b"n" * 255, b"long name")
    server.write(b"names/.hidden", b".")
    with open(server.write(b"sparse"), "r+b") as file:
        file.truncate(0)
        file.seek(1 << 20)
        file.write(b"middle" * 1000)
        file.truncate(64 << 20)
    with open(server.write(b"all-hole", b""), "r+b") as file:
        file.truncate(5_000_001)
    os.symlink(b"/etc/shadow", here + b"/absolute")
    os.symlink(b"\xff/../\xfe", here + b"/odd-target")
    os.chown(here + b"/odd-target", OWNER, OWNER, follow_symlinks=False)
    os.setxattr(here + b"/odd-target", "trusted.link", b"\0\1", follow_symlinks=False)
    os.utime(here + b"/odd-target", ns=(5, 1_234_567_890_123_456_789), follow_symlinks=False)
    os.mkfifo(here + b"/pipe", 0o622)
    os.mknod(here + b"/whiteout", stat.S_IFCHR, os.makedev(0, 0))
    os.setxattr(here + b"/whiteout", "trusted.overlay.x", b"1")
    os.mknod(here + b"/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(here + b"/null", 0o666)
    os.mknod(here + b"/disk", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    os.makedirs(here + b"/opaque/deep/er")
    os.setxattr(here + b"/opaque", "trusted.overlay.opaque", b"y")
    os.chmod(here + b"/opaque/deep", 0o2770)
    os.chown(here + b"/opaque/deep", OWNER, OWNER)
    os.chmod(here + b"/opaque/deep", 0o3770)
    os.mkdir(here + b"/no-access", 0)
    with_acl = server.write(b"acl/file", b"acl").decode()
    subprocess.run(["setfacl", "-m", "u:48:rwx,g:77:r", with_acl], check=True)
    default = ["setfacl", "-m", "u:48:rwx", "-m", "d:u:48:rwx,d:u:1001:rwx", os.path.dirname(with_acl)]
    subprocess.run(default, check=True)
    for name, value in ((b"user.empty", b""), (b"user.large", os.urandom(3000)), (b"security.capability", _CAPABILITY)):
        os.setxattr(server.write(b"xattrs/" + name, b"x"), name, value)
    for times, name in ((-86400 * 10**9 + 1, b"before-1970"), (2**32 * 10**9 + 999_999_999, b"after-2038")):
        os.utime(server.write(b"times/" + name), ns=(0, times))
    server.write(b"links/one", b"shared")
    os.link(here + b"/links/one", here + b"/links/two")
    os.link(here + b"/links/one", here + b"/another-folder-name")
    os.link(here + b"/pipe", here + b"/pipe-too")
    os.link(here + b"/odd-target", here + b"/odd-target-too")
    for flag in ("i", "a", "d", "A", "S"):
        subprocess.run(["chattr", "+" + flag, server.write(b"flags/" + flag.encode())], check=True)
    os.mkdir(here + b"/flags/folder")
    server.write(b"flags/folder/inside")
    subprocess.run(["chattr", "+i", here + b"/flags/folder"], check=True)
    os.utime(here + b"/var/www", ns=(1, 1_000_000_001))
    os.utime(here, ns=(1, 1_000_000_000_000_000_001))
    return server


_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def test_an_account_restored_to_a_folder_is_the_same_in_every_name_byte_and_attribute(
    odd: Server, back: Back, tmp_path: Path
) -> None:
    before = picture(odd.shadow)
    client = Memory(piece=1 << 20).snapshot(b"data", odd.shadow).snapshot(b"info", odd.info)
    result = back(client, b"data", b"info", to=os.fsencode(tmp_path / "out"))
    assert (result.status, result.warnings) == (Status.COMPLETE, ())
    assert picture(os.fsencode(tmp_path / "out/data")) == before
    assert result.files.written == len(client.entries)
    assert sorted(os.listdir(tmp_path / "out")) == ["data", "info"]
    assert stat.S_IMODE(os.stat(tmp_path / "out").st_mode) == 0o700
    assert os.stat(tmp_path / "out/data/sparse").st_blocks < 100


def test_a_destroyed_account_comes_back_in_place_even_without_its_site_folder(odd: Server, back: Back) -> None:
    before, info = picture(odd.shadow), picture(odd.info)
    client = Memory().snapshot(b"data", odd.shadow).snapshot(b"info", odd.info)
    subprocess.run(["chattr", "-R", "-f", "-i", "-a", odd.site], check=False)
    subprocess.run(["rm", "-rf", odd.site], check=True)
    result = back(
        client, b"data", b"info", account=None, devices=True, users=frozenset({OWNER}), groups=frozenset({OWNER})
    )
    assert result.status is Status.COMPLETE
    assert [remark.path for remark in result.warnings] == [b"data/var/www/by-root"]
    after = picture(odd.shadow)
    assert after.pop(b"./var/www/by-root")[0] == stat.S_IFREG | 0o755
    before.pop(b"./var/www/by-root")
    assert (after, picture(odd.info)) == (before, info)
    assert odd.staging() == []


def test_what_the_vault_kept_comes_back_the_same(odd: Server, back: Back, tmp_path: Path) -> None:
    os.chown(odd.shadow + b"/links/one", OWNER, OWNER)
    before = picture(odd.shadow)
    storage = FolderStorage(str(tmp_path / "vault"))
    create(storage, b"passphrase", dedup="vault")
    client = VaultClient(Vault(storage, str(tmp_path / "state"), b"passphrase"), Workroom(os.fsencode(tmp_path / "state")))
    head = RunHead(id="r1", started="2026-11-22T00:00:00Z", server="s", workers=1)
    (point,) = client.backup([Task(account=odd.account, level=Level.FULL)], head, Quiet())
    assert isinstance(point, Point)
    request = RestoreRequest(id="1", point=point, paths=(b"data", b"info"), to=os.fsencode(tmp_path / "out"))
    result = restore(request, client, Quiet())
    assert (point.status, result.status, result.warnings) == (Status.COMPLETE, Status.COMPLETE, ())
    assert picture(os.fsencode(tmp_path / "out/data")) == before
    assert result.files.written == point.entries
    subprocess.run(["rm", "-r", odd.shadow + b"/var", odd.shadow + b"/links"], check=True)
    in_place = RestoreRequest(
        id="2",
        point=point,
        paths=(b"data",),
        targets=odd.targets,
        account=odd.account,
        users=frozenset({0, OWNER}),
        groups=frozenset({0, OWNER}),
    )
    assert restore(in_place, client, Quiet()).status is Status.COMPLETE
    after = picture(odd.shadow)
    assert after.pop(b"./var/www/by-root")[0] == stat.S_IFREG | 0o755
    before.pop(b"./var/www/by-root")
    assert after == before


def test_what_was_damaged_in_place_is_mended_and_all_else_is_not_touched(odd: Server, back: Back) -> None:
    before = picture(odd.shadow)
    client = Memory().snapshot(b"data", odd.shadow)
    here = odd.shadow
    untouched = os.lstat(here + b"/large").st_ino, os.lstat(here + b"/large").st_ctime_ns
    with open(here + b"/var/www/index.php", "ab") as file:
        file.write(b"evil")
    os.chmod(here + b"/var/www/empty", 0o777)
    os.unlink(here + b"/links/one")
    os.unlink(here + b"/whiteout")
    os.unlink(here + b"/absolute")
    os.mkdir(here + b"/absolute")
    subprocess.run(["chattr", "-i", here + b"/flags/i", here + b"/flags/folder"], check=True)
    subprocess.run(["rm", "-r", here + b"/flags/folder", here + b"/names"], check=True)
    subprocess.run(["setfacl", "-b", here + b"/acl", here + b"/acl/file"], check=True)
    os.setxattr(here + b"/opaque", "user.extra", b"1")
    os.chmod(here + b"/no-access", 0o777)
    result = back(client, devices=True, users=frozenset({0, OWNER}), groups=frozenset({OWNER}))
    assert picture(here) == before
    assert (result.status, result.warnings) == (Status.COMPLETE, ())
    assert untouched == (os.lstat(here + b"/large").st_ino, os.lstat(here + b"/large").st_ctime_ns)
    assert odd.staging() == []


def test_a_restore_of_what_is_all_there_writes_nothing(odd: Server, back: Back) -> None:
    client = Memory().snapshot(b"data", odd.shadow)
    result = back(client)
    assert (result.files.written, result.files.unchanged) == (0, len(client.entries))
    assert client.fetched == []


def test_a_second_restore_finds_by_content_what_the_first_one_wrote(odd: Server, back: Back, tmp_path: Path) -> None:
    client = Memory(piece=100_000).snapshot(b"data", odd.shadow)
    to = os.fsencode(tmp_path / "out")
    back(client, to=to)
    before = picture(to + b"/data")
    result = back(client, to=to, mode=MERGE)
    assert (result.files.written, result.files.unchanged) == (0, len(client.entries))
    assert picture(to + b"/data") == before


def test_an_edit_that_keeps_size_and_time_is_found_by_content(server: Server, back: Back) -> None:
    place = server.write(b"page", b"A" * 1000)
    client = Memory(piece=300).snapshot(b"data", server.shadow)
    status = os.stat(place)
    server.write(b"page", b"A" * 999 + b"B")
    os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert back(client).files.written == 1
    assert Path(os.fsdecode(place)).read_bytes() == b"A" * 1000


@pytest.mark.parametrize("seconds", [-5, 59, 61])
def test_what_was_written_to_around_the_backup_is_known_by_its_content_alone(
    server: Server, back: Back, seconds: int
) -> None:
    """A store through a page that was mapped before leaves times and ctime as they were."""
    place = server.write(b"page", b"A" * 1000, uid=0)
    os.chmod(place, 0o4755)
    client = Memory(piece=300).snapshot(b"data", server.shadow)
    before = os.stat(place)
    with open(place, "r+b") as file:
        file.write(b"B")
    os.utime(place, ns=(before.st_mtime_ns, before.st_mtime_ns))
    stands = os.stat(place)
    client.change(b"data/page", ctime=Time(*divmod(stands.st_ctime_ns, 10**9)))
    began = datetime.fromtimestamp(stands.st_ctime_ns / 10**9 + seconds, UTC).isoformat()
    point = msgspec.structs.replace(client.point(), started=began)
    old = seconds > 60
    told = back(client, point=point, dry_run=True).forecast
    assert told is not None and (told.replaced, told.unchanged) == ((0, 2) if old else (1, 1))
    result = back(client, point=point)
    assert (result.files.written, result.files.unchanged) == ((0, 2) if old else (1, 1))
    if old:
        assert result.warnings == ()
    else:
        assert Path(os.fsdecode(place)).read_bytes() == b"A" * 1000
        # What is written anew is written as anything is: with no rights that are not the account's to have.
        assert "set-id bits" in result.warnings[0].message and stat.S_IMODE(os.stat(place).st_mode) == 0o755


def test_what_was_fresh_and_is_as_it_was_stays_with_all_its_rights(server: Server, back: Back) -> None:
    place = server.write(b"page", uid=0)
    os.chmod(place, 0o4755)
    client = Memory().snapshot(b"data", server.shadow)
    before = os.stat(place)
    began = datetime.fromtimestamp(before.st_ctime, UTC).isoformat()
    result = back(client, point=msgspec.structs.replace(client.point(), started=began))
    assert (result.files.written, result.files.unchanged, result.warnings) == (0, 2, ())
    after = os.stat(place)
    assert (after.st_ino, after.st_ctime_ns, after.st_mode) == (before.st_ino, before.st_ctime_ns, before.st_mode)
    assert client.fetched == [b"data/page"]


def test_a_database_that_stands_as_it_was_is_not_compared_with_the_copy_of_it(server: Server, back: Back) -> None:
    place = server.write(b"app.db", HEADER + b"x" * (4096 - len(HEADER)))
    client = Memory().snapshot(b"data", server.shadow)
    client.change(b"data/app.db", content=((0, HEADER + b"y" * (4096 - len(HEADER))),))
    status = os.stat(place)
    point = msgspec.structs.replace(client.point(), started=datetime.fromtimestamp(status.st_ctime, UTC).isoformat())
    told = back(client, point=point, dry_run=True).forecast
    assert told is not None and (told.replaced, told.unchanged) == (0, 2)
    assert back(client, point=point).files.written == 0
    assert os.stat(place).st_ino == status.st_ino


def test_one_path_brings_its_parents_with_their_attributes_and_nothing_else(
    odd: Server, back: Back, tmp_path: Path
) -> None:
    before = picture(odd.shadow)
    client = Memory().snapshot(b"data", odd.shadow)
    result = back(client, b"data/var/www/index.php", to=os.fsencode(tmp_path / "out"))
    after = picture(os.fsencode(tmp_path / "out/data"))
    assert set(after) == {b".", b"./var", b"./var/www", b"./var/www/index.php"}
    assert all(after[path] == before[path] for path in after)
    assert result.files.written == 1


def test_overlay_origin_stays_with_its_own_inode(server: Server, back: Back, tmp_path: Path) -> None:
    place = server.write(b"folder/file")
    for path in (place, os.path.dirname(place)):
        os.setxattr(path, ORIGIN, b"handle")
    client = Memory().snapshot(b"data", server.shadow)
    os.chmod(os.path.dirname(place), 0o700)
    back(client)
    back(client, to=os.fsencode(tmp_path / "out"))
    assert ORIGIN in xattrs_of(place) and ORIGIN in xattrs_of(os.path.dirname(place))
    assert ORIGIN not in xattrs_of(os.fsencode(tmp_path / "out/data/folder/file"))
    server.write(b"folder/file", b"other")
    back(client)
    assert ORIGIN not in xattrs_of(place)


def test_an_attribute_too_large_for_the_file_system_is_a_warning_that_names_it(
    server: Server, back: Back, tmp_path: Path
) -> None:
    server.write(b"file")
    client = Memory().snapshot(b"data", server.shadow)
    client.change(b"data/file", xattrs=((b"user.huge", bytes(60_000)), (b"user.small", b"1")))
    result = back(client, to=os.fsencode(tmp_path / "out"))
    assert result.status is Status.INCOMPLETE
    assert [remark.path for remark in result.warnings] == [b"data/file"]
    assert "user.huge" in result.warnings[0].message
    assert xattrs_of(os.fsencode(tmp_path / "out/data/file")) == {b"user.small": b"1"}


def test_a_time_that_the_file_system_cannot_hold_is_a_warning(server: Server, back: Back, tmp_path: Path) -> None:
    server.write(b"file")
    client = Memory().snapshot(b"data", server.shadow)
    client.change(b"data/file", mtime=Time(-(2**40), 5))
    result = back(client, to=os.fsencode(tmp_path / "out"))
    assert result.status is Status.INCOMPLETE
    assert "mtime" in result.warnings[0].message


def test_a_folder_two_thousand_levels_deep_comes_back_with_few_descriptors(
    server: Server, back: Back, tmp_path: Path
) -> None:
    path = b"data"
    server.write(b"bottom", b"deep")
    client = Memory().snapshot(b"data", server.shadow)
    top = client.entries[b"data"]
    bottom = client.entries.pop(b"data/bottom")
    for _ in range(2000):
        path += b"/level"
        client.add(Entry(path=path, type=FileType.DIR, mode=0o750, uid=OWNER, gid=OWNER, mtime=top.mtime))
    client.add(_moved(bottom, path + b"/bottom"))
    assert len(path) > 4096
    assert back(client, to=os.fsencode(tmp_path / "out")).status is Status.COMPLETE
    fd = os.open(tmp_path / "out/data", os.O_RDONLY)
    for _ in range(2000):
        inner = os.open("level", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    assert os.listdir(fd) == ["bottom"]
    assert os.fstat(fd).st_uid == OWNER
    assert os.fstat(fd).st_mtime_ns == top.mtime.seconds * 10**9 + top.mtime.nanoseconds
    os.close(fd)
    assert back(client, to=os.fsencode(tmp_path / "out"), mode=MIRROR).files.unchanged == 2002


def test_folders_keep_only_so_many_descriptors_open(tmp_path: Path) -> None:
    folders = Folders(limit=4)
    here = folders.adopt(Folder(b"top", b"", None), os.open(tmp_path, os.O_RDONLY))
    chain = [here]
    for number in range(30):
        os.mkdir(b"f%d" % number, dir_fd=folders.fd(chain[-1]))
        chain.append(folders.open(Folder(b"x", b"f%d" % number, chain[-1])))
    assert sum(folder.fd >= 0 for folder in chain) <= 4
    for folder in reversed(chain):
        assert os.fstat(folders.fd(folder)).st_ino == folder.identity[1]
    folders.close()


def test_sockets_are_left_out_without_a_word(server: Server, back: Back, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        with contextlib.chdir(server.shadow):
            listening.bind(b"socket")
        client = Memory().snapshot(b"data", server.shadow)
        result = back(client, to=os.fsencode(tmp_path / "out"))
        assert (result.status, os.listdir(tmp_path / "out/data")) == (Status.COMPLETE, [])
        assert back(client, mode=MIRROR).files.deleted == 0
        assert os.path.exists(server.shadow + b"/socket")


def _moved(entry: Entry, path: bytes) -> Entry:
    return msgspec.structs.replace(entry, path=path)
