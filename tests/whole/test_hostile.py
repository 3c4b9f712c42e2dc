"""Strangers at work while the program backs up: what is another's is never read, and nothing stops a run."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.restores.renameat2 import exchange
from strongroom.vault.folder import FolderStorage
from strongroom.vault.index import FramePlace, PackHead
from strongroom.vault.mark import ids_in
from strongroom.vault.vault import Vault
from tests.panel.servers import site, write
from tests.whole.ground import OWNER, Server, started

OTHER = 20000
SECRET = b"the other account's password is swordfish"
SECRETS = b"".join(b"%s %06d\n" % (SECRET, number) for number in range(2000))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Two accounts: site1, who is hostile, and site2 with a secret of some length that all the world may read."""
    server = started(tmp_path)
    server.site(1, "evil.example")
    secret = write(server.site(2, "victim.example", uid=OTHER) / "secret/private.txt", SECRETS)
    os.chown(secret, OTHER, OTHER)
    return server


def data(server: Server, number: int = 1) -> Path:
    return server.root / f"home/virtual/site{number}/shadow"


def own(path: Path) -> Path:
    os.chown(path, OWNER, OWNER, follow_symlinks=False)
    return path


def chunks(server: Server) -> Iterator[bytes]:
    """Every chunk that the vault's packs hold, whatever refers to it."""
    passphrase = (server.folder / "passphrase").read_bytes().strip()
    vault = Vault(FolderStorage(str(server.folder / "vault")), str(server.folder / "looking"), passphrase)
    for name in vault.index.runs:
        for entry in vault.index.read_run(name):
            head = PackHead(entry.id, entry.kind, entry.size)
            for part in entry.frames:
                frame = vault.reader.read_frame(FramePlace(head, part.offset, part.size))
                for id in ids_in(part.ids):
                    found = frame.chunk(id)
                    assert found is not None
                    yield found[0]


def leaked(server: Server) -> bool:
    """Whether any byte of the secret is in the vault, or comes back from a point of it."""
    return any(SECRET in chunk for chunk in chunks(server))


