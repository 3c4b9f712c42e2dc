"""Promises of the interface that only show when the real program runs on real trees."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.panel.servers import write
from tests.whole.ground import Done, Server, started
from tests.whole.nights import Nights

PLAIN = """[server]
layout = "plain"
accounts = ["/srv/*"]
root = "{folder}/root"
state = "{folder}/state"
[vault]
url = "{folder}/vault"
passphrase_file = "{folder}/passphrase"
[backup]
exclude = ["*.tmp", "cache/"]
"""
NOBODY = 65534


def test_one_file_comes_back_in_place_and_nothing_else_is_touched(nights: Nights) -> None:
    server, (first, _) = nights.server, nights.ids()
    write(nights.html / "same", b"edited since")
    done = server.json("restore", "site1", "/var/www/html/index.php", "--point", first, "--yes")
    assert (done["status"], done["files"]) == ("complete", {"written": 1, "unchanged": 0, "deleted": 0, "bytes": 12})
    assert (nights.html / "index.php").read_bytes() == b"<?php // one"
    assert (nights.html / "same").read_bytes() == b"edited since"
    assert not (nights.html / "gone").exists()


def test_a_dry_run_changes_nothing_and_counts_what_the_restore_then_does(nights: Nights) -> None:
    server, (first, _) = nights.server, nights.ids()
    asked = ("restore", "site1", "/var/www/html", "--point", first, "--mode", "mirror")
    before = sorted((path, path.stat().st_ctime_ns) for path in nights.data.rglob("*"))
    would = server.json(*asked, "--dry-run")
    assert sorted((path, path.stat().st_ctime_ns) for path in nights.data.rglob("*")) == before
    assert (would["writes"], would["deletes"]) == (["/var/www/html/gone"], ["/var/www/html/new"])
    assert would["replaces"] == ["/var/www/html/index.php"]
    assert server.json(*asked, status=2)["error"]["code"] == "restore"
    done = server.json(*asked, "--yes")
    assert {key: would["files"][key] for key in done["files"]} == done["files"]
    assert sorted(os.listdir(nights.html)) == ["gone", "index.php", "same"]


def test_diff_tells_each_kind_of_change(nights: Nights) -> None:
    html, server = nights.html, nights.server
    for name in ("mode", "owner", "mtime", "xattr", "acl", "flags", "type", "links", "content"):
        write(html / name, b"before")
    os.symlink("before", html / "target")
    os.mknod(html / "rdev", 0o020600, os.makedev(1, 3))
    before = server.backup("site1")["id"]
    os.chmod(html / "mode", 0o600)
    os.chown(html / "owner", 1, 2)
    os.utime(html / "mtime", ns=(0, 5))
    os.setxattr(html / "xattr", "user.x", b"1")
    subprocess.run(["setfacl", "-m", "u:48:r", html / "acl"], check=True)
    subprocess.run(["chattr", "+d", html / "flags"], check=True)
    os.unlink(html / "type")
    os.symlink("elsewhere", html / "type")
    os.link(html / "links", html / "links-too")
    moment = (html / "content").stat().st_mtime_ns
    (html / "content").write_bytes(b"behind")
    os.utime(html / "content", ns=(moment, moment))
    times = {name: os.lstat(html / name) for name in ("target", "rdev")}
    os.unlink(html / "target")
    os.symlink("after", html / "target")
    os.unlink(html / "rdev")
    os.mknod(html / "rdev", 0o020600, os.makedev(1, 5))
    for name, old in times.items():
        os.utime(html / name, ns=(old.st_atime_ns, old.st_mtime_ns), follow_symlinks=False)
    after = server.backup("site1")["id"]
    found = {each["path"].rpartition("/")[2]: each for each in server.json("diff", before, after, "/var/www/html")}
    for name in ("mode", "owner", "mtime", "xattr", "flags", "links", "content", "target", "rdev"):
        assert (found[name]["change"], found[name]["what"]) == ("changed", [name]), name
    assert "acl" in found["acl"]["what"] and "xattr" not in found["acl"]["what"]
    assert "type" in found["type"]["what"]
    assert (found["links-too"]["change"], found["links-too"]["what"]) == ("added", [])
    assert server.json("diff", after, after) == []


def test_history_lists_each_version_once_and_a_path_that_came_back_too(nights: Nights) -> None:
    server, (first, second) = nights.server, nights.ids()
    shown = server.json("history", "site1", "/var/www/html/index.php")
    assert [(each["version"], each["size"], each["points"]) for each in shown] == [(2, 20, [second]), (1, 12, [first])]
    (gone,) = server.json("history", "site1", "/var/www/html/gone")
    assert (gone["first_point"], gone["last_point"]) == (first, first)
    done = server.json("restore", "site1", "/var/www/html", "--point", first, "--yes")
    assert done["status"] == "complete"
    third = server.backup("site1")["id"]
    shown = server.json("history", "site1", "/var/www/html/index.php")
    assert sorted(each["points"] for each in shown) == sorted([[first, third], [second]])


def test_plan_counts_what_is_read_for_the_paths_alone(kept: Nights) -> None:
    server = kept.server
    whole = server.json("plan", "site1")
    one = server.json("plan", "site1", "/var/www/html/index.php")
    assert 0 < one["bytes"] < whole["bytes"] == sum(step["bytes"] for step in whole["reads"])
    assert {"run", "level", "what", "bytes"} <= set(one["reads"][0])
    assert server.json("plan", "site1", "--point", kept.first["id"])["reads"][0]["level"] == "full"


@pytest.mark.parametrize("kind", ["tar", "tar.zst", "zip"])
def test_download_writes_each_format_of_a_point_and_of_live_data(kept: Nights, tmp_path: Path, kind: str) -> None:
    for more, wanted in ((("--point", kept.first["id"]), "gone"), ((), "new")):
        file = tmp_path / f"{wanted}.{kind}"
        done = kept.server.json("download", "site1", "/var/www/html", "-o", file, *more)
        assert (done["path"], done["bytes"]) == (str(file), file.stat().st_size)
        names = _names(file.read_bytes(), kind)
        assert done["entries"] == len(names)
        inside = {name.rpartition("/")[2] for name in names}
        assert inside & {"gone", "new", "same"} == {wanted, "same"}


def _names(data: bytes, kind: str) -> list[str]:
    if kind == "zip":
        return zipfile.ZipFile(io.BytesIO(data)).namelist()
    if kind == "tar.zst":
        data = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return [member.name for member in tarfile.open(fileobj=io.BytesIO(data))]


def test_points_of_a_destroyed_account_answer_every_question_and_bring_it_back(nights: Nights, tmp_path: Path) -> None:
    server, (first, second) = nights.server, nights.ids()
    shutil.rmtree(server.root / "home/virtual/site1")
    for name in ("site1", "example.com"):
        assert [point["id"] for point in server.json("points", name)] == [second, first]
    assert server.json("ls", "site1:latest", "/var/www/html/new")[0]["size"] == 3
    assert len(server.json("find", "example.com", "index.php")) == 2
    assert server.json("plan", "site1")["bytes"] > 0
    assert server.json("download", "site1", "--point", "latest", "-o", tmp_path / "gone.tar")["entries"] > 0
    assert "site1" in server.json("status", status=1)["gone"]
    assert server("--json", "backup", "site1").status == 2
    assert server.json("restore", "example.com", "--yes")["status"] == "complete"
    assert (nights.html / "new").read_bytes() == b"new"
    assert {each["account"] for each in server.json("accounts")} == {"site1", "site2", "server"}


def test_an_account_that_lost_its_files_makes_no_complete_point(nights: Nights) -> None:
    server = nights.server
    shutil.rmtree(nights.data)
    lost = server.backup("site1", status=1)
    assert (lost["status"], [each["path"] for each in lost["warnings"]]) == ("incomplete", ["/"])
    assert server.json("status", status=1)["accounts"][0]["point"] == nights.second["id"]
    assert server.json("forget", "--dry-run")["kept"]
    assert server.json("restore", "site1", "--complete", "--yes")["point"] == nights.second["id"]
    assert (nights.html / "new").read_bytes() == b"new"


def test_a_download_of_what_is_left_of_an_account_says_what_is_missing(nights: Nights) -> None:
    shutil.rmtree(nights.data)
    lost = nights.server.json("download", "site1", "-o", nights.server.folder / "x.tar", status=1)
    assert (lost["status"], [each["path"] for each in lost["warnings"]]) == ("incomplete", ["/"])
    assert str(nights.data) in lost["warnings"][0]["message"]


def test_an_account_that_lost_everything_fails_the_night_and_comes_back(nights: Nights) -> None:
    server = nights.server
    folder = nights.data.parent
    (folder / "fst").mkdir()
    for below in ("shadow", "info"):
        shutil.rmtree(folder / below)
    night = server.json("backup", status=1)
    assert [each["account"] for each in night["failures"]] == ["site1"]
    assert {each["account"] for each in night["points"]} == {"site2", "server"}
    assert server("backup", "site1").status == 2
    lost = server.json("status", status=1)["accounts"][0]
    assert (lost["account"], lost["point"]) == ("site1", nights.second["id"])
    assert str(folder / "shadow") in lost["problems"][0] and str(folder / "info") in lost["problems"][1]
    assert server.json("download", "site1", "-o", server.folder / "x.tar", status=2)["error"]["code"] == "unknown"
    assert server.json("restore", "example.com", "--yes")["status"] == "complete"
    assert (nights.html / "new").read_bytes() == b"new"
    assert server.backup("site1")["status"] == "complete"


def test_the_vault_may_be_moved_and_the_state_be_gone_at_once(nights: Nights) -> None:
    server = nights.server
    before = server.json("points"), server.json("show", nights.second["id"])
    (server.folder / "vault").rename(server.folder / "moved")
    shutil.rmtree(server.folder / "state")
    error = server.json("points", status=2)["error"]
    assert error["code"] == "client" and str(server.folder / "vault") in error["message"]
    assert not (server.folder / "vault").exists()
    server.config.write_text(server.config.read_text().replace("/vault", "/moved"))
    assert (server.json("points"), server.json("show", nights.second["id"])) == before
    assert server.backup("site1")["level"] in ("differential", "incremental", "full")
    shutil.rmtree(server.folder / "state")
    again = server.backup("site1", "--level", "incremental")
    assert (again["level"], again["files"]["removed"]) == ("incremental", 0)


def test_forget_and_prune_free_the_room_and_say_how_much(nights: Nights) -> None:
    server = nights.server
    write(nights.data / "big", os.urandom(8 << 20))
    big = server.backup("site1")["id"]
    (nights.data / "big").unlink()
    last = server.backup("site1")["id"]
    assert server.json("forget", big) == {"forgotten": [big], "kept": []}
    assert server.json("show", big, status=2)["error"]["code"] == "unknown"
    would = server.json("prune", "--dry-run")
    room = _size(server.folder / "vault")
    freed = server.json("prune")
    assert set(freed) == {"freed_bytes", "held_bytes", "objects"}
    assert freed["freed_bytes"] > 8 << 20 and freed["objects"] > 0 and would["freed_bytes"] > 8 << 20
    assert abs(room - _size(server.folder / "vault") - freed["freed_bytes"]) < 100_000
    kept = server.json("forget")["kept"]
    assert last in {each["id"] for each in kept} and all(each["because"] for each in kept)
    assert server.json("check", "--read-data")["status"] == "clean"
    assert server.json("restore", "site1", "--to", server.folder / "out")["status"] == "complete"


def test_prune_counts_the_bytes_of_a_point_that_shares_all_it_holds(kept: Nights) -> None:
    server = kept.server
    twin = server.backup("site2")["id"]
    last = server.backup("site2")["id"]
    server.json("forget", twin)
    stored = (server.folder / "vault/snapshots" / twin).stat().st_size
    would = server.json("prune", "--dry-run")
    assert (would["freed_bytes"] >= stored, would["objects"] >= 1) == (True, True)
    assert server.json("prune") == {each: would[each] for each in ("freed_bytes", "held_bytes", "objects")}
    assert server.json("show", last)["id"] == last


def test_a_point_that_cannot_be_read_is_given_up_by_its_id(nights: Nights) -> None:
    server = nights.server
    point = server.folder / "vault/snapshots" / nights.second["id"]
    data = bytearray(point.read_bytes())
    data[len(data) // 2] ^= 1
    point.write_bytes(data)
    shutil.rmtree(server.folder / "state")
    assert [each["id"] for each in server.json("points", "site1")] == [nights.first["id"]]
    error = server.json("prune", status=2)["error"]["message"]
    assert error.endswith(f"strongroom forget {nights.second['id']}")
    assert server("check").out.decode().count(f"snapshots/{nights.second['id']}") == 1
    assert server.json("forget", nights.second["id"]) == {"forgotten": [nights.second["id"]], "kept": []}
    assert server.json("prune")["objects"] > 0
    assert server.json("check", "--read-data")["status"] == "clean"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_damage_is_found_named_and_the_next_run_heals_what_it_can_read(nights: Nights) -> None:
    server = nights.server
    write(nights.data / "precious", os.urandom(3 << 20))
    point = server.backup("site1")["id"]
    pack = max((server.folder / "vault/packs").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    found = server.json("check", "--read-data", status=1)
    assert found["status"] == "damaged"
    (damage,) = found["damage"]
    assert (damage["points"], damage["paths"]) == ([point], ["/precious"])
    assert pack.name in damage["object"] and damage["message"]
    done = server.json("restore", "site1", "--to", server.folder / "out", status=1)
    assert ([each["path"] for each in done["warnings"]], done["status"]) == (["/precious"], "incomplete")
    assert (server.folder / "out/data/var/www/html/new").exists()
    assert not (server.folder / "out/data/precious").exists()
    assert server.backup("site1")["status"] == "complete"
    assert server.json("restore", "site1", "--to", server.folder / "healed")["status"] == "complete"


def test_a_vault_without_room_ends_with_one_line_and_stops_no_later_run(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", vault], check=True)
    try:
        server = started(tmp_path)
        data = server.site(1, "example.com")
        first = server.backup("site1")["id"]
        big = write(data / "big", os.urandom(20 << 20))
        done = server("backup", "site1")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert "No space left" in done.err
        big.unlink()
        assert server.backup("site1")["status"] == "complete"
        assert server.json("check", "--read-data")["status"] == "clean"
        subprocess.run(["mount", "-o", "remount,ro", vault], check=True)
        done = server("backup", "site1")
        assert (done.status, done.err.count("\n")) == (2, 1) and "Read-only" in done.err
        shutil.rmtree(server.folder / "state")
        done_to = server.json("restore", "site1", "--point", first, "--to", server.folder / "out")
        assert done_to["status"] == "complete"
        assert server.json("check")["status"] == "clean"
    finally:
        subprocess.run(["umount", vault], check=True)


@pytest.mark.parametrize("option", ["ro", "size=16k"])
def test_a_state_folder_that_takes_nothing_stops_no_restore(nights: Nights, option: str) -> None:
    server = nights.server
    state = server.folder / "state"
    shutil.rmtree(state)
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", state], check=True)
    try:
        done = server("restore", "site1", "--to", server.folder / "out")
        assert (done.status, done.err.count("\n")) == (0, 1), done
        assert str(state) in done.err and "Errno" not in done.err
        assert (server.folder / "out/data/var/www/html/new").read_bytes() == b"new"
        assert server("check", "--read-data").status == 0
    finally:
        subprocess.run(["umount", state], check=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", ":1"),
        ("[server]\nlayuot = 'x'\n", "server.layuot"),
        ("[server]\nlayout = 3\n", "server.layout"),
        ("[vault]\nurl = 'relative'\n", "vault.url"),
        ("[backup]\nfull = 'sometimes'\n", "backup.full"),
    ],
)
def test_a_configuration_of_nonsense_is_one_line_with_the_key(tmp_path: Path, text: str, named: str) -> None:
    server = Server(tmp_path, text)
    done = server("points")
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1)
    assert named in done.err and str(server.config) in done.err
    assert server.json("backup", status=2)["error"]["code"] == "config"


def test_an_account_of_a_plain_layout_keeps_what_is_excluded_in_a_mirror(tmp_path: Path) -> None:
    server = Server(tmp_path, PLAIN)
    alpha = server.root / "srv/alpha"
    for name in ("kept", "left.tmp", "cache/left", "deep/cache/left"):
        write(alpha / name, b"x")
    server.json("init")
    server.json("backup")
    assert [each["path"] for each in server.json("ls", "alpha:latest", "-R")] == ["/deep", "/kept"]
    assert server.json("ls", "alpha:latest", "info:/") == []
    write(alpha / "extra", b"x")
    write(alpha / "kept", b"changed")
    done = server.json("restore", "alpha", "--mode", "mirror", "--yes")
    assert (done["files"]["written"], done["files"]["deleted"]) == (1, 1)
    assert sorted(os.listdir(alpha)) == ["cache", "deep", "kept", "left.tmp"]
    assert server.json("restore", "alpha", "/kept", "--to", tmp_path / "out")["files"]["written"] == 1
    assert os.listdir(tmp_path / "out") == ["data"]


def test_what_the_server_has_on_other_file_systems_is_in_its_point(nights: Nights) -> None:
    """Many a server has /var on a disk of its own, and /var/lib/mysql on another."""
    server = nights.server
    mounts = [server.root / "var", server.root / "var/lib/mysql", server.root / "var/log/mailer_tables.d"]
    for mount in mounts:
        mount.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount], check=True)
    try:
        write(mounts[0] / "log/mailer_table", b"rows")
        write(mounts[0] / "log/secure", b"of nobody's business")
        write(mounts[1] / "mysql-grants.sql", b"GRANT")
        write(mounts[2] / "inside", b"asked for by name")
        elsewhere = mounts[2] / "elsewhere"
        elsewhere.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", elsewhere], check=True)
        try:
            write(elsewhere / "x", b"not asked for")
            first, second = server.backup("server"), server.backup("server")
            live = server.folder / "live.tar"
            assert server("download", "server", "-o", live).status == 0
        finally:
            subprocess.run(["umount", elsewhere], check=True)
        wanted = ["log/mailer_table", "log/mailer_tables.d/inside", "lib/mysql/mysql-grants.sql"]
        for point in (first, second):
            assert [each["path"] for each in point["warnings"]] == ["/var/log/mailer_tables.d/elsewhere"]
            held = server.json("ls", point["id"], "-R")
            assert {each["path"] for each in held if each["type"] == "file"} == {f"/var/{each}" for each in wanted}
        assert second["files"]["unchanged"] == len(wanted)
        with tarfile.open(live) as archive:
            assert {each.name for each in archive if each.isfile()} == {f"var/{each}" for each in wanted}
        for each in wanted:
            (server.root / "var" / each).unlink()
        assert server.json("restore", "server", "--yes")["files"]["written"] == len(wanted)
        assert (mounts[1] / "mysql-grants.sql").read_bytes() == b"GRANT"
    finally:
        for mount in reversed(mounts):
            subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("name", ["a b", "\u00fcber", "it's [odd]*", "-x", "l" * 120])
def test_an_account_of_any_name_comes_back(tmp_path: Path, name: str) -> None:
    server = Server(tmp_path, PLAIN)
    file = server.root / "srv" / name / "file"
    write(file, b"backed up")
    server.json("init")
    server.json("backup")
    write(file, b"changed")
    server.json("restore", "--yes", "--", name)
    assert file.read_bytes() == b"backed up"
    assert os.listdir(file.parents[1]) == [name]
    server.json("restore", "--to", tmp_path / "out", "--", name)
    assert (tmp_path / "out/data/file").read_bytes() == b"backed up"


def test_who_is_not_root_is_told_once_what_cannot_be_kept(passable: Path) -> None:
    (passable / "own").mkdir()
    server = Server(passable / "own", PLAIN)
    mine = server.root / "srv/mine"
    for name in ("file", "secret", "closed/inside", "others"):
        write(mine / name, b"x")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", server.folder], check=True)
    os.chown(mine / "others", 1234, 1234)
    for name, mode in (("secret", 0o600), ("closed", 0o700)):
        os.chown(mine / name, 0, 0)
        os.chmod(mine / name, mode)
    assert _as_nobody(server, "init").status == 0
    done = _as_nobody(server, "--json", "backup", "mine")
    (point,) = done.document["points"]
    assert (done.status, point["status"], done.err.count("\n")) == (1, "incomplete", 1)
    assert "not running as root" in done.err
    assert sorted(each["path"] for each in point["warnings"]) == ["/closed", "/secret"]
    done = _as_nobody(server, "--json", "restore", "mine", "--to", server.folder / "out")
    assert "error" not in done.document, done
    said = sorted((each["path"], each["message"]) for each in done.document["warnings"])
    assert (done.status, [path for path, _ in said]) == (1, ["", "/closed", "/secret"])
    assert "not run as root" in said[0][1]
    assert (server.folder / "out/data/others").read_bytes() == b"x"


def _as_nobody(server: Server, *arguments: str | Path) -> Done:
    """Run the program without privileges; where the interpreter is root's alone, everything is imported before."""
    script = (
        "import os, pkgutil, sys, importlib, strongroom, sqlite3, tempfile, shutil, json, encodings.ascii\n"
        "for each in pkgutil.walk_packages(strongroom.__path__, 'strongroom.'):\n"
        "    each.name.endswith('__main__') or importlib.import_module(each.name)\n"
        "from importlib.metadata import entry_points\n"
        "list(entry_points(group='strongroom.clients'))\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); os.chdir('/')\n"
        "from strongroom.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    given = [sys.executable, "-c", script, "--config", str(server.config), *map(str, arguments)]
    done = subprocess.run(given, capture_output=True, stdin=subprocess.DEVNULL)
    return Done(done.returncode, done.stdout, done.stderr.decode())
