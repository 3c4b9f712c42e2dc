"""Imports run downward only; which room may see which is the table in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import strongroom

ROOT = Path(strongroom.__file__).parent

# Each room, and the rooms that its modules may import. Errors, counts and the version are everybody's.
MAY_SEE = {
    "model": set(),
    "errors": set(),
    "paths": set(),
    "counting": set(),
    "config": {"model"},
    "vault": set(),
    "panel": {"config", "model"},
    "clients": {"config", "model", "vault"},
    "exports": {"config", "model"},
    "settings": {"exports", "panel", "config", "model"},
    "runs": {"settings", "clients", "exports", "panel", "config", "model"},
    "restores": {"demo", "runs", "settings", "clients", "exports", "panel", "config", "model", "paths"},
    "webapps": {"restores", "runs", "settings", "clients", "exports", "panel", "config", "model", "paths"},
    "demo": {"model"},
    "jetbackup": {"restores", "runs", "settings", "clients", "exports", "panel", "config", "model"},
    "cli": {
        "webapps",
        "jetbackup",
        "restores",
        "runs",
        "settings",
        "clients",
        "exports",
        "panel",
        "config",
        "model",
        "paths",
        "demo",
    },
    "__main__": {"cli"},
}
# The vault is a library of its own; its client alone knows that it exists.
ONLY_HERE = {"vault": "clients/vault"}


def imports(module: Path) -> Iterator[str]:
    """The rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            own = node.module == "strongroom"
            names = [f"strongroom.{alias.name}" for alias in node.names] if own else [node.module or ""]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("strongroom."))


def room_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_from_its_own_room_and_those_below(module: Path) -> None:
    room = room_of(module)
    assert room in MAY_SEE, f"{room} is a new room: say in the table what it may see"
    for seen in set(imports(module)) - {room, "errors", "counting", "__version__"}:
        assert seen in MAY_SEE[room], f"{room} must not import {seen}"
        inside = str(module.relative_to(ROOT))
        assert seen not in ONLY_HERE or inside.startswith(ONLY_HERE[seen]), f"{inside} must not import {seen}"


def test_the_vault_knows_nothing_of_ours() -> None:
    for module in (ROOT / "vault").rglob("*.py"):
        assert set(imports(module)) <= {"vault"}, module


def imported(module: Path) -> Iterator[Path]:
    """The modules that a module imports, for types alone among them."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "strongroom":
            place = ROOT.joinpath(*node.module.split(".")[1:])
            inside = [place / f"{alias.name}.py" for alias in node.names]
            yield from {found if found.exists() else place.with_suffix(".py") for found in inside}


def test_no_modules_import_each_other() -> None:
    order = graphlib.TopologicalSorter({module: set(imported(module)) for module in MODULES})
    order.prepare()  # raises CycleError
