from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import __version__
from strongroom.cli.main import main, program
from strongroom.errors import StrongroomError
from tests.cli.ground import Ground

# The interface's table, in its order of building.
PROMISED = [
    "init",
    "accounts",
    "backup",
    "points",
    "show",
    "ls",
    "history",
    "find",
    "diff",
    "restore",
    "undo",
    "plan",
    "download",
    "check",
    "forget",
    "prune",
    "databases",
    "scope",
    "apps",
    "clients",
    "jetbackup",
    "timers",
    "nightly",
    "mount",
    "copy",
    "rebuild",
    "portal",
    "audit",
    "status",
    "demo",
]
LATER = ["undo", "mount", "rebuild", "portal", "audit"]


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "strongroom", *arguments], capture_output=True, text=True, **more)  # type: ignore[call-overload, no-any-return]


def test_every_command_of_the_interface_is_known() -> None:
    assert sorted(program.commands) == sorted(PROMISED)


def test_help_lists_every_command_and_fits_the_screen() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in PROMISED:
        assert f"\n  {name}" in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_is_quick_because_it_imports_little() -> None:
    script = (
        "import sys\nfrom strongroom.cli.main import main\nassert main(['--help']) == 0\n"
        "heavy = ('cryptography', 'sqlite3', 'strongroom.vault', 'blake3', 'msgspec', 'importlib.metadata')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", LATER)
def test_what_is_not_built_answers_in_one_line_that_names_its_argument(name: str, strongroom: Ground) -> None:
    answer = strongroom(name, "something", "--with", "options", "-x", "--", "more")
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert f"'{name} something'" in answer.err
    assert strongroom.json(name, "something", status=2)["error"]["code"] == "not-built"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["ls"],
        ["ls", "--bogus"],
        ["backup", "--level", "sometimes"],
        ["points", "--limit", "0"],
        ["points", "--limit", "many"],
        ["check", "--read-data=0"],
        ["check", "--read-data=101"],
        ["restore", "site1", "--point", "x", "--at", "now"],
        ["restore", "site1", "relative/path"],
        ["restore", "site1", "/var/../etc"],
        ["restore", "site1", "--only", "nothing"],
        ["points", "--since", "whenever"],
        ["diff", "one"],
        ["databases"],
        ["databases", "something"],
        ["databases", "schedule"],
        ["databases", "schedule", "site1", "--span", "1"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--span", "0"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--preserve", "-1"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--extension", "rar"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--email", "nobody"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--span", "1", "--remove"],
        ["databases", "schedule", "site1", "mysql:shop_wp", "--remove"],
        ["databases", "schedule", "site1", "shop_wp", "--span", "1"],
        ["databases", "schedule", "site1", "mysql:none", "--span", "1"],
        ["databases", "schedule", "site1", "postgresql:shop_wp", "--span", "1"],
        ["databases", "schedule", "site9"],
        ["databases", "list", "site9"],
        ["timers"],
        ["timers", "install", "--cron", "--systemd"],
        ["scope"],
        ["scope", "get"],
        ["scope", "get", "backups.nothing"],
        ["scope", "set", "cron.start-range"],
        ["scope", "set", "cron.start-range", "22-3"],
    ],
)
def test_a_usage_error_is_one_line_and_status_2(strongroom: Ground, arguments: list[str]) -> None:
    strongroom.client.add("site1")
    answer = strongroom(*arguments)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert answer.err.startswith("strongroom: ")
    error = strongroom.json(*arguments, status=2)["error"]
    assert error["code"] in ("usage", "unknown")
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("restore", "site1", "--yes", "--point", ""),
        ("restore", "site1", "--yes", "--at", ""),
        ("restore", "site1", "--yes", "--mailbox", ""),
        ("restore", "site1", "--yes", "--database", ""),
        ("restore", "site1", "--to", ""),
        ("download", "site1", "-o", ""),
        ("points", "--since", ""),
        ("backup", "--client", ""),
        ("points", "--config", ""),
    ],
)
def test_an_option_that_is_given_and_empty_is_not_as_if_it_were_left_out(
    strongroom: Ground, arguments: tuple[str, ...]
) -> None:
    strongroom.client.add("site1")
    answer = strongroom(*arguments)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert arguments[-2] in answer.err and "empty" in answer.err


