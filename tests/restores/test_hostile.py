"""Races with an account's owner, played step by step: the client's hook acts between two pieces of content."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from strongroom.model import Entry, FileType, Status, Time
from tests.restores.backup import Memory, picture
from tests.restores.conftest import OWNER, Back, Server

NOW = Time(1_700_000_000, 5)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody else's, in which nothing may change."""
    place = tmp_path / "victim"
    place.mkdir(0o700)
    (place / "passwd").write_bytes(b"root:x:0:0\n")
    os.utime(place, ns=(7, 7))
    return place


def made(path: bytes, kind: FileType = FileType.FILE, content: bytes = b"", **more: object) -> Entry:
    fields: dict[str, object] = {
        "path": path,
        "type": kind,
        "mode": 0o755,
        "uid": OWNER,
        "gid": OWNER,
        "mtime": NOW,
        "size": len(content),
        "stored": len(content),
        "content": ((0, content),) if content else (),
    }
    return Entry(**{**fields, **more})  # type: ignore[arg-type]


def test_a_folder_swapped_for_a_link_while_its_files_are_restored_leads_nowhere(
    server: Server, back: Back, victim: Path
) -> None:
    place = os.fsdecode(os.path.dirname(server.write(b"web/passwd", b"old" * 100)))
    client = Memory(piece=100).snapshot(b"data", server.shadow)
    server.write(b"web/passwd", b"changed")
    before = picture(os.fsencode(victim))

    def swap(entry: Entry, offset: int) -> None:
        if offset == 100:
            os.rename(place, place + ".away")
            os.symlink(victim, place)

    client.hook = swap
    back(client)
    assert picture(os.fsencode(victim)) == before
    assert Path(place + ".away/passwd").read_bytes() == b"old" * 100


def test_a_folder_swapped_for_another_is_not_given_its_attributes(server: Server, back: Back, victim: Path) -> None:
    place = os.fsdecode(os.path.dirname(server.write(b"web/page", b"old" * 100)))
    client = Memory(piece=100).snapshot(b"data", server.shadow)
    server.write(b"web/page", b"changed")
    before = picture(os.fsencode(victim))

    def swap(entry: Entry, offset: int) -> None:
        if offset == 100:
            os.rename(place, place + ".away")
            os.rename(victim, place)

    client.hook = swap
    back(client)
    assert picture(os.fsencode(place)) == before


def test_a_folder_that_is_a_link_already_is_replaced_by_a_folder(server: Server, back: Back, victim: Path) -> None:
    server.write(b"web/passwd", b"mine")
    client = Memory().snapshot(b"data", server.shadow)
    wanted = picture(server.shadow)
    os.rename(server.shadow + b"/web", server.site + b"/gone")
    os.symlink(victim, server.shadow + b"/web")
    before = picture(os.fsencode(victim))
    assert back(client).status is Status.COMPLETE
    assert (picture(server.shadow), picture(os.fsencode(victim))) == (wanted, before)


@pytest.mark.parametrize("planted", ["link", "hard link", "pipe", "folder"])
def test_whatever_stands_where_a_file_belongs_is_replaced_and_not_written_through(
    server: Server, back: Back, victim: Path, planted: str
) -> None:
    place = os.fsdecode(server.write(b"web/config", b"mine"))
    client = Memory().snapshot(b"data", server.shadow)
    wanted = picture(server.shadow)
    os.unlink(place)
    if planted == "link":
        os.symlink(victim / "passwd", place)
    elif planted == "hard link":
        os.link(victim / "passwd", place)
    elif planted == "pipe":
        os.mkfifo(place)
    else:
        os.makedirs(place + "/full/of")
    assert back(client).files.written == 1
    assert picture(server.shadow) == wanted
    assert (victim / "passwd").read_bytes() == b"root:x:0:0\n"
    assert (victim / "passwd").stat().st_uid == 0


def test_something_planted_at_the_last_moment_is_replaced_as_well(server: Server, back: Back, victim: Path) -> None:
    place = os.fsdecode(server.write(b"web/config", b"mine"))
    client = Memory().snapshot(b"data", server.shadow)
    os.unlink(place)
    client.hook = lambda entry, offset: os.symlink(victim / "passwd", place)
    back(client)
    assert not os.path.islink(place)
    assert (victim / "passwd").read_bytes() == b"root:x:0:0\n"


def test_a_hard_link_to_anothers_file_with_the_same_content_is_replaced(
    server: Server, back: Back, victim: Path
) -> None:
    place = server.write(b"copy", b"root:x:0:0\n", uid=0)
    client = Memory().snapshot(b"data", server.shadow)
    status = os.stat(place)
    os.unlink(place)
    os.link(victim / "passwd", place)
    os.chmod(place, 0o644)
    os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert back(client).files.written == 1
    assert os.stat(place).st_nlink == 1


