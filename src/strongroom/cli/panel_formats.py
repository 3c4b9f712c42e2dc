"""How the panel's ``cpcmd`` prints and reads values: as text, JSON, YAML, or one of PHP's own ways.

A value is a boolean, a text, None, a list of values, or names with values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from strongroom.errors import UsageError

# What YAML takes for a text whatever reads it: no digit, sign or punctuation at the start, no word with a meaning.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_MEANING = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"}
_PHP_TEXT = re.compile(r's:([0-9]+):"(.*)";', re.DOTALL)


def print_value(value: Any, form: str | None) -> str:
    """A value in a form; None is the panel's default: plain text for what is simple, YAML for the rest."""
    if form is None:
        return _yaml(value) if isinstance(value, list | dict) else _plain(value)
    if form not in _PRINTERS:
        raise UsageError(f"-o {form}: unknown form; there are {', '.join(_PRINTERS)}")
    return _PRINTERS[form](value)


def read_value(given: str, form: str | None) -> str:
    """An argument in a form (None and ``cli``: as it is typed) as the word for a value."""
    if form in (None, "cli"):
        return given[1:-1] if len(given) >= 2 and given[0] == given[-1] and given[0] in "'\"" else given
    if form == "json":
        try:
            value = json.loads(given)
        except ValueError:
            raise UsageError(f"-i json: {given!r} is no JSON") from None
        return _word(value, given)
    if form == "serialize":
        return _word(_unserialized(given), given)
    raise UsageError(f"-i {form}: unknown form; there are cli, json, serialize")


def _word(value: object, given: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise UsageError(f"{given!r} is no value of a scope: a text or a boolean is")


def _unserialized(given: str) -> object:
    """PHP's serialized form of a text, a number or a boolean."""
    if given in ("b:0;", "b:1;"):
        return given == "b:1;"
    if match := re.fullmatch(r"i:([0-9]+);", given):
        return match[1]
    match = _PHP_TEXT.fullmatch(given)
    if match is None or int(match[1][:9]) != len(match[2].encode()):
        raise UsageError(f"-i serialize: {given!r} is no text, number or boolean as PHP serializes it")
    return match[2]


def _plain(value: Any) -> str:
    """As PHP prints it: true is 1, false and null are nothing."""
    return ("1" if value else "") if isinstance(value, bool) or value is None else str(value)


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(f"- {_yaml(item)}" for item in value) or "[]"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_yaml(item)}" for name, item in value.items()) or "{}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if _PLAIN.fullmatch(value) and value.lower() not in _MEANING else json.dumps(value, ensure_ascii=False)


def _cli(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_cli, value))}]"
    if isinstance(value, Mapping):
        return f"[{','.join(f'{name}:{_cli(item)}' for name, item in value.items())}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value or '""'


def _items(value: Any) -> list[tuple[int | str, Any]]:
    """A list or names with values as PHP's one kind of array."""
    return list(value.items() if isinstance(value, Mapping) else enumerate(value))


def _serialized(value: Any) -> str:
    if value is None:
        return "N;"
    if isinstance(value, bool):
        return f"b:{value:d};"
    if isinstance(value, int):
        return f"i:{value};"
    if isinstance(value, str):
        return f's:{len(value.encode())}:"{value}";'
    items = _items(value)
    return f"a:{len(items)}:{{{''.join(_serialized(key) + _serialized(item) for key, item in items)}}}"


def _print_r(value: Any) -> str:
    if not isinstance(value, list | Mapping):
        return _plain(value)
    return "\n".join(("Array", "(", *(f"    [{key}] => {_plain(item)}" for key, item in _items(value)), ")"))


def _var_dump(value: Any) -> str:
    return "\n".join(_dumped(value))


def _dumped(value: Any) -> Iterator[str]:
    if value is None:
        yield "NULL"
    elif isinstance(value, bool):
        yield f"bool({str(value).lower()})"
    elif isinstance(value, str):
        yield f'string({len(value.encode())}) "{value}"'
    else:
        items = _items(value)
        yield f"array({len(items)}) {{"
        for key, item in items:
            yield f"  [{json.dumps(key)}]=>"
            yield from (f"  {line}" for line in _dumped(item))
        yield "}"


_PRINTERS: dict[str, Callable[[Any], str]] = {
    "cli": _cli,
    "json": lambda value: json.dumps(value),
    "serialize": _serialized,
    "yaml": _yaml,
    "var_dump": _var_dump,
    "print": _print_r,
}