def test_global_options_stand_before_and_after_the_command(strongroom: Ground) -> None:
    strongroom.client.add("site1")
    before = strongroom("--json", "-q", "--no-progress", "points")
    after = strongroom("points", "--json", "-q", "--no-progress", "-v")
    assert before.document == after.document
    assert main(["points", "--config", str(strongroom.config)], strongroom.clients) == 0


def test_json_after_two_dashes_is_an_argument(strongroom: Ground) -> None:
    answer = strongroom("find", "site1", "--", "--json")
    assert answer.out == "nothing found\n" or answer.status == 0


def test_the_configuration_comes_from_the_environment_too(strongroom: Ground, tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    done = run("points", env=os.environ | {"STRONGROOM_CONFIG": str(missing)})
    assert done.returncode == 2
    assert str(missing) in done.stderr and done.stderr.count("\n") == 1


def test_the_version(strongroom: Ground) -> None:
    assert strongroom("--version").out == f"strongroom {__version__}\n"
    assert strongroom("--version", "--json").document == {"version": __version__}
    assert strongroom("ls", "--version").out == f"strongroom {__version__}\n"


def _errors(kind: type[StrongroomError]) -> list[type[StrongroomError]]:
    return [kind, *(leaf for below in kind.__subclasses__() for leaf in _errors(below))]


@pytest.mark.parametrize("kind", _errors(StrongroomError), ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_with_its_code(strongroom: Ground, kind: type[StrongroomError]) -> None:
    strongroom.client.raises = kind("what was wrong\nwith what \x1b[31m")
    answer = strongroom("backup", "site1")
    assert (answer.status, answer.err) == (2, "strongroom: what was wrong with what \\x1b[31m\n")
    error = strongroom.json("backup", "site1", status=2)["error"]
    assert error["code"] == kind.code


def test_an_interrupt_is_one_line_and_status_130(strongroom: Ground) -> None:
    strongroom.client.raises = KeyboardInterrupt()  # type: ignore[assignment]
    assert strongroom("backup").status == 130
    assert strongroom.json("backup", status=130)["error"]["code"] == "interrupted"


def test_an_error_of_the_system_names_the_file(strongroom: Ground) -> None:
    strongroom.client.raises = PermissionError(13, "Permission denied", b"/some/where")
    assert strongroom("backup").err == "strongroom: /some/where: Permission denied; run as root\n"
    assert strongroom.json("backup", status=2)["error"]["code"] == "system"


def test_a_full_disk_is_named_with_what_to_do(strongroom: Ground) -> None:
    strongroom.client.raises = OSError(28, "No space left on device", "/some/where")
    assert strongroom("backup").err == "strongroom: /some/where: No space left on device; make room there\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_takes_no_more_is_named(strongroom: Ground, unbuffered: str) -> None:
    command = [sys.executable, "-m", "strongroom", "--config", str(strongroom.config), "accounts"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}
        )
    assert done.returncode == 2
    assert done.stderr == "strongroom: standard output cannot be written: No space left on device\n"


def test_a_program_that_is_stopped_says_so(strongroom: Ground) -> None:
    strongroom.client.raises = SystemExit(143)  # type: ignore[assignment]
    answer = strongroom("backup")
    assert (answer.status, answer.err) == (143, "strongroom: stopped; what was finished stays\n")
    assert strongroom.json("backup", status=143)["error"]["code"] == "interrupted"


def test_a_bug_is_one_line_and_shows_its_trace_with_v(strongroom: Ground) -> None:
    strongroom.client.raises = ZeroDivisionError("oops")
    answer = strongroom("backup")
    assert answer.status == 2
    assert answer.err == "strongroom: a bug in Strongroom: ZeroDivisionError: oops; run it with -v for the details\n"
    answer = strongroom("backup", "-v")
    assert answer.status == 2
    assert "Traceback" in answer.err
    assert strongroom.json("backup", status=2)["error"]["code"] == "bug"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m strongroom --help | true"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_standard_output_that_cannot_show_a_name_escapes_it(strongroom: Ground) -> None:
    done = run("--config", "/ünknown\udcff", "points", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_json_is_ascii_and_keeps_every_byte(strongroom: Ground) -> None:
    answer = strongroom("--json", "points", "--since", b"no\xff\xc3\xa4time")
    assert answer.out.isascii()
    assert "no\udcff\xe4time" in json.loads(answer.out)["error"]["message"]
