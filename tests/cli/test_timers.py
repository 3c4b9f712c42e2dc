"""``strongroom timers`` and ``strongroom nightly``, with the real program as the parts of a night."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.config import load
from strongroom.settings import durable
from strongroom.settings import nightly as module
from tests.cli.ground import Ground
from tests.panel.servers import site
from tests.settings.test_timers import Anacron

# In place of the program: it writes down what it is asked, does what the test planted for that part, and ends so.
_PROGRAM = """#!/bin/sh
while [ "$1" = --config ] || [ "$1" = --quiet ]; do [ "$1" = --config ] && shift; shift; done
echo "$*" >> {folder}/parts
[ ! -e {folder}/do-$1 ] || . {folder}/do-$1
"""


class Night:
    """A server whose nightly job calls a program of the test's for its parts."""

    def __init__(self, strongroom: Ground, patch: pytest.MonkeyPatch) -> None:
        self.strongroom = strongroom
        self.folder = strongroom.folder
        program = self.folder / "program"
        program.write_text(_PROGRAM.format(folder=self.folder))
        program.chmod(0o755)
        patch.setattr(module, "own_program", lambda: (str(program),))
        with strongroom.config.open("a") as file:
            file.write('[databases.mysql]\nuser = "root"\n')
        strongroom("scope", "set", "backups.prune", "daily")

    def plant(self, part: str, script: str) -> None:
        (self.folder / f"do-{part}").write_text(script + "\n")

    def parts(self) -> list[str]:
        path = self.folder / "parts"
        return path.read_text().splitlines() if path.exists() else []

    def record(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.folder / "state/settings/nightly.json").read_text())
        return document


