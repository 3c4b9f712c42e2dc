"""What a user can type, meet or configure is in the documents; what is not would never be found."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from strongroom.cli.invocation import Invocation
from strongroom.cli.main import program
from strongroom.cli.options import GLOBAL_OPTIONS
from strongroom.config import values
from strongroom.errors import StrongroomError

PROJECT = Path(__file__).parents[2]
TEXTS = {path.name: path.read_text() for path in [*PROJECT.glob("README.md"), *(PROJECT / "docs").glob("*.md")]}
EVERYTHING = "\n".join(TEXTS.values())

# The tables of the configuration, by the value that holds each one's keys.
TABLES = {
    "server": values.Server,
    "vault": values.Vault,
    "backup": values.Backup,
    "retention": values.Retention,
    "webapps": values.Webapps,
    "databases.mysql": values.Mysql,
    "databases.postgresql": values.Postgresql,
    "accounts.NAME": values.AccountSettings,
}
CLIENTS = (values.Repository, values.Bacula, values.Command, values.JetBackup)


def keys() -> list[str]:
    found = [f"{table}.{name}" for table, value in TABLES.items() for name in value.__struct_fields__]
    return found + sorted({f"clients.NAME.{name}" for value in CLIENTS for name in value.__struct_fields__})


def codes(kind: type[StrongroomError] = StrongroomError) -> set[str]:
    return {kind.code}.union(*(codes(below) for below in kind.__subclasses__()))


def commands(group: click.Group = program) -> list[click.Command]:
    """Every command, and those within."""
    found = list(group.commands.values())
    return found + [deeper for each in found if isinstance(each, click.Group) for deeper in commands(each)]


def options() -> list[str]:
    found = {
        spelling
        for command in commands()
        for option in command.params
        if isinstance(option, click.Option)
        for spelling in option.opts
    }
    return sorted(found)


def names() -> list[str]:
    """Each command as it is typed, ``databases list`` among them."""
    groups = {name: each for name, each in program.commands.items() if isinstance(each, click.Group)}
    return [*program.commands, *(f"{name} {inner}" for name, group in groups.items() for inner in group.commands)]


@pytest.mark.parametrize("name", names())
def test_every_command_is_documented(name: str) -> None:
    assert f"strongroom {name}" in EVERYTHING or f"`{name}`" in EVERYTHING


def test_every_global_option_is_documented() -> None:
    for option in GLOBAL_OPTIONS:
        for spelling in option.opts:
            assert f"`{spelling}" in EVERYTHING, spelling


@pytest.mark.parametrize("name", options())
def test_every_option_of_a_command_is_documented(name: str) -> None:
    assert re.search(rf"`(\w+ )?{name}\b", EVERYTHING), name


@pytest.mark.parametrize("key", keys())
def test_every_key_of_the_configuration_is_documented_with_its_default(key: str) -> None:
    row = re.search(rf"^\| `{re.escape(key)}` \| *(`[^|]*`)? *\|", TEXTS["guide.md"], re.MULTILINE)
    assert row, f"{key} is not in the guide's table"
    table, _, name = key.rpartition(".")
    default = _default(TABLES[table], name) if table in TABLES else None
    assert (row[1] or "") == (f"`{default}`" if default is not None else "")


def _default(value: Any, name: str) -> str | None:
    """A key's default as TOML has it; None where there is none, or nothing."""
    default = {field.name: field.default for field in msgspec.structs.fields(value)}[name]
    if isinstance(default, values.Days):
        default = default.phrase
    if isinstance(default, bytes):
        default = default.decode()
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, int):
        return str(default)
    return "[]" if default == () and name in ("exclude", "databases") else None


@pytest.mark.parametrize("code", sorted(codes() | {"system", "interrupted", "bug"}))
def test_every_error_code_is_documented(code: str) -> None:
    assert f"| `{code}` |" in EVERYTHING


def test_no_document_knows_an_option_that_does_not_exist() -> None:
    known = set(options()) | {"--help"}
    for option in set(re.findall(r"`(--[a-z][a-z-]+)", TEXTS["guide.md"])):
        assert option in known, option


def dependencies() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [re.split(r"[<>=; \[]", name)[0] for group in groups for name in group]


@pytest.mark.parametrize("name", dependencies())
def test_every_dependency_is_named_with_its_reason(name: str) -> None:
    assert f"`{name}`" in (PROJECT / "ARCHITECTURE.md").read_text()


def test_the_table_of_rooms_has_every_room() -> None:
    text = (PROJECT / "ARCHITECTURE.md").read_text()
    for path in (PROJECT / "src/strongroom").iterdir():
        if path.suffix in ("", ".py") and not path.name.startswith("__"):
            assert f"`{path.name}/`" in text or f"`{path.name}`" in text, path.name


def test_every_invariant_that_is_cited_is_numbered_in_the_document() -> None:
    numbered = set(re.findall(r"^\*\*(I\d+)\.", TEXTS["invariants.md"], re.MULTILINE))
    assert numbered == {f"I{number}" for number in range(1, len(numbered) + 1)}
    sources = [*PROJECT.glob("src/**/*.py"), *PROJECT.glob("tests/**/*.py"), PROJECT / "ARCHITECTURE.md"]
    for path in sources:
        assert set(re.findall(r"\bI[1-9]\d?\b(?!/)", path.read_text())) <= numbered, path


DOCUMENTS = [PROJECT / "README.md", PROJECT / "ARCHITECTURE.md", *(PROJECT / "docs").glob("*.md")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_leads_nowhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_that_a_document_names_is_there(path: Path) -> None:
    for module in re.findall(r"`((?:vault|runs|restores|clients|panel|cli)/(?!test_)\w+\.py)`", path.read_text()):
        assert (PROJECT / "src/strongroom" / module).exists(), module


def test_the_readme_begins_with_what_a_fresh_machine_needs() -> None:
    commands = re.findall(r"^```\n(.*?)^```", TEXTS["README.md"], re.MULTILINE | re.DOTALL)
    assert commands[0] == "apt-get install -y git make\n"
    assert re.findall(r"^make (\w+)", commands[1], re.MULTILINE) == ["demo", "test"]


def examples() -> list[str]:
    """The command lines of the program that stand in blocks of the documents."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", EVERYTHING, re.DOTALL | re.MULTILINE)
    return sorted({line for block in blocks for line in re.findall(r"^(?:# )?(strongroom .+)$", block, re.MULTILINE)})


@pytest.mark.parametrize("line", examples())
def test_every_command_line_that_is_shown_is_one_that_the_program_takes(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    command: click.Command = program
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words, obj=Invocation())
