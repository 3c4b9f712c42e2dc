"""What the program shows, asks and does when it is interrupted: on a terminal, in a pipe, and without either."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.whole.ground import Done, Server
from tests.whole.nights import Nights


def test_quiet_says_nothing_and_verbose_says_every_warning(nights: Nights) -> None:
    for number in range(14):
        os.mknod(nights.html / f"socket{number}", 0o140644)
    assert nights.server("backup", "site1", "-q") == Done(0, b"", "")
    assert nights.server("download", "site1", "-q", "-o", nights.server.folder / "x.zip").err.count("zip keeps") == 0
    assert nights.server("backup", "site1").out.count(b"a socket") == 10
    assert nights.server("-v", "backup", "site1").out.count(b"a socket") == 14


@pytest.mark.parametrize("arguments", [("points",), ("--json", "points"), ("ls", "site1:latest", "-R")])
def test_an_output_that_is_full_or_closed_is_no_traceback(kept: Nights, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(kept.server.command(*arguments), stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"No space left" in done.stderr
    closed = subprocess.run([b"sh", b"-c", b'exec "$@" <&- >&-', b"sh", *kept.server.command(*arguments)])
    assert closed.returncode in (0, 2)
    command = b'set -o pipefail; "$@" | head -c 5'
    piped = subprocess.run([b"bash", b"-c", command, b"bash", *kept.server.command(*arguments)], capture_output=True)
    assert (piped.returncode, len(piped.stdout), piped.stderr) == (0, 5, b"")


def test_without_a_terminal_and_with_standard_input_closed_nothing_is_restored_unasked(kept: Nights) -> None:
    asked = kept.server.command("restore", "site1", "--point", kept.first["id"])
    done = subprocess.run([b"sh", b"-c", b'exec "$@" <&-', b"sh", *asked], capture_output=True)
    assert done.returncode == 2
    assert b"to write" in done.stderr and b"--yes" in done.stderr


# Nothing here is waited for longer than this (seconds) unless it hangs.
PATIENCE = 300


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, server: Server, *arguments: str, output: Path | None = None) -> None:
        """With ``output``, standard output goes to that file."""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if output is not None:
                os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
            command = server.command(*arguments)
            os.execv(command[0], command)
        self.shown = b""

    def until(self, wanted: bytes) -> None:
        """Read until something shows."""
        while wanted not in self.shown:
            assert self._read(), self.shown

    def _read(self) -> bool:
        assert select.select([self.fd], [], [], PATIENCE)[0], f"nothing for long after {self.shown!r}"
        try:
            piece = os.read(self.fd, 4096)
        except OSError:
            return False
        self.shown += piece
        return bool(piece)

    def end(self) -> int:
        while self._read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _many(folder: Path) -> None:
    for number in range(6000):
        path = folder / f"many/{number % 30}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)


def test_on_a_terminal_progress_shows_with_rate_and_time_left_and_ctrl_c_is_130(nights: Nights) -> None:
    _many(nights.data)
    nights.server.backup("site1")
    terminal = Terminal(nights.server, "backup", "site1", "--level", "full")
    terminal.until(b"/s")
    assert b"%" in terminal.shown and b"entries" in terminal.shown
    assert terminal.end() == 0
    terminal = Terminal(nights.server, "backup", "site1", "--level", "full")
    terminal.until(b"/s")
    os.write(terminal.fd, b"\x03")
    status = terminal.end()
    if status:  # a quick machine may have been done
        assert status == 130 and b"interrupted" in terminal.shown and b"Traceback" not in terminal.shown
    assert nights.server.backup("site1")["status"] == "complete"
    for more in (("check", "--read-data"), ("download", "site1", "--point", "latest", "-o", "/dev/null")):
        terminal = Terminal(nights.server, *more)
        terminal.until(b"/s")
        assert (terminal.end(), b" %  " in terminal.shown, b" of " in terminal.shown) == (0, True, True)
    quiet = Terminal(nights.server, "backup", "site1", "--no-progress")
    assert (quiet.end(), b"/s" in quiet.shown) == (0, False)


def test_with_json_progress_shows_on_standard_error_alone(nights: Nights) -> None:
    _many(nights.data)
    document = nights.server.folder / "document"
    terminal = Terminal(nights.server, "backup", "site1", "--json", output=document)
    assert (terminal.end(), b"/s" in terminal.shown) == (0, True)
    assert json.loads(document.read_bytes())["status"] == "complete"


def test_a_question_on_a_terminal_is_left_with_ctrl_c_too(kept: Nights) -> None:
    terminal = Terminal(kept.server, "restore", "site1", "--point", kept.first["id"])
    terminal.until(b"[y/N]")
    assert b"2 to write" in terminal.shown or b"to replace" in terminal.shown
    os.write(terminal.fd, b"\x03")
    assert terminal.end() == 130
    assert not (kept.html / "gone").exists()


def test_an_interrupt_in_json_is_one_document(nights: Nights) -> None:
    _many(nights.data)
    command = nights.server.command("--json", "backup", "site1")
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    # Its run has begun: before that, what a signal meets is Python's own start.
    while running.poll() is None and not any((nights.server.folder / "vault/tmp").glob("sessions+*")):
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=120)
    document: dict[str, Any] = json.loads(out) if out else {}
    assert b"Traceback" not in err
    assert running.returncode in (0, 130, -signal.SIGINT), (running.returncode, err)
    if running.returncode == 130:
        assert document["error"]["code"] == "interrupted"
