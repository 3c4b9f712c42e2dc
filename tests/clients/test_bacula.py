"""The conformance suite against Bacula: its director, storage and file daemon, started for each test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.clients.bacula.jobs import troubles
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import NAME, Driver, Kit
from tests.servers.bacula import CONSOLE_PASSWORD, Bacula
from tests.servers.folder import server_folder

_RUNNING: list[Bacula] = []


def started(folder: Path, storage: Path) -> str:
    """The table of a client whose Bacula is started for it, and ended with the test."""
    bacula = Bacula(folder / "bacula", storage)
    _RUNNING.append(bacula)
    return bacula.table() + 'next_pool = "Whole"\n'


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    while _RUNNING:
        _RUNNING.pop().stop()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: what Bacula has read of a preallocated file, a disk's file system then shows as data."""
    with server_folder() as folder:
        yield folder


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path, BACULA).vouch()


BACULA = Driver(
    "bacula", ("full", "differential", "incremental"), started, alone=False, encrypted=False, program="bconsole"
)


class TestBacula(Conformance):
    driver = BACULA
    test_twenty_thousand_files = None  # type: ignore[assignment]  # with more of Bacula's own below


def test_twenty_thousand_files(kit: Kit) -> None:
    """One of them comes back from the full set alone, in one job; an increment has what changed."""
    for number in range(20_000):
        if number % 200 == 0:
            folder = kit.data / f"many/{number // 200:03}"
            folder.mkdir(parents=True)
        (folder / f"{number:05}").write_bytes(b"%d\n" % number)
    full = kit.backup("--level", "full")
    assert full["files"]["seen"] > 20_000
    changed = kit.data / "many/007/01400"
    changed.write_bytes(b"changed\n")
    os.rename(kit.data / "many/099", kit.data / "many/moved")
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["status"]) == ("incremental", "complete")
    (job,) = [line for line in _RUNNING[0].say("list jobs").splitlines() if "| I " in line]
    assert 200 < int(job.split("|")[6].replace(",", "")) < 450
    assert (kit.restored(point["id"], "/many/050/10007") / "many/050/10007").read_bytes() == b"10007\n"
    back = kit.restored(point["id"], "/many")
    done = subprocess.run(["diff", "-r", kit.data / "many", back / "many"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_purged_job_is_told_of_every_point_that_needs_it(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"one\n")
    points = [kit.backup("--level", "full")["id"]]
    for content in (b"two\n", b"three\n"):
        (kit.data / "file").write_bytes(content)
        points.append(kit.backup("--level", "incremental")["id"])
    reads = kit.json("plan", "site1", "--point", points[2])["reads"]
    assert [read["what"].rpartition("; ")[2] for read in reads] == [
        f"job {number} on Strongroom-000{number}" for number in (1, 2, 3)
    ]
    _RUNNING[0].say("delete jobid=2")
    assert points[1] in kit.refused("plan", "site1", "--point", points[2])
    assert kit.json("plan", "site1", "--point", points[0])["reads"][0]["level"] == "full"
    found = kit.json("check", "--client", NAME, status=1)
    assert found["status"] == "damaged"
    assert [sorted(damage["points"]) for damage in found["damage"]] == [sorted(points[1:])]
    # A chain with a hole in it is built on no more: what falls back is told as what it is.
    done = kit("--json", "backup", "site1", "--client", NAME, "--level", "incremental")
    assert (done.status, done.document["points"][0]["level"]) == (0, "full")
    assert "a full one is made" in done.err


def test_what_bacula_has_no_base_for_is_told_as_the_full_one_that_it_is(kit: Kit) -> None:
    """A file set that a person changed makes Bacula fall back by itself."""
    (kit.data / "file").write_bytes(b"one\n")
    kit.backup("--level", "full")
    (written,) = _RUNNING[0].include.glob("*.conf")
    _RUNNING[0].say('.sql query="UPDATE FileSet SET MD5=1, FileSet=1 WHERE FileSetId>0"')
    point = kit.backup("--level", "incremental")
    assert (point["level"], point["parent"]) == ("full", None)
    assert written.stat().st_mode & 0o777 == 0o644


def test_daemons_that_do_not_answer_are_one_line(kit: Kit) -> None:
    (kit.data / "file").write_bytes(b"kept\n")
    bacula = _RUNNING[0]
    bacula.password("wrong")
    assert "refuses the console" in kit.refused("backup", "site1", "--client", NAME)
    bacula.password(CONSOLE_PASSWORD)
    for daemon, told in (("host-fd", "file daemon host-fd does not answer"), ("director", "cannot be reached")):
        bacula.end(daemon)
        assert told in kit.refused("backup", "site1", "--client", NAME)
    assert kit.json("points", "--client", NAME) == []


def test_what_the_director_does_not_read_is_one_line(kit: Kit) -> None:
    """Our configuration, and names that it does not know."""
    (kit.data / "file").write_bytes(b"kept\n")
    config = kit.server.config.read_text()
    elsewhere = kit.folder / "elsewhere"
    elsewhere.mkdir()
    kit.server.config.write_text(config.replace(str(_RUNNING[0].include), str(elsewhere)))
    kit.vouch()
    told = kit.refused("backup", "site1", "--client", NAME)
    assert "does not know" in told and str(elsewhere) in told
    for key, value in (("client", "nobody-fd"), ("storage", "Nowhere")):
        kit.server.config.write_text(
            config.replace(f'{key} = "{"host-fd" if key == "client" else "File"}"', f'{key} = "{value}"')
        )
        kit.vouch()
        assert f"no {key} {value}" in kit.refused("backup", "site1", "--client", NAME)


def test_what_a_job_did_not_read_is_named() -> None:
    log = [
        'host-fd JobId 2:      Could not stat "/state/now/view/site1.ab/data/it\'s": ERR=No such file or directory\n\\',
        'host-fd JobId 2:      Cannot open "/state/now/view/site1.ab/data/a b": ERR=Permission denied.\n\\',
        "host-fd JobId 2: Error: Read error on file /state/now/view/site1.ab/data/bad. ERR=Input/output error\n\\",
        "test-dir JobId 2: Start Backup JobId 2",
    ]
    top = b"/state/now/view/site1.ab/data/"
    assert list(troubles(log)) == [
        Trouble(path=top + b"it's", message="No such file or directory"),
        Trouble(path=top + b"a b", message="Permission denied"),
        Trouble(path=top + b"bad", message="Input/output error"),
    ]
