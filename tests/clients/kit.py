"""One server with accounts, and one client of real software on it, run by the real program."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongroom.cli.main import main
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.registry import open_client
from strongroom.config import load
from tests.panel.servers import write
from tests.whole.ground import CONFIGURATION, Done, Server

NAME = "other"
# Commands that start no tool and no worker: an interpreter of its own for each of them is what a suite would spend its time on.
_LOOKING = ("points", "ls", "history", "find", "diff", "show", "plan", "status", "forget")
DUPLICITY = Path(__file__).parents[2] / ".venv/duplicity/bin"
_SCRIPT = """#!/bin/sh
set -e
cd {storage}
case $1 in
    save)
        point=$2 since=$3; shift 3
        exec tar --acls --xattrs -P -cf "$point" ${{since:+--newer="$PWD/$since"}} "$@" ;;
    load) exec tar --acls --xattrs -xf "$2" -C "$3" ;;
    list) ls ;;
    forget) rm -- "$2" ;;
esac
"""


@dataclass(frozen=True)
class Driver:
    """A driver, and what its software is expected to do."""

    name: str
    levels: tuple[str, ...]
    table: Callable[[Path, Path], str]
    alone: bool = True
    encrypted: bool = True
    program: str = ""


def repository(driver: str, scheme: str = "") -> Callable[[Path, Path], str]:
    """The configuration of a client with a repository."""

    def table(folder: Path, storage: Path) -> str:
        return f'driver = "{driver}"\nurl = "{scheme}{storage}/repository"\npassphrase_file = "{folder}/secret"\n'

    return table


def commands(folder: Path, storage: Path) -> str:
    """The configuration of tar as a client: a script of a few lines."""
    script = folder / "tool"
    script.write_text(_SCRIPT.format(storage=storage))
    script.chmod(0o755)
    return f"""driver = "command"
backup = ["{script}", "save", "{{point}}", "{{since}}", "{{sources}}"]
restore = ["{script}", "load", "{{point}}", "{{target}}"]
list = ["{script}", "list"]
forget = ["{script}", "forget", "{{point}}"]
"""


COMMAND = Driver(
    "command", ("full", "differential", "incremental"), commands, alone=False, encrypted=False, program="tar"
)
RESTIC = Driver("restic", ("full", "incremental"), repository("restic"), program="restic")
BORG = Driver("borg", ("full", "incremental"), repository("borg"), program="borg")
DUPLICITY_DRIVER = Driver(
    "duplicity", ("full", "incremental"), repository("duplicity", "file://"), alone=False, program="duplicity"
)


class Kit:
    """``kit("points", "--json")`` runs the program; ``kit.backup()`` makes a point of the account with this client.

    ``memory`` is a folder for what is only kept (storage, vault, state): tools wait for the disk more than for anything else.
    """

    def __init__(self, folder: Path, driver: Driver, *, vault: bool = True, memory: Path | None = None) -> None:
        self.folder, self.driver = folder, driver
        kept = memory or folder
        self.storage = kept / "storage"
        self.storage.mkdir()
        (folder / "secret").write_text("correct horse\n")
        table = driver.table(folder, self.storage).replace("{", "{{").replace("}", "}}")
        default = "" if vault else f'client = "{NAME}"\n'
        configuration = CONFIGURATION.replace("{folder}/state", f"{kept}/state").replace("{folder}/vault", f"{kept}/vault")
        self.server = Server(folder, f"{configuration}{default}[clients.{NAME}]\n{table}")
        write(self.server.root / "home/virtual/.keep")
        if vault:
            assert self.server.json("init")["created"] is True
        self.data = self.server.site(1, "example.com")
        self.state = kept / "state/clients" / NAME

    def client(self) -> ForeignClient:
        """The client as the program opens it."""
        found = open_client(load(str(self.server.config)), NAME)
        assert isinstance(found, ForeignClient)
        return found

    def vouch(self) -> Kit:
        """Let the client pass for probed: the probe has a test of its own."""
        client = self.client()
        client.need()
        client.judge(())
        return self

    def __call__(self, *arguments: str | bytes | Path) -> Done:
        return self.server(*arguments, timeout=300)

    def json(self, *arguments: str | bytes | Path, status: int = 0) -> Any:
        """The document of a command that ends with this exit status; what only looks is run in this process."""
        if arguments[0] not in _LOOKING:
            return self.server.json(*arguments, status=status)
        before = signal.getsignal(signal.SIGTERM)
        words = [os.fsdecode(word) for word in self.server.command("--json", *arguments)[3:]]
        with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out, contextlib.redirect_stdout(out):
            try:
                ended = main(words)
            finally:
                signal.signal(signal.SIGTERM, before)
            out.seek(0)
            told = out.read()
        assert ended == status, (ended, told[-3000:])
        return json.loads(told)

    def backup(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """A point of the account."""
        (point,) = self.json("backup", "site1", "--client", NAME, *arguments, status=status)["points"]
        return dict(point)

    def restored(self, point: str, *paths: str) -> Path:
        """The account's data as a point brings it back."""
        target = self.folder / f"out-{len(list(self.folder.glob('out-*')))}"
        self.json("restore", "site1", *paths, "--point", point, "--client", NAME, "--to", target)
        return target / "data"

    def refused(self, *arguments: str | bytes | Path) -> str:
        """The one line that a command is refused with."""
        done = self(*arguments)
        assert done.status == 2, (done.status, done.out[-500:], done.err[-500:])
        assert done.err.count("\n") == 1, done.err
        assert done.err.startswith("strongroom: "), done.err
        return done.err

    def killed_while_saving(self, *arguments: str) -> None:
        """Start a backup (or another command), and kill the program (kill -9) while the tool is at work."""
        self.killed_when(self._saving, *(arguments or ("backup", "site1", "--client", NAME)))

    def killed_when(self, condition: Callable[[], bool], *arguments: str) -> None:
        """Start a command, and kill the program (kill -9) as soon as something is so."""
        command = self.server.command(*arguments)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not condition() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()

    def _saving(self) -> bool:
        marks = self.state / "unfinished"
        return marks.is_dir() and any(not name.endswith(".new") for name in os.listdir(marks))


def copy(folder: Path, target: Path) -> Path:
    """A copy to compare with."""
    subprocess.run(["cp", "-a", "--", folder, target], check=True)
    return target
