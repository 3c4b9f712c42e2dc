from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import BusyError, ClientError, RestoreError, UnknownError
from strongroom.model import Entry, Status
from strongroom.restores.request import RestoreRequest
from strongroom.restores.restore import restore
from strongroom.restores.syncfs import sync_file_system
from tests.restores.backup import Memory, Quiet, picture
from tests.restores.conftest import MERGE, MIRROR, Back, Server


@pytest.fixture
def client(server: Server) -> Memory:
    for name in (b"www/a", b"www/b", b"www/sub/c", b"mail/d"):
        server.write(name, name * 100)
    server.write(b"../info/current/siteinfo", b"[DEFAULT]\n")
    return Memory(piece=50).snapshot(b"data", server.shadow).snapshot(b"info", server.info)


def test_merge_leaves_extra_files_and_mirror_takes_them_away(client: Memory, server: Server, back: Back) -> None:
    wanted = picture(server.shadow)
    for name in (b"www/extra", b"www/new/folder/file", b"top"):
        server.write(name)
    assert back(client).files.deleted == 0
    assert os.path.exists(server.shadow + b"/www/new/folder/file")
    result = back(client, mode=MIRROR)
    assert (result.files.deleted, result.files.written) == (5, 0)
    assert picture(server.shadow) == wanted


def test_a_mirror_of_one_folder_takes_nothing_away_elsewhere(client: Memory, server: Server, back: Back) -> None:
    server.write(b"www/sub/extra")
    server.write(b"www/extra")
    back(client, b"data/www/sub", mode=MIRROR)
    assert os.path.exists(server.shadow + b"/www/extra")
    assert not os.path.exists(server.shadow + b"/www/sub/extra")


def test_a_mirror_never_takes_excluded_paths_sockets_or_what_the_point_could_not_read(
    client: Memory, server: Server, back: Back
) -> None:
    server.exclude = (b"/var/lib/mysql",)
    for name in (b"var/lib/mysql/shop/rows", b"var/lib/other", b"keep.tmp", b"unread/file"):
        server.write(name)
    with socket.socket(socket.AF_UNIX) as listening:
        with contextlib.chdir(server.shadow):
            listening.bind(b"www/socket")
        point = client.point("site1", Status.INCOMPLETE, b"data/unread")
        result = back(client, mode=MIRROR, excludes=("*.tmp",), point=point)
        assert result.files.deleted == 1
        assert os.path.exists(server.shadow + b"/www/socket")
    for name in (b"var/lib/mysql/shop/rows", b"keep.tmp", b"unread/file"):
        assert os.path.exists(server.shadow + b"/" + name)
    assert not os.path.exists(server.shadow + b"/var/lib/other")


def test_a_folder_with_excluded_things_in_it_is_not_replaced_by_a_file(
    client: Memory, server: Server, back: Back
) -> None:
    server.exclude = (b"/www/a/data",)
    os.unlink(server.shadow + b"/www/a")
    server.write(b"www/a/data/rows")
    result = back(client)
    assert result.status is Status.INCOMPLETE
    assert [remark.path for remark in result.warnings] == [b"data/www/a"]
    assert os.path.exists(server.shadow + b"/www/a/data/rows")


def test_a_mirror_stops_at_a_mount(client: Memory, server: Server, back: Back) -> None:
    place = server.shadow + b"/extra/mounted"
    os.makedirs(place)
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        Path(os.fsdecode(place + b"/file")).write_bytes(b"x")
        assert back(client, mode=MIRROR).files.deleted == 0
        assert os.path.exists(place + b"/file")
    finally:
        subprocess.run(["umount", place], check=True)


def test_files_below_another_mount_are_restored_there(server: Server, back: Back) -> None:
    place = server.shadow + b"/mounted"
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        server.write(b"mounted/folder/file")
        client = Memory().snapshot(b"data", server.shadow)
        wanted = picture(server.shadow)
        subprocess.run(["rm", "-r", place + b"/folder"], check=True)
        assert back(client).status is Status.COMPLETE
        assert picture(server.shadow) == wanted
    finally:
        subprocess.run(["umount", place], check=True)