def test_a_name_is_not_linked_to_an_inode_that_was_exchanged_meanwhile(
    server: Server, back: Back, victim: Path
) -> None:
    place = server.write(b"one", b"shared")
    os.link(place, server.shadow + b"/two")
    server.write(b"zzz", b"last")
    client = Memory().snapshot(b"data", server.shadow)
    os.unlink(server.shadow + b"/two")
    server.write(b"zzz", b"changed")
    client.change(b"data/one", ctime=Time(*divmod(os.stat(place).st_ctime_ns, 10**9)), links=1)
    walked = client.walk

    def exchange(point, paths, *, listing=False):  # type: ignore[no-untyped-def]
        for entry in walked(point, paths):
            if entry.path == b"data/two":
                os.unlink(place)
                os.link(victim / "passwd", place)
            yield entry

    client.walk = exchange  # type: ignore[method-assign]
    result = back(client)
    assert result.status is Status.INCOMPLETE
    assert [remark.path for remark in result.warnings] == [b"data/two"]
    assert not os.path.exists(server.shadow + b"/two")


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a\0b", b"n" * 256])
def test_a_name_that_no_folder_can_hold_is_left_out(server: Server, back: Back, tmp_path: Path, name: bytes) -> None:
    client = Memory().snapshot(b"data", server.shadow)
    client.add(made(b"data/" + name, content=b"evil"))
    client.add(made(b"data/" + name + b"/x", FileType.DIR))
    result = back(client, to=os.fsencode(tmp_path / "out"))
    assert result.status is Status.INCOMPLETE
    assert os.listdir(tmp_path / "out/data") == []
    assert sorted(os.listdir(tmp_path)) == ["out", "site1"]


def test_nothing_is_restored_through_a_link_of_the_point_itself(
    server: Server, back: Back, victim: Path, tmp_path: Path
) -> None:
    client = Memory().snapshot(b"data", server.shadow)
    client.add(made(b"data/way", FileType.SYMLINK, target=os.fsencode(victim)))
    client.add(made(b"data/way/passwd", content=b"evil"))
    client.add(made(b"data/way/in", FileType.DIR))
    client.add(made(b"data/way/in/deep", content=b"evil"))
    for more in ({"to": os.fsencode(tmp_path / "out")}, {}):
        result = back(client, **more)
        assert [remark.path for remark in result.warnings] == [b"data/way/passwd", b"data/way/in"]
    assert os.listdir(victim) == ["passwd"]


def test_set_id_bits_in_place_need_the_accounts_own_user_and_group(server: Server, back: Back) -> None:
    for name, uid, gid in ((b"own", OWNER, OWNER), (b"root", 0, 0), (b"half", OWNER, 0)):
        place = server.write(name)
        os.chown(place, uid, gid)
        os.chmod(place, 0o6755)
    server.write(b"etc/passwd", b"root:x:0:0::/:/bin/sh\nme:x:1001:1001::/home/me:/bin/sh\n", uid=0)
    client = Memory().snapshot(b"data", server.shadow)
    for name in (b"own", b"root", b"half"):
        os.unlink(server.shadow + b"/" + name)
    result = back(client)
    modes = {name: stat.S_IMODE(os.stat(server.shadow + b"/" + name).st_mode) for name in (b"own", b"root", b"half")}
    assert modes == {b"own": 0o6755, b"root": 0o755, b"half": 0o755}
    assert [remark.path for remark in result.warnings] == [b"data/half", b"data/root"]
    assert result.status is Status.COMPLETE


def test_a_table_of_users_that_the_owner_can_write_gives_no_privilege(server: Server, back: Back) -> None:
    os.chmod(server.write(b"tool", uid=1500), 0o4755)
    server.write(b"etc/passwd", b"other:x:1500:1500::/:/bin/sh\n", uid=OWNER)
    client = Memory().snapshot(b"data", server.shadow)
    os.unlink(server.shadow + b"/tool")
    back(client)
    assert stat.S_IMODE(os.stat(server.shadow + b"/tool").st_mode) == 0o755


def test_device_nodes_come_back_in_place_when_asked_for_and_whiteouts_always(server: Server, back: Back) -> None:
    here = server.shadow
    os.mknod(here + b"/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(here + b"/gone", stat.S_IFCHR, os.makedev(0, 0))
    client = Memory().snapshot(b"data", here)
    os.unlink(here + b"/null")
    os.unlink(here + b"/gone")
    result = back(client)
    assert sorted(os.listdir(here)) == [b"gone"]
    assert [remark.path for remark in result.warnings] == [b"data/null"]
    back(client, devices=True)
    assert sorted(os.listdir(here)) == [b"gone", b"null"]


def test_nobody_but_root_can_look_into_staging_or_meet_a_file_with_too_many_rights(server: Server, back: Back) -> None:
    server.write(b"secret", b"s" * 300, mode=0o600)
    client = Memory(piece=100).snapshot(b"data", server.shadow)
    os.unlink(server.shadow + b"/secret")
    os.setxattr(server.site, "system.posix_acl_default", _OPEN_ACL)
    seen = []

    def look(entry: Entry, offset: int) -> None:
        if offset:
            (staging,) = server.staging()
            folder = server.site + b"/" + staging
            files = [os.stat(folder + b"/" + name) for name in os.listdir(folder)]
            seen.append((stat.S_IMODE(os.stat(folder).st_mode), [stat.S_IMODE(file.st_mode) for file in files]))

    client.hook = look
    back(client)
    assert seen == [(0o700, [0o600])] * 2
    assert os.listxattr(server.shadow + b"/secret") == []


# user::rwx group::rwx other::rwx, as acl(5) lays it out for the kernel.
_OPEN_ACL = bytes.fromhex("02000000" + "0100 0700 ffffffff" + "0400 0700 ffffffff" + "2000 0700 ffffffff")
