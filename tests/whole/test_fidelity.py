"""The fidelity tree as an account's data, through the whole program: what comes back is what was there."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fidelity import flags
from tests.fidelity.compare import Ignore, compare
from tests.fidelity.tree import DEEP_NAME, NAMES, build, release
from tests.whole.ground import OWNER, started

SOCKETS = Ignore(sockets=True)
NO_TEXT = frozenset(space + b".\xff odd name " + b"n" * 100 for space in (b"user", b"trusted", b"security"))
# The folders of the tree in which the third night finds changes.
CHANGED = ("many", "links", "contents", "nested-empty")


class Kept:
    """An account that holds the fidelity tree, backed up three nights: as built, without a change, and with some."""

    def __init__(self, folder: Path) -> None:
        self.server = started(folder)
        self.data = self.server.site(1, "example.com")
        self.tree = self.data / "tree"
        build(os.fsencode(self.tree))
        self.first = self.server.backup("site1")
        self.copy = folder / "copy"
        self.copy.mkdir()
        for changed in CHANGED:
            subprocess.run(["cp", "-a", "--", self.tree / changed, self.copy], check=True)
        self.second = self.server.backup("site1")
        self._change()
        self.third = self.server.backup("site1")

    def _change(self) -> None:
        """About one percent: contents, modes, attributes, times, kinds, links, names."""
        many = self.tree / "many"
        for number in range(0, 3000, 150):
            (many / f"entry-{number:04d}").write_bytes(b"changed %d\n" % number)
        (many / "entry-0001").unlink()
        (many / "new").write_bytes(b"new\n")
        os.rename(many / "entry-0002", many / "renamed")
        os.chmod(many / "entry-0003", 0o600)
        os.setxattr(many / "entry-0004", "user.new", b"value")
        os.utime(many / "entry-0005", ns=(0, 1))
        (many / "entry-0006").unlink()
        os.symlink("entry-0007", many / "entry-0006")
        (self.tree / "links/again-file").unlink()
        (self.tree / "links/again-file").write_bytes(b"on its own now\n")
        same = os.stat(many / "entry-0008")
        (many / "entry-0008").write_bytes(b"9\n")
        os.utime(many / "entry-0008", ns=(same.st_atime_ns, same.st_mtime_ns))
        shutil.rmtree(self.tree / "nested-empty")
        with open(self.tree / "contents/random-9MiB", "r+b") as file:
            file.seek(5 << 20)
            file.write(b"one byte more or less")

    def restored(self, point: str, name: str) -> Path:
        """The data of a point, in a folder of its own."""
        to = self.server.folder / name
        done = self.server.json("restore", "site1", "--point", point, "--to", to)
        assert (done["status"], done["warnings"]) == ("complete", [])
        return to / "data"


def _different(one: Path, other: Path, ignore: Ignore = SOCKETS) -> list[str]:
    return compare(os.fsencode(one), os.fsencode(other), ignore)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _cleared(folder: Path) -> None:
    release(os.fsencode(folder))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("kept")
    yield Kept(folder)
    _cleared(folder)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-test-", dir="/dev/shm"))
    yield folder
    _cleared(folder)


def test_a_point_comes_back_elsewhere_in_every_name_byte_and_attribute(kept: Kept) -> None:
    assert kept.first["status"] == kept.third["status"] == "complete"
    assert _different(kept.data, kept.restored(kept.third["id"], "third")) == []


def test_a_night_without_changes_reads_next_to_nothing_and_each_point_keeps_its_own_state(kept: Kept) -> None:
    assert (kept.second["files"]["removed"], kept.second["entries"]) == (0, kept.first["entries"])
    assert kept.third["files"]["removed"] >= 2
    second = kept.restored(kept.second["id"], "second")
    assert _different(kept.restored(kept.first["id"], "first"), second) == []
    for changed in CHANGED:
        assert _different(kept.copy / changed, second / "tree" / changed) == []


def test_warnings_name_the_sockets_and_nothing_else(kept: Kept) -> None:
    sockets = [(f"/tree/specials/{name}", "a socket: left out") for name in ("listening", "socket")]
    assert [(each["path"], each["message"]) for each in kept.first["warnings"]] == sockets


def test_names_of_any_bytes_go_through_every_command(kept: Kept) -> None:
    point = kept.third["id"]
    for name in NAMES[:4] + NAMES[9:10]:
        path = b"/tree/names/" + name
        (entry,) = kept.server.json("ls", point, "--", path)
        assert os.fsencode(entry["path"]) == path
    listed = {os.fsencode(entry["path"]) for entry in kept.server.json("ls", point, "/tree/names")}
    assert listed == {b"/tree/names/" + name for name in NAMES}
    odd = b"/tree/names/" + NAMES[9]
    (version,) = kept.server.json("history", "site1", odd)
    assert version["points"] == [kept.first["id"], kept.second["id"], point]
    found = kept.server.json("find", "site1", b"*\xff\xfe*")
    assert {os.fsencode(each["path"]) for each in found} >= {odd, b"/tree/names-links/" + NAMES[9]}
    text = kept.server("ls", point, "/tree/names", "-l").out
    assert b"\x1b" not in text and text.count(b"\n") == len(NAMES)


def test_a_path_beyond_the_kernels_limit_is_found_shown_and_restored(kept: Kept) -> None:
    found = kept.server.json("find", "site1", "*/again")
    deepest = max((each["path"] for each in found), key=len)
    assert len(deepest) > 6000
    to = kept.server.folder / "deepest"
    done = kept.server.json("restore", "site1", deepest, "--to", to)
    assert (done["status"], done["files"]["written"]) == ("complete", 1)


def test_an_archive_holds_what_the_point_holds(kept: Kept) -> None:
    to = kept.server.folder / "unpacked"
    to.mkdir()
    archive = kept.server.folder / "point.tar"
    done = kept.server.json("download", "site1", "--point", kept.third["id"], "-o", archive, status=1)
    assert done["bytes"] == archive.stat().st_size
    with tarfile.open(archive, errors="surrogateescape") as opened:
        assert done["entries"] == len(opened.getmembers())
    unpack = ["tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--exclude=tree/deep/*", "-xpf"]
    done_by_tar = subprocess.run([*unpack, str(archive), "-C", str(to)], capture_output=True)
    assert done_by_tar.returncode == 0, done_by_tar.stderr[-1500:]
    # An archive has no inode flags, and no attributes whose names are no text: both are said.
    assert {each["message"] for each in done["warnings"]} == {
        "its inode flags are not kept in an archive",
        *(f"its attribute {name} has a name that no archive can hold" for name in map(_shown, NO_TEXT)),
    }
    # Paths beyond PATH_MAX are in the archive; GNU tar cannot make them.
    deep = frozenset([b"deep/" + DEEP_NAME])
    assert _different(kept.tree, to / "tree", Ignore(NO_TEXT, deep, sockets=True, flags=True, holes=True)) == []


def test_what_the_program_streams_is_the_same_archive(kept: Kept) -> None:
    stream = kept.server("download", "site1", "/tree/names", "--point", kept.third["id"], "-o", "-")
    assert stream.status == 0
    with tarfile.open(fileobj=io.BytesIO(stream.out), errors="surrogateescape") as opened:
        names = {os.fsencode(member.name).rpartition(b"/")[2] for member in opened if member.isfile()}
    assert names == set(NAMES)


def test_a_destroyed_account_comes_back_in_place(kept: Kept) -> None:
    server = kept.server
    wanted = kept.restored(kept.third["id"], "before")
    site = server.root / "home/virtual/site1"
    _cleared(site)
    os.mkdir(site)
    done = server.json("restore", "site1", "--point", kept.third["id"], "--devices", "--yes")
    assert done["status"] == "complete"
    found = _different(wanted, kept.data)
    # Set-id bits of files come back in place where owner and group are the account's own: here they are not.
    left_out = {os.fsencode(f".{each['path']}")[2:].decode() for each in done["warnings"]}
    assert all("set-id bits" in each["message"] for each in done["warnings"])
    assert left_out == {line.partition(": ")[0] for line in found}
    assert {line.split(": ")[1] for line in found} == {"mode"}
    again = server.backup("site1")
    changes = server.json("diff", kept.third["id"], again["id"], "/tree")
    assert {tuple(each["what"]) for each in changes if each["change"] == "changed"} == {("mode",)}
    assert [each for each in changes if each["change"] == "added"] == []


def test_on_a_file_system_in_memory_it_is_the_same(memory: Path) -> None:
    server = started(memory)
    data = server.site(1, "example.com")
    build(os.fsencode(data / "tree"))
    assert server.backup("site1")["status"] == "complete"
    done = server.json("restore", "site1", "--to", memory / "out")
    assert (done["status"], done["warnings"]) == ("complete", [])
    assert _different(data, memory / "out/data") == []


def test_what_the_target_cannot_hold_is_named_and_the_exit_status_is_1(memory: Path, tmp_path: Path) -> None:
    server = started(memory)
    data = server.site(1, "example.com")
    tree = data / "tree"
    tree.mkdir()
    (tree / "early").write_bytes(b"1677")
    os.utime(tree / "early", ns=(0, -9223372036 * 10**9))
    (tree / "heavy").write_bytes(b"64 KiB of attributes")
    os.setxattr(tree / "heavy", "user.large", bytes(60_000))
    (tree / "plain").write_bytes(b"fits anywhere")
    server.backup("site1")
    done = server.json("restore", "site1", "--to", tmp_path / "out", status=1)
    assert done["status"] == "incomplete"
    assert sorted(each["path"] for each in done["warnings"]) == ["/tree/early", "/tree/heavy"]
    different = _different(data, tmp_path / "out/data")
    assert sorted(line.split(": ")[:2] for line in different) == [["tree/early", "mtime"], ["tree/heavy", "xattr"]]
    lasting = server.backup("site1")
    assert lasting["status"] == "complete"


def test_flags_that_only_one_side_has_are_named(memory: Path, tmp_path: Path) -> None:
    server = started(tmp_path)
    data = server.site(1, "example.com")
    (data / "kept").write_bytes(b"x")
    try:
        assert flags.add(os.fsencode(data / "kept"), flags.LETTERS["t"] | flags.LETTERS["i"])
        server.backup("site1")
        done = server.json("restore", "site1", "/kept", "--to", memory / "out", status=1)
        ((path, message),) = {(each["path"], each["message"]) for each in done["warnings"]}
        assert path == "/kept" and "flags" in message
    finally:
        release(os.fsencode(tmp_path / "root"))


def test_json_of_the_whole_tree_is_one_document(kept: Kept) -> None:
    entries = json.loads(kept.server("ls", kept.third["id"], "/", "-R", "--json").out)
    by_path = {each["path"]: each for each in entries}
    assert by_path["/tree/specials/whiteout"]["rdev"] == "0:0"
    assert by_path["/tree/symlinks/not-utf-8"]["target"] == "\udcff\udcfe/\udc80"
    assert by_path["/home/admin"]["uid"] == OWNER
    assert all(len(each["mtime"].partition(".")[2]) == 10 for each in entries)