@contextlib.contextmanager
def meanwhile(act: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
    """Do something again and again beside what the test does."""
    ended = threading.Event()

    def again() -> None:
        while not ended.is_set():
            act()
            time.sleep(pause)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def swapping(folder: Path, one: str, other: str) -> Callable[[], None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    return lambda: exchange(fd, one.encode(), fd, other.encode())


def test_a_search_by_chunk_finds_what_is_there(server: Server) -> None:
    server.backup("site2")
    assert leaked(server)


def test_a_folder_swapped_for_a_link_to_anothers_gives_nothing_away(server: Server) -> None:
    folder = data(server) / "www"
    for number in range(150):
        write(folder / f"inner/{number % 10}/{number}", b"mine %d" % number)
    (folder / "inner/secret").mkdir()
    os.symlink(data(server, 2), folder / "trap")
    for _ in range(2):
        with meanwhile(swapping(folder, "inner", "trap")):
            done = server("--json", "backup", "site1", "--level", "full")
        assert done.status in (0, 1), done
    # And while folders are walked by a path below the one that is swapped.
    os.symlink(data(server, 2) / "secret", folder / "inner/trap-too")
    with meanwhile(swapping(folder / "inner", "secret", "trap-too")):
        done = server("--json", "backup", "site1", "--level", "full")
    assert done.status in (0, 1)
    assert not leaked(server)
    for point in server.json("points", "site1"):
        names = {each["path"].rpartition("/")[2] for each in server.json("ls", point["id"], "-R")}
        assert "private.txt" not in names


def test_a_file_swapped_for_a_hard_link_to_anothers_gives_nothing_away(server: Server) -> None:
    folder = data(server) / "www"
    for number in range(300):
        own(write(folder / f"{number:04d}", b"mine\n" * 500))
    own(write(folder / "0150-bait", b"bait\n" * 500))
    os.link(data(server, 2) / "secret/private.txt", folder / "0150-trap")
    swap = swapping(folder, "0150-bait", "0150-trap")
    for _ in range(3):
        with meanwhile(swap):
            done = server("--json", "backup", "site1", "--level", "full")
        assert done.status in (0, 1), done
    assert not leaked(server)


def test_what_becomes_a_pipe_or_a_link_before_it_is_opened_holds_nothing_up(server: Server) -> None:
    folder = data(server) / "www"
    for number in range(300):
        own(write(folder / f"{number:04d}", b"mine\n" * 500))
    os.mkfifo(folder / "pipe")
    os.symlink(data(server, 2) / "secret/private.txt", folder / "link")
    (folder / "folder").mkdir()
    write(folder / "folder/inside", b"in a folder")
    for other in ("pipe", "link", "folder"):
        with meanwhile(swapping(folder, "0150", other)):
            done = server("--json", "backup", "site1", "--level", "full")
        assert done.status in (0, 1), done
    assert not leaked(server)
    assert server.backup("site1")["status"] == "complete"
    assert server("restore", "site1", "--to", server.folder / "out").status == 0


def test_pipes_are_never_opened_and_sockets_are_named(server: Server) -> None:
    folder = data(server) / "www"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "terminal", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    os.mknod(folder / "disk", stat.S_IFBLK | 0o666, os.makedev(240, 9))
    listener = socket.socket(socket.AF_UNIX)
    fd = os.open(folder, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{fd}/socket")
    opened = threading.Event()

    def write_to_pipe() -> None:
        os.close(os.open(folder / "pipe", os.O_WRONLY))
        opened.set()

    waiting = threading.Thread(target=write_to_pipe, daemon=True)
    waiting.start()
    point = server.backup("site1")
    assert not opened.wait(0.2)  # who opens a pipe to write waits until somebody opens it to read
    os.close(os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK))
    waiting.join()
    listener.close()
    os.close(fd)
    assert point["status"] == "complete"
    assert [(each["path"], each["message"]) for each in point["warnings"]] == [("/www/socket", "a socket: left out")]
    kinds = {each["path"]: each["type"] for each in server.json("ls", point["id"], "/www")}
    assert (kinds["/www/pipe"], kinds["/www/terminal"], kinds["/www/disk"]) == ("fifo", "char", "block")


def test_a_hard_link_to_anothers_file_is_named_and_its_content_left_out(server: Server) -> None:
    folder = data(server) / "www"
    folder.mkdir()
    os.link(data(server, 2) / "secret/private.txt", folder / "mine-now.txt")
    point = server.backup("site1")
    assert point["status"] == "complete"
    ((path, message),) = {(each["path"], each["message"]) for each in point["warnings"]}
    assert path == "/www/mine-now.txt" and f"user {OTHER}" in message and "content left out" in message
    assert not leaked(server)
    done = server("--json", "restore", "site1", "--to", server.folder / "out")
    assert done.status == 0
    assert [each["path"] for each in done.document["warnings"]] == ["/www/mine-now.txt"]
    assert not (server.folder / "out/data/www/mine-now.txt").exists()


def test_all_names_of_a_file_inside_the_account_keep_its_content_whoever_owns_it(server: Server) -> None:
    folder = data(server) / "www"
    one = write(folder / "by-apache", b"written by the web server")
    os.chown(one, 48, 48)
    (data(server) / "elsewhere").mkdir()
    os.link(one, data(server) / "elsewhere/other-name")
    for level in ("full", "incremental"):
        point = server.backup("site1", "--level", level)
        assert (point["status"], point["warnings"]) == ("complete", [])
        out = server.folder / level
        server.json("restore", "site1", "--to", out)
        assert os.path.samefile(out / "data/www/by-apache", out / "data/elsewhere/other-name")
        assert (out / "data/www/by-apache").read_bytes() == b"written by the web server"
    # A third name outside the account makes it another's file.
    os.link(one, data(server, 2) / "third-name")
    point = server.backup("site1")
    assert sorted(each["path"] for each in point["warnings"]) == ["/elsewhere/other-name", "/www/by-apache"]


def test_a_file_that_grows_while_it_is_read_is_named_and_the_rest_is_kept(server: Server) -> None:
    log = own(write(data(server) / "logs/access.log", b"line\n" * 2_000_000))
    write(data(server) / "logs/quiet.log", b"quiet\n")
    with log.open("ab", buffering=0) as growing, meanwhile(lambda: growing.write(b"one more line\n")):
        # On a busy machine the file may stand still for as long as a reading takes.
        points = (server("--json", "backup", "site1").document["points"][0] for _ in range(100))
        point = next(point for point in points if point["status"] == "incomplete")
    ((path, message),) = {(each["path"], each["message"]) for each in point["warnings"]}
    assert path == "/logs/access.log" and "changed while it was read" in message
    done = server.json("restore", "site1", "--to", server.folder / "out", status=1)
    assert [each["path"] for each in done["warnings"]] == ["/logs/access.log"]
    kept = (server.folder / "out/data/logs/access.log").read_bytes()
    assert kept == log.read_bytes()[: len(kept)] and len(kept) >= 10_000_000
    assert (server.folder / "out/data/logs/quiet.log").read_bytes() == b"quiet\n"
    again = server.backup("site1")
    assert (again["status"], again["files"]["changed"]) == ("complete", 1)


def test_folders_that_come_and_go_while_they_are_walked_stop_nothing(server: Server) -> None:
    folder = data(server) / "cache"
    folder.mkdir()
    write(data(server) / "www/index.php", b"<?php")

    numbers = itertools.count()

    def churn() -> None:
        # Each name comes once: one that is another folder whenever it is looked at is swapped, and named as a defect.
        new = [str(next(numbers)) for _ in range(40)]
        for name in new:
            write(folder / name / name / "file", b"x")
        for name in new:
            shutil.rmtree(folder / name)

    with meanwhile(churn):
        for _ in range(2):
            point = server.backup("site1", "--level", "full")
            assert point["status"] == "complete"
            assert all("vanished" in each["message"] for each in point["warnings"])
    assert server("restore", "site1", "/www", "--to", server.folder / "out").status == 0


def test_a_sparse_file_of_petabytes_costs_nothing(server: Server) -> None:
    huge = own(write(data(server) / "www/huge"))
    size = _largest(huge)
    with huge.open("r+b") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"in the middle")
    point = server.backup("site1")
    assert point["status"] == "complete"
    assert point["stored_bytes"] < 100_000
    (entry,) = server.json("ls", point["id"], "/www/huge")
    assert entry["size"] == size
    assert server.json("plan", "site1")["bytes"] < 100_000
    assert server.json("restore", "site1", "--to", server.folder / "out")["status"] == "complete"
    back = server.folder / "out/data/www/huge"
    assert (back.stat().st_size, back.stat().st_blocks <= huge.stat().st_blocks) == (size, True)
    with back.open("rb") as file:
        file.seek(size // 2)
        assert file.read(13) == b"in the middle"


def _largest(path: Path) -> int:
    """The largest size, as a power of two, that the file system lets a file have."""
    for power in range(60, 40, -1):
        with contextlib.suppress(OSError):
            os.truncate(path, 1 << power)
            os.truncate(path, 0)
            return (1 << power) - (1 << 20)
    pytest.skip("the file system has no large files")


def test_thousands_of_files_in_one_folder_are_one_record(server: Server) -> None:
    folder = data(server) / "sessions"
    folder.mkdir()
    for number in range(5_000):
        os.close(os.open(folder / f"sess_{number:032x}", os.O_CREAT | os.O_WRONLY, 0o600))
    assert server.backup("site1")["files"]["seen"] >= 5_000
    (folder / f"sess_{77:032x}").write_bytes(b"changed")
    point = server.backup("site1")
    assert server.json("plan", "site1", f"/sessions/sess_{77:032x}")["bytes"] < 1000
    assert len(server.json("ls", point["id"], "/sessions")) == 5_000


def test_an_account_whose_folder_is_a_link_is_not_followed(server: Server) -> None:
    shutil.rmtree(data(server))
    os.symlink(data(server, 2), data(server))
    point = server.backup("site1", status=1)
    ((path, message),) = {(each["path"], each["message"]) for each in point["warnings"]}
    assert (point["status"], path) == ("incomplete", "/") and str(data(server)) in message
    os.symlink("site2/shadow", server.root / "home/virtual/victim.example")
    os.symlink("site2", server.root / "home/virtual/site3")
    assert [each["account"] for each in server.json("accounts") if each["account"] != "server"] == ["site1", "site2"]
    assert not leaked(server)


def test_an_account_folder_that_becomes_a_link_during_the_run_is_not_followed(server: Server) -> None:
    write(data(server) / "www/index.php", b"<?php")
    home = server.root / "home/virtual/site1"
    os.symlink(data(server, 2), home / "trap")
    with meanwhile(swapping(home, "shadow", "trap")):
        for _ in range(3):
            done = server("--json", "backup", "site1", "--level", "full")
            assert done.status in (0, 1, 2), done
    assert not leaked(server)


def test_the_composed_tree_is_never_read(server: Server) -> None:
    write(server.root / "home/virtual/site1/fst/etc/only-here", SECRET)
    write(server.root / "home/virtual/site1/info/work/work/only-here", SECRET)
    point = server.backup("site1")
    paths = {each["path"] for tree in ("/", "info:/") for each in server.json("ls", point["id"], tree, "-R")}
    assert not any("only-here" in path for path in paths)
    assert not leaked(server)


def test_an_unreadable_database_folder_or_mailbox_of_one_account_does_not_stop_the_others(server: Server) -> None:
    site(server.root, 3, "third.example", uid=30000)
    write(data(server) / "var/lib/mysql/ibdata1", b"pages")
    done = server("--json", "backup")
    assert done.status == 0
    assert sorted(point["account"] for point in done.document["points"]) == ["server", "site1", "site2", "site3"]
    listed = {each["path"] for each in server.json("ls", "site1:latest", "-R")}
    assert "/var/lib/mysql/ibdata1" not in listed