def test_the_servers_own_folders_are_left_as_they_are_and_nothing_goes(tmp_path: Path, back: Back) -> None:
    root = os.fsencode(tmp_path / "root")
    os.makedirs(root + b"/var/log")
    table = Path(os.fsdecode(root + b"/var/log/mailer_table"))
    table.write_bytes(b"rows")
    client = Memory().snapshot(b"data", root)
    table.unlink()
    os.chmod(root + b"/var/log", 0o750)
    (table.parent / "syslog").write_bytes(b"log")
    result = back(client, account=None, targets={"data": root}, point=client.point("server"), mode=MIRROR)
    assert (result.files.written, result.files.deleted) == (1, 0)
    assert table.read_bytes() == b"rows"
    assert os.stat(table.parent).st_mode & 0o777 == 0o750


def test_a_dry_run_says_what_a_restore_then_does(client: Memory, server: Server, back: Back) -> None:
    server.write(b"www/a", b"changed")
    server.write(b"www/extra")
    os.unlink(server.shadow + b"/mail/d")
    os.rmdir(server.shadow + b"/mail")
    before = picture(server.site)
    told = back(client, mode=MIRROR, dry_run=True).forecast
    assert picture(server.site) == before
    assert told is not None
    assert (told.written, told.replaced, told.deleted, told.unchanged) == (2, 1, 1, 5)
    assert told.writes == (b"data/mail", b"data/mail/d")
    assert (told.replaces, told.deletes) == ((b"data/www/a",), (b"data/www/extra",))
    done = back(client, mode=MIRROR).files
    assert (done.written, done.deleted, done.unchanged, done.bytes) == (3, 1, 5, told.bytes)
    again = back(client, mode=MIRROR, dry_run=True).forecast
    assert again is not None
    assert (again.written, again.replaced, again.deleted, again.unchanged) == (0, 0, 0, 8)


def test_a_dry_run_counts_hard_links_as_the_restore_does(server: Server, back: Back) -> None:
    for name in (b"kept", b"changed", b"lost"):
        server.write(name + b"-1", name)
        os.link(server.shadow + b"/" + name + b"-1", server.shadow + b"/" + name + b"-2")
    client = Memory().snapshot(b"data", server.shadow)
    server.write(b"changed-1", b"other")
    os.unlink(server.shadow + b"/lost-1")
    wanted = back(client, dry_run=True).forecast
    assert wanted is not None
    done = back(client).files
    assert (wanted.written + wanted.replaced, wanted.unchanged) == (done.written, done.unchanged) == (4, 3)


def test_a_dry_run_leaves_out_and_names_what_the_restore_does(server: Server, back: Back) -> None:
    here = server.shadow
    for name, device in ((b"null", os.makedev(1, 3)), (b"gone", os.makedev(0, 0))):
        os.mknod(here + b"/" + name, stat.S_IFCHR | 0o666, device)
    os.link(here + b"/null", here + b"/zero")
    os.chmod(server.write(b"tool", uid=0), 0o4755)
    client = Memory().snapshot(b"data", here)
    for name in (b"null", b"zero", b"gone", b"tool"):
        os.unlink(here + b"/" + name)
    for _ in range(2):
        told = back(client, dry_run=True)
        done = back(client)
        assert told.forecast is not None
        assert (told.forecast.written, told.forecast.unchanged) == (done.files.written, done.files.unchanged)
        assert [remark.path for remark in told.warnings] == [b"data/null", b"data/tool"]
    assert done.files.unchanged == 3


def test_a_dry_run_of_a_destroyed_account_counts_everything(client: Memory, server: Server, back: Back) -> None:
    subprocess.run(["rm", "-rf", server.site], check=True)
    told = back(client, b"data", b"info", dry_run=True).forecast
    assert told is not None
    assert told.written == len(client.entries)
    assert not os.path.exists(server.site)


def test_damaged_content_keeps_the_old_file_and_the_restore_goes_on(client: Memory, server: Server, back: Back) -> None:
    server.write(b"www/a", b"what stands")
    server.write(b"www/b", b"what stands")
    client.broken.add(b"data/www/a")
    result = back(client)
    assert result.status is Status.INCOMPLETE
    assert [remark.path for remark in result.warnings] == [b"data/www/a"]
    assert Path(os.fsdecode(server.shadow + b"/www/a")).read_bytes() == b"what stands"
    assert Path(os.fsdecode(server.shadow + b"/www/b")).read_bytes() == b"www/b" * 100
    assert server.staging() == []


