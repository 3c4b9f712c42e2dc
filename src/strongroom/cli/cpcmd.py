"""``cpcmd``: the panel's command line, for what it knows of scopes.

``cpcmd [-i FORM] [-o FORM] scope:get NAME``, also spelled ``scope_get``; the configuration is ``$STRONGROOM_CONFIG``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from strongroom.cli import output
from strongroom.cli.invocation import Invocation
from strongroom.cli.panel_formats import print_value, read_value
from strongroom.cli.scope import change
from strongroom.errors import NotBuiltError, UsageError

_USAGE = "usage: cpcmd [-o FORM] [-i FORM] scope:list [GLOB] | scope:get NAME | scope:set NAME VALUE | scope:info NAME"
_OPTIONS = {"d": "domain", "u": "user", "i": "input", "o": "output"}


def run(invocation: Invocation, arguments: Sequence[str]) -> int:
    """Do what one command line asks for; print the answer, and return the exit status."""
    options, rest = _options(list(arguments))
    if not rest:
        raise UsageError(_USAGE)
    name = rest[0].replace("_", ":", 1) if ":" not in rest[0] else rest[0]
    if name not in _COMMANDS:
        raise NotBuiltError(f"'cpcmd {rest[0]}': only scope:list, scope:get, scope:set and scope:info are here")
    if "d" in options or "u" in options:
        raise UsageError(f"{name} is the administrator's alone: leave out -d and -u")
    work, least, most = _COMMANDS[name]
    given = [read_value(argument, options.get("i")) for argument in rest[1:]]
    if not least <= len(given) <= most:
        what = "a value is missing" if name == "scope:set" and len(given) == 1 else "wrong number of arguments"
        raise UsageError(f"{name}: {what}; {_USAGE}")
    output.write_lines([print_value(work(invocation, *given), options.get("o"))])
    return 0


def _options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options before the command, by their letters, and the rest."""
    options: dict[str, str] = {}
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        option = arguments.pop(0)
        if option == "--":
            break
        if option in ("-h", "--help"):
            raise UsageError(_USAGE)
        letter, value = _option(option)
        if value is None and not arguments:
            raise UsageError(f"{option} needs a value; {_USAGE}")
        options[letter] = arguments.pop(0) if value is None else value
    return options, arguments


def _option(option: str) -> tuple[str, str | None]:
    """``-ojson``, ``-o``, ``--output=json`` or ``--output`` as a letter, and the value if it is in the same word."""
    if option.startswith("--"):
        long, given, value = option[2:].partition("=")
        letter = next((short for short, name in _OPTIONS.items() if name == long), None)
        found = value if given else None
    else:
        letter, found = option[1] if option[1] in _OPTIONS else None, option[2:] or None
    if letter is None:
        raise UsageError(f"{option}: unknown option; {_USAGE}")
    return letter, found


def _list(invocation: Invocation, glob: str = "*") -> Any:
    return invocation.scopes.names(glob)


def _get(invocation: Invocation, name: str) -> Any:
    return invocation.scopes.get(name)


def _set(invocation: Invocation, name: str, value: str) -> Any:
    change(invocation, name, value)
    return True


def _info(invocation: Invocation, name: str) -> Any:
    found = invocation.scopes.describe(name)
    return {"info": found.info, "value": found.value, "default": found.default, "settings": found.settings}


# What each does, and how few and many arguments it takes.
_COMMANDS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "scope:list": (_list, 0, 1),
    "scope:get": (_get, 1, 1),
    "scope:set": (_set, 2, 2),
    "scope:info": (_info, 1, 1),
}