@pytest.fixture
def night(strongroom: Ground, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(strongroom, monkeypatch)


def test_exports_come_before_the_backup_and_retention_after_it(night: Night) -> None:
    assert night.strongroom("nightly") == (0, "", "")
    assert night.parts() == ["databases dump", "backup", "forget", "prune"]
    (state,) = night.strongroom.json("timers", "show")
    assert state["result"] == "complete"
    assert datetime.fromisoformat(state["last"]).utcoffset() is not None


def test_what_would_be_done_can_be_asked(night: Night) -> None:
    would = night.strongroom.json("nightly", "--dry-run")["would"]
    assert [part["name"] for part in would] == ["exports", "backup", "forget", "prune"]
    assert "backup: strongroom backup" in night.strongroom("nightly", "--dry-run").out
    assert night.parts() == []


def test_prune_has_its_days(night: Night) -> None:
    night.strongroom("scope", "set", "backups.prune", "never")
    assert night.strongroom("nightly").status == 0
    assert night.parts() == ["databases dump", "backup", "forget"]


def test_the_scope_turns_the_nightly_exports_off_in_one_line(night: Night) -> None:
    night.strongroom("scope", "set", "backups.automatic-database-exports", "false")
    answer = night.strongroom("nightly")
    assert answer.status == 0
    assert answer.err == ("strongroom: exports: skipped: the scope backups.automatic-database-exports is false\n")
    assert night.parts() == ["backup", "forget", "prune"]


@pytest.mark.parametrize("path", ["etc/cron.daily/10backup_dbs", "usr/local/apnscp/bin/scripts/backup_dbs.php"])
def test_where_the_panel_dumps_no_second_export_is_made(night: Night, path: str) -> None:
    panel = night.folder / "root" / path
    panel.parent.mkdir(parents=True)
    panel.touch()
    assert str(panel) in night.strongroom("nightly").err
    assert "databases dump" not in night.parts()


@pytest.mark.parametrize(
    ("part", "script", "status", "parts"),
    [
        ("databases", "echo 'mysql is away' >&2; exit 2", 1, ["databases dump", "backup", "forget", "prune"]),
        ("backup", "echo 'one file' >&2; exit 1", 1, ["databases dump", "backup", "forget", "prune"]),
        ("backup", "exit 2", 2, ["databases dump", "backup"]),
        ("backup", "kill -9 $$", 2, ["databases dump", "backup"]),
        ("prune", "exit 2", 1, ["databases dump", "backup", "forget", "prune"]),
    ],
)
def test_a_part_that_fails_shows_and_stops_only_what_needs_it(
    night: Night, part: str, script: str, status: int, parts: list[str]
) -> None:
    night.plant(part, script)
    answer = night.strongroom("nightly")
    assert (answer.status, answer.out) == (status, "")
    assert "exit status" in answer.err or "killed by signal 9" in answer.err
    for word in ("mysql is away", "one file"):
        assert (word in answer.err) == (word in script)
    assert night.parts() == parts
    (state,) = night.strongroom.json("timers", "show")
    assert state["result"] == ("failed" if status == 2 else "incomplete")


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
def test_a_part_that_hangs_is_ended_with_all_that_it_started(
    night: Night, monkeypatch: pytest.MonkeyPatch, stubborn: str
) -> None:
    """In one line; what needs a backup waits for the next one."""
    monkeypatch.setattr(module, "_GRACE_SECONDS", 1)
    night.plant("backup", f"{stubborn}sleep 600 & echo $! > {night.folder}/child; echo begun >&2; wait; wait")
    config = load(str(night.strongroom.config))
    said: list[str] = []
    parts = [module.Part(name=name, arguments=(name,)) for name in ("backup", "forget")]
    record = module.Night(config, parts, said.append, limit=0.0).run()
    assert (record.result, record.exit_status) == ("incomplete", 1)
    assert [(part.status, part.late, part.skipped) for part in record.parts] == [
        (1, True, ""),
        (None, False, "there was no backup"),
    ]
    # Whether it had got as far as to complain, nobody knows.
    assert [line for line in said if "begun" not in line] == [
        "backup: still at work after 0 hours, and ended; the scope backups.time-limit says how long it may take"
    ]
    child = night.folder / "child"
    if child.exists() and child.read_text():
        wait_for(lambda: ended(int(child.read_text())))


def ended(pid: int) -> bool:
    """Whether a process is gone, or nobody has asked yet how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


def program(ground: Ground, *arguments: str) -> list[str]:
    return [*module.own_program(), "--config", str(ground.config), *arguments]


def test_two_nights_never_overlap(night: Night) -> None:
    with durable.alone(os.fsencode(night.folder / "state"), module.LOCK):
        answer = night.strongroom("nightly")
        (state,) = night.strongroom.json("timers", "show")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "another nightly job is at work" in answer.err
    assert state["result"] is None
    assert night.parts() == []


def test_a_night_that_is_killed_holds_the_next_until_its_last_part_has_ended(night: Night) -> None:
    gate = night.folder / "gate"
    os.mkfifo(gate)
    night.plant("backup", f"read line < {gate}")
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        night.strongroom("nightly")
        os._exit(0)
    wait_for(lambda: "backup" in night.parts())
    assert night.strongroom.json("timers", "show")[0]["result"] == "running"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert night.strongroom("nightly").status == 2, "its backup is still at work"
    gate.write_text("go\n")
    state = os.fsencode(night.folder / "state")
    wait_for(lambda: not durable.is_held(state, module.LOCK))
    assert night.strongroom.json("timers", "show")[0]["result"] == "interrupted"
    (night.folder / "do-backup").unlink()
    assert night.strongroom("nightly").status == 0


def test_a_night_that_is_stopped_stops_its_part(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when it is stopped before it knows that the part has started."""
    night.plant("backup", "exec sleep 600")
    start = subprocess.Popen

    def slow(*arguments: Any, **more: Any) -> Any:
        started = start(*arguments, **more)
        if "backup" in arguments[0]:
            wait_for(lambda: "backup" in night.parts())
            os.kill(os.getpid(), signal.SIGTERM)
        return started

    monkeypatch.setattr("subprocess.Popen", slow)
    child = os.fork()
    if child == 0:
        try:
            night.strongroom("nightly")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert not durable.is_held(os.fsencode(night.folder / "state"), module.LOCK)
    assert night.record()["finished"] is None


@pytest.mark.parametrize(("to", "mails"), [("root", 1), ("ops@example.com", 1), ("", 0)])
def test_who_is_named_is_told_of_a_failure(night: Night, monkeypatch: pytest.MonkeyPatch, to: str, mails: int) -> None:
    sendmail = night.folder / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" >> {night.folder}/to; cat >> {night.folder}/mail\n')
    sendmail.chmod(0o755)
    monkeypatch.setenv("PATH", f"{night.folder}:{os.environ['PATH']}")
    night.strongroom("scope", "set", "cron.notify", to)
    assert night.strongroom("nightly", "--notify").status == 0
    assert not (night.folder / "mail").exists()
    night.plant("backup", "echo 'the vault is full' >&2; exit 2")
    assert night.strongroom("nightly").status == 2
    assert not (night.folder / "mail").exists()
    assert night.strongroom("nightly", "--notify").status == 2
    if mails:
        assert (night.folder / "to").read_text() == f"-oi {to}\n"
        assert "backup: the vault is full\n" in (night.folder / "mail").read_text()
    assert (night.folder / "mail").exists() == bool(mails)


def test_without_sendmail_a_failure_says_that_nobody_is_told(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.settings.notices.find_mail", lambda: None)
    night.plant("backup", "exit 2")
    assert "no sendmail" in night.strongroom("nightly", "--notify").err


def test_a_damaged_record_is_one_line(night: Night) -> None:
    night.strongroom("nightly")
    (night.folder / "state/settings/nightly.json").write_text("{")
    answer = night.strongroom("timers", "show")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "damaged" in answer.err
    assert night.strongroom("nightly").status == 0


def test_installed_shown_and_removed(strongroom: Ground) -> None:
    (before,) = strongroom.json("timers", "show")
    assert {"name", "enabled", "next", "last", "result"} <= set(before)
    assert (before["enabled"], before["next"], before["last"]) == (False, None, None)
    strongroom.json("timers", "install", "--systemd")
    (after,) = strongroom.json("timers", "show")
    assert (after["enabled"], after["how"]) == (True, "systemd") and after["next"] is not None
    unit = strongroom.folder / "root/etc/systemd/system/strongroom-nightly.timer"
    assert "03:00" in unit.read_text()
    strongroom("scope", "set", "cron.start-range", "5-7")
    assert "05:00" in unit.read_text()
    assert strongroom.json("timers", "install")["how"] == "cron"
    assert not unit.exists()
    assert strongroom.json("timers", "remove")["removed"] == [str(strongroom.folder / "root/etc/cron.daily/strongroom")]
    assert strongroom("timers", "remove").out == "there was none\n"
    assert strongroom("timers", "install", "--cron", "--systemd").status == 2


def test_anacron_runs_a_missed_night_with_the_real_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the script in cron.daily to a point in a vault; and once only."""
    ground = Ground(tmp_path, capsys)
    site(ground.folder / "root", 3, "example.net")
    subprocess.run(program(ground, "init"), check=True, capture_output=True)
    ground("timers", "install", "--cron")
    anacron = Anacron(tmp_path, ground.folder / "root")
    anacron.last(days_ago=2)
    anacron.run()
    anacron.run()
    done = subprocess.run(program(ground, "points", "--json"), check=True, capture_output=True)
    accounts = sorted(point["account"] for point in json.loads(done.stdout))
    assert accounts == ["server", "site1", "site2", "site3"]
    (state,) = ground.json("timers", "show")
    assert (state["result"], state["how"]) == ("complete", "cron")
    assert datetime.fromisoformat(state["next"]).astimezone().date() > datetime.now().date()
