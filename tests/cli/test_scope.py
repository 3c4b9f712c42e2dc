"""``strongroom scope`` and ``cpcmd``, as an administrator types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.cli.panel_formats import print_value, read_value
from strongroom.errors import UsageError
from tests.cli.ground import Ground
from tests.settings.stand_ins import PanelProgram

EXPORTS = "backups.automatic-database-exports"


def cpcmd(ground: Ground, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program that is installed, with the configuration from the environment."""
    program = Path(sys.executable).parent / "cpcmd"
    environment = os.environ | {"STRONGROOM_CONFIG": str(ground.config)}
    return subprocess.run([program, *arguments], capture_output=True, text=True, env=environment)


def test_scopes_are_listed_read_set_and_explained(strongroom: Ground) -> None:
    assert strongroom.json("scope", "get", EXPORTS) == {"name": EXPORTS, "value": True, "default": True}
    assert strongroom.json("scope", "set", EXPORTS, "false")["changed"] is True
    assert strongroom.json("scope", "set", EXPORTS, "false")["changed"] is False
    assert strongroom.json("scope", "get", EXPORTS) == {"name": EXPORTS, "value": False, "default": True}
    assert strongroom("scope", "get", EXPORTS).out == "false\n"
    listed = strongroom.json("scope", "list", "backups.*")
    assert [(each["name"], each["value"]) for each in listed] == [
        (EXPORTS, False),
        ("backups.prune", "sunday"),
        ("backups.time-limit", "20"),
    ]
    info = strongroom.json("scope", "info", EXPORTS)
    assert set(info) == {"name", "info", "value", "default", "settings"}
    text = strongroom("scope", "info", EXPORTS).out
    assert "value     false\n" in text and "default   true\n" in text
    assert EXPORTS in strongroom("scope", "list").out
    assert strongroom("scope", "set", EXPORTS, "true", "-q").out == ""


def test_cpcmd_and_scope_are_one_setting(strongroom: Ground) -> None:
    done = cpcmd(strongroom, "scope:set", EXPORTS, "false")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert strongroom.json("scope", "get", EXPORTS)["value"] is False
    assert cpcmd(strongroom, "scope:get", EXPORTS).stdout == "\n"
    assert cpcmd(strongroom, "-o", "json", "scope:get", EXPORTS).stdout == "false\n"
    strongroom("scope", "set", EXPORTS, "true")
    assert cpcmd(strongroom, "scope_get", EXPORTS).stdout == "1\n"


def test_cpcmd_prints_what_is_complex_as_yaml(strongroom: Ground) -> None:
    assert cpcmd(strongroom, "scope:list", "backups.*").stdout == f"- {EXPORTS}\n- backups.prune\n- backups.time-limit\n"
    info = cpcmd(strongroom, "scope_info", EXPORTS).stdout.splitlines()
    assert info[1:3] == ["value: true", "default: true"]
    assert json.loads(cpcmd(strongroom, "--output=json", "scope:info", EXPORTS).stdout)["default"] is True


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "usage: cpcmd"),
        (["scope:get"], "wrong number"),
        (["scope:set", EXPORTS], "a value is missing"),
        (["scope:set", EXPORTS, "maybe"], "not possible"),
        (["scope:get", "backups.nothing"], "no scope"),
        (["common:get-uptime"], "'cpcmd common:get-uptime'"),
        (["-o", "xml", "scope:list"], "unknown form"),
        (["-o"], "needs a value"),
        (["-z", "scope:list"], "unknown option"),
        (["-d", "site1", "scope:get", EXPORTS], "administrator's alone"),
    ],
)
def test_cpcmd_refuses_in_one_line(strongroom: Ground, arguments: list[str], problem: str) -> None:
    done = cpcmd(strongroom, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith("cpcmd: ") and problem in done.stderr


def test_the_panels_own_cpcmd_is_asked_where_there_is_one(strongroom: Ground) -> None:
    panel = PanelProgram(strongroom.folder / "root", EXPORTS, "true")
    assert cpcmd(strongroom, "scope:set", EXPORTS, "false").returncode == 0
    assert panel.value == "false"
    assert strongroom.json("scope", "get", EXPORTS)["value"] is False
    assert not (strongroom.folder / "state").exists()


VALUE = {"info": "What it does: it's so.", "value": True, "none": None, "list": ["a", "3-22"]}


@pytest.mark.parametrize("form", ["json", "serialize"])
def test_values_read_back_as_another_program_reads_them(form: str) -> None:
    printed = print_value(VALUE, form)
    if form == "json":
        assert json.loads(printed) == VALUE
    else:
        assert printed == (
            'a:4:{s:4:"info";s:22:"What it does: it\'s so.";s:5:"value";b:1;s:4:"none";N;'
            's:4:"list";a:2:{i:0;s:1:"a";i:1;s:4:"3-22";}}'
        )


def test_the_other_forms_of_the_panel() -> None:
    assert print_value({"a": "x y", "b": "3-22", "c": "no", "d": [], "e": False}, None) == (
        'a: x y\nb: "3-22"\nc: "no"\nd: []\ne: false'
    )
    assert print_value({"a": True, "b": ""}, "cli") == '[a:true,b:""]'
    assert print_value(["x"], "print") == "Array\n(\n    [0] => x\n)"
    assert print_value({"a": "ü"}, "var_dump") == 'array(1) {\n  ["a"]=>\n  string(2) "ü"\n}'
    assert print_value(False, "var_dump") == "bool(false)"


@pytest.mark.parametrize(
    ("given", "form", "word"),
    [
        ("false", None, "false"),
        ("'3-22'", "cli", "3-22"),
        ("true", "json", "true"),
        ('"3-22"', "json", "3-22"),
        ("b:0;", "serialize", "false"),
        ('s:4:"3-22";', "serialize", "3-22"),
        ("i:5;", "serialize", "5"),
    ],
)
def test_arguments_are_read_in_the_panels_forms(given: str, form: str | None, word: str) -> None:
    assert read_value(given, form) == word


@pytest.mark.parametrize(
    ("given", "form"), [("{", "json"), ("[]", "json"), ('s:9:"x";', "serialize"), ("x", "serialize"), ("x", "yaml")]
)
def test_arguments_that_are_none_are_refused(given: str, form: str) -> None:
    with pytest.raises(UsageError):
        read_value(given, form)
