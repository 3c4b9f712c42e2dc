"""Commands as the owner: no more rights than he has, and nothing that outlives the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.webapps.assurance.acting import Owner, act

OWNER = Owner(uid=12345, gid=12346, home=b"/home/shop", name="shop")
PATIENCE = 60.0


@pytest.fixture
def folder(passable: Path) -> Iterator[int]:
    os.chown(passable, OWNER.uid, OWNER.gid)
    descriptor = os.open(passable, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_command_is_the_owner_in_the_folder_with_his_rights_alone(folder: int, passable: Path) -> None:
    script = (
        "id -u; id -g; id -G; pwd; echo $HOME $USER; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; umask"
    )
    said = act(OWNER, folder, ["sh", "-c", script], PATIENCE).said.split()
    assert said[:6] == ["12345", "12346", "12346", str(passable), "/home/shop", "shop"]
    assert said[6:] == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "0022"]


def test_what_it_says_and_how_it_ends_is_told(folder: int) -> None:
    acted = act(OWNER, folder, ["sh", "-c", "echo one; echo two >&2; exit 7"], PATIENCE)
    assert (acted.status, acted.said, acted.well) == (7, "one\ntwo\n", False)
    assert acted.complaint == "ended with status 7: two"
    assert act(OWNER, folder, ["no-such-command"], PATIENCE).status not in (0, None)


def test_a_torrent_of_words_is_kept_at_its_end(folder: int) -> None:
    acted = act(OWNER, folder, ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end"], PATIENCE)
    assert len(acted.said) <= 1 << 16
    assert acted.said.endswith("end\n")


def test_one_that_is_not_done_in_time_is_ended(folder: int) -> None:
    acted = act(OWNER, folder, ["sh", "-c", "trap '' TERM; echo begun; sleep 1000"], 1.0)
    assert (acted.status, acted.well) == (None, False)
    assert "was not done after" in acted.complaint


def alive(mark: str) -> bool:
    """Whether a process with this among its arguments still runs."""
    for found in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in found.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def gone(mark: str) -> bool:
    until = time.monotonic() + PATIENCE
    while alive(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_daemon_that_it_leaves_goes_with_it(folder: int) -> None:
    acted = act(OWNER, folder, ["sh", "-c", "setsid sleep 7654321.1 >/dev/null 2>&1 & echo left"], PATIENCE)
    assert acted.well
    assert gone("7654321.1")


def test_killed_ourselves_nothing_goes_on(passable: Path) -> None:
    os.chown(passable, OWNER.uid, OWNER.gid)
    program = (
        "import os, sys\n"
        "from strongroom.webapps.assurance.acting import Owner, act\n"
        f"folder = os.open({str(passable)!r}, os.O_RDONLY)\n"
        "script = 'setsid sleep 7654321.2 & touch begun; sleep 7654321.2'\n"
        f"act(Owner(uid={OWNER.uid}, gid={OWNER.gid}), folder, ['sh', '-c', script], 1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as ours:
        until = time.monotonic() + PATIENCE
        while not (passable / "begun").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        ours.send_signal(signal.SIGKILL)
    assert gone("7654321.2")