def test_damaged_content_leaves_no_half_file_in_a_new_folder(client: Memory, back: Back, tmp_path: Path) -> None:
    client.broken.add(b"data/www/a")
    back(client, to=os.fsencode(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out/data/www")) == ["b", "sub"]


def test_content_that_is_too_short_counts_as_damaged(client: Memory, server: Server, back: Back) -> None:
    client.change(b"data/www/a", content=((0, b"short"),))
    os.unlink(server.shadow + b"/www/a")
    assert back(client).status is Status.INCOMPLETE
    assert not os.path.exists(server.shadow + b"/www/a")


def test_a_file_whose_content_is_not_in_the_point_is_not_emptied(client: Memory, server: Server, back: Back) -> None:
    client.change(b"data/www/a", stored=0, content=(), defect="a hard link to another user's file")
    server.write(b"www/a", b"stands")
    result = back(client)
    assert (result.status, result.warnings[0].path) == (Status.COMPLETE, b"data/www/a")
    assert Path(os.fsdecode(server.shadow + b"/www/a")).read_bytes() == b"stands"
    assert back(client, point=client.point("site1", Status.INCOMPLETE)).status is Status.INCOMPLETE


def fail_at(path: bytes, error: BaseException) -> object:
    def hook(entry: Entry, offset: int) -> None:
        if entry.path == path:
            raise error

    return hook


def test_a_restore_that_stops_midway_keeps_what_it_replaced_and_the_next_one_says_where(
    client: Memory, server: Server, back: Back
) -> None:
    for name in (b"www/a", b"www/b", b"www/sub/c"):
        server.write(name, b"mine " + name)
    # Pieces come last file first: c and b are in place when a fails.
    client.hook = fail_at(b"data/www/a", OSError(errno.EIO, "the machine is on fire"))  # type: ignore[assignment]
    with pytest.raises(RestoreError, match="kept in .*strongroom-restore-site1-0123abcd") as caught:
        back(client)
    assert "\n" not in str(caught.value)
    assert Path(os.fsdecode(server.shadow + b"/www/a")).read_bytes() == b"mine www/a"
    (staging,) = server.staging()
    kept = [Path(os.fsdecode(server.site + b"/" + staging + b"/" + n)) for n in (b"n1", b"n2")]
    assert {path.read_bytes() for path in kept} == {b"mine www/b", b"mine www/sub/c"}
    client.hook = None
    result = back(client, id="4567")
    assert os.fsdecode(staging) in result.warnings[0].message
    assert server.staging() == [staging]
    assert result.status is Status.COMPLETE


def test_a_killed_restore_that_had_replaced_nothing_is_cleared_away(
    client: Memory, server: Server, back: Back, tmp_path: Path
) -> None:
    for above in (server.site, os.fsencode(tmp_path / "out")):
        os.makedirs(above + b"/.strongroom-restore-site1-dead/n1/deep", mode=0o700)
        os.chmod(above + b"/.strongroom-restore-site1-dead", 0o700)
    assert back(client).warnings == ()
    assert server.staging() == []
    back(client, to=os.fsencode(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["data"]


def test_an_interrupted_restore_to_a_folder_can_be_asked_for_again(client: Memory, back: Back, tmp_path: Path) -> None:
    client.hook = fail_at(b"data/www/a", KeyboardInterrupt())  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        back(client, to=os.fsencode(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_two_restores_of_one_account_at_once_are_refused(client: Memory, server: Server, back: Back) -> None:
    other = server.site + b"/.strongroom-restore-site1-beef"
    os.mkdir(other, 0o700)
    held = os.open(other, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(BusyError):
        back(client)
    os.close(held)
    assert server.staging() == [os.path.basename(other)]


def test_a_folder_that_is_not_empty_is_refused_unless_a_mode_is_given(
    client: Memory, back: Back, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/other").write_bytes(b"x")
    for dry_run in (True, False):
        with pytest.raises(RestoreError, match="not empty"):
            back(client, to=os.fsencode(tmp_path / "out"), dry_run=dry_run)
    back(client, to=os.fsencode(tmp_path / "out"), mode=MERGE)
    assert sorted(os.listdir(tmp_path / "out")) == ["data", "other"]


def test_a_path_that_the_point_does_not_have_is_an_error(client: Memory, back: Back) -> None:
    with pytest.raises(UnknownError, match="nothere"):
        back(client, b"data/nothere")


def test_no_room_stops_the_restore_with_one_line(server: Server, back: Back, tmp_path: Path) -> None:
    server.write(b"large", b"x" * 3_000_000)
    client = Memory(piece=1 << 20).snapshot(b"data", server.shadow)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
    try:
        with pytest.raises(RestoreError, match="No space left"):
            back(client, to=os.fsencode(small / "out"))
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_another_user_gets_content_back_and_is_told_once_what_is_lost(server: Server, passable: Path) -> None:
    server.write(b"a", b"1")
    server.write(b"b", b"2")
    os.setxattr(server.shadow + b"/b", "trusted.x", b"1")
    client = Memory().snapshot(b"data", server.shadow)
    (passable / "home").mkdir()
    os.chown(passable / "home", 65534, 65534)
    code = os.fork()
    if code == 0:
        status = 1
        try:
            status = _as_nobody(client, passable)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(code, 0)[1]) == 0
    assert (passable / "home/out/data/b").read_bytes() == b"2"


def _as_nobody(client: Memory, place: Path) -> int:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    request = RestoreRequest(id="1", point=client.point(), paths=(b"data",), to=os.fsencode(place / "home/out"))
    result = restore(request, client, Quiet())
    said = [remark.message for remark in result.warnings]
    return int(result.status is not Status.INCOMPLETE or len(said) != 2 or "(3 times)" not in said[0])


def test_an_error_of_the_whole_client_comes_out_as_it_is(client: Memory, back: Back, tmp_path: Path) -> None:
    def broken(point, paths, *, listing=False):  # type: ignore[no-untyped-def]
        raise ClientError("the vault is gone")

    client.walk = broken  # type: ignore[method-assign]
    with pytest.raises(ClientError, match="gone"):
        back(client, to=os.fsencode(tmp_path / "out"))


def test_a_place_that_cannot_be_written_is_one_line(client: Memory, back: Back, tmp_path: Path) -> None:
    small = tmp_path / "read-only"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", small], check=True)
    try:
        with pytest.raises(RestoreError, match=f"^{small}/out: Read-only file system; mount it writable"):
            back(client, to=os.fsencode(small / "out"))
        with pytest.raises(RestoreError, match=f"^{small}: Read-only file system; mount it writable"):
            back(client, to=os.fsencode(small))
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_file_system_that_cannot_be_synced_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file"):
        sync_file_system(-1)
    sync_file_system(0)


def test_a_tree_that_is_the_top_of_the_file_system_has_staging_in_itself(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("proc", "var/log"):
        (root / name).mkdir(parents=True)
    (root / "var/log/mailer_table").write_bytes(b"rows")
    client = Memory().snapshot(b"data", os.fsencode(root))
    (root / "var/log/mailer_table").write_bytes(b"other")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.chroot(root)
                os.chdir("/")
                request = RestoreRequest(
                    id="1", point=client.point("server"), paths=(b"data/var",), targets={"data": b"/"}
                )
                told = restore(msgspec.structs.replace(request, dry_run=True), client, Quiet()).forecast
                done = restore(request, client, Quiet()).files
                status = int(done.written != 1 or told is None or told.replaced != 1)
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        subprocess.run(["umount", root / "proc"], check=True)
    assert (root / "var/log/mailer_table").read_bytes() == b"rows"
    assert sorted(os.listdir(root)) == ["proc", "var"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_file_system_without_exchange_is_refused_before_anything_is_touched(
    client: Memory, server: Server, back: Back, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr("strongroom.restores.staging.exchange", unsupported)  # no file system here lacks it
    server.write(b"www/a", b"other")
    before = picture(server.shadow), sorted(os.listdir(tmp_path)), sorted(os.listdir(os.path.dirname(server.shadow)))
    with pytest.raises(RestoreError, match="renameat2"):
        back(client, **({"to": os.fsencode(tmp_path / "out"), "targets": {}} if beside else {}))
    after = picture(server.shadow), sorted(os.listdir(tmp_path)), sorted(os.listdir(os.path.dirname(server.shadow)))
    assert after == before
