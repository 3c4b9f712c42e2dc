"""Literal values in a PHP file, read without running it: constants, variables, and what the file returns.

Settings of web apps are PHP that a stranger wrote. Here it is text: only what is a literal counts (texts, numbers, true,
false, null, arrays of such); whatever would have to be computed is not there. Conditions are not looked at: of a constant
the first definition counts, as PHP has it, of a variable the last.
"""

from __future__ import annotations

import re
from typing import Any

from strongroom.model import Frozen

MOST_BYTES = 1 << 18
_DEEPEST = 16

_TOKEN = re.compile(
    rb"""
      (?P<space>\s+ | //[^\n]*?(?=\?>|\n|\Z) | \#(?!\[)[^\n]*?(?=\?>|\n|\Z) | /\*.*?(?:\*/|\Z))
    | (?P<single>'(?:\\.|[^'\\])*(?:'|\\?\Z))
    | (?P<double>"(?:\\.|[^"\\])*(?:"|\\?\Z))
    | (?P<heredoc><<<[ \t]*["']?(?P<mark>[A-Za-z_]\w*)["']?\r?\n.*?(?:^[ \t]*(?P=mark)\b|\Z))
    | (?P<number>0[xX][0-9a-fA-F]+ | \d+(?:\.\d+)?)
    | (?P<variable>\$[A-Za-z_\x80-\xff][\w\x80-\xff]*)
    | (?P<word>[A-Za-z_\x80-\xff][\w\\\x80-\xff]*)
    | (?P<ends>\?>)
    | (?P<mark2>=>|=(?!=)|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_BEGINS = re.compile(rb"<\?(?:php\b|=)?", re.IGNORECASE)
_SINGLE = re.compile(r"\\([\\'])")
_DOUBLE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u\{[0-9A-Fa-f]{1,6}\}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "e": "\x1b", "f": "\f", "\\": "\\", "$": "$", '"': '"'}
_NAMED = {b"true": True, b"false": False, b"null": None}
_OPEN, _CLOSE = (b"(", b"[", b"{"), (b")", b"]", b"}")

Value = Any
_Token = tuple[str, bytes]


class _Computed:
    """What is no literal."""


_COMPUTED = _Computed()
_END: _Token = ("end", b"")


class Php(Frozen):
    """What a file says: ``constants`` and ``variables`` by name (without ``$``), and the value it returns, else None."""

    constants: dict[str, Value] = {}
    variables: dict[str, Value] = {}
    returned: Value = None


def read(content: bytes | None) -> Php:
    """The literals of a file; nothing for None. Never raises."""
    return _Reader(content or b"").read()


def word(value: Value) -> str:
    """A value as text where it is text or a number; empty for all else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def below(value: Value, *keys: str) -> Value:
    """What stands in nested arrays under these keys; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._tokens = list(_tokens(content))
        self._at = 0
        self._constants: dict[str, Value] = {}
        self._variables: dict[str, Value] = {}
        self._returned: Value = None

    def read(self) -> Php:
        while self._at < len(self._tokens):
            kind, token = self._take()
            if kind == "word" and token.lower() == b"define" and self._peek()[1] == b"(":
                self._define()
            elif kind == "word" and token.lower() == b"const":
                self._constant()
            elif kind == "word" and token.lower() == b"return":
                value = self._value(0)
                self._returned = value if value is not _COMPUTED else self._returned
            elif kind == "variable":
                self._assignment(token[1:].decode("utf-8", "replace"))
        return Php(constants=self._constants, variables=self._variables, returned=self._returned)

    def _define(self) -> None:
        self._at += 1
        name = self._value(0)
        if self._peek()[1] == b"," and isinstance(name, str):
            self._at += 1
            value = self._value(0)
            if value is not _COMPUTED:
                self._constants.setdefault(name, value)

    def _constant(self) -> None:
        kind, name = self._peek()
        self._at += 1
        if kind == "word" and self._peek()[1] == b"=":
            self._at += 1
            value = self._value(0)
            if value is not _COMPUTED:
                self._constants.setdefault(name.decode("utf-8", "replace"), value)

    def _assignment(self, name: str) -> None:
        keys = [name]
        while self._peek()[1] == b"[" and len(keys) < _DEEPEST:
            self._at += 1
            key = None if self._peek()[1] == b"]" else self._value(0)
            if not isinstance(key, str | int) or self._peek()[1] != b"]":
                return
            self._at += 1
            keys.append(str(key))
        if self._peek()[1] != b"=":
            return
        self._at += 1
        value = self._value(0)
        if value is _COMPUTED:
            return
        into = self._variables
        for key in keys[:-1]:
            inner = into.get(key)
            if not isinstance(inner, dict):
                inner = into[key] = {}
            into = inner
        into[keys[-1]] = value

    def _value(self, depth: int) -> Value:
        """The literal that stands here, or `_COMPUTED`; what ends it (comma, bracket, semicolon) is not taken."""
        value = self._literal(depth) if depth < _DEEPEST else _COMPUTED
        if self._peek()[1] in (b";", b",", b")", b"]", b"=>", b"") or self._peek()[0] in ("ends", "end"):
            return value
        self._skip()
        return _COMPUTED

    def _literal(self, depth: int) -> Value:
        kind, token = self._take()
        if kind == "single":
            return _SINGLE.sub(r"\1", token[1:-1].decode("utf-8", "replace"))
        if kind == "double":
            return _COMPUTED if _interpolates(token) else _unescaped(token[1:-1])
        if kind == "number":
            return _number(token)
        if token == b"-" and self._peek()[0] == "number":
            return -_number(self._take()[1])
        if token == b"[":
            return self._array(b"]", depth)
        if kind == "word" and token.lower() == b"array" and self._peek()[1] == b"(":
            self._at += 1
            return self._array(b")", depth)
        if kind == "word" and token.lower() in _NAMED:
            return _NAMED[token.lower()]
        self._at -= token in (b";", b",", *_OPEN, *_CLOSE)
        return _COMPUTED

    def _array(self, closing: bytes, depth: int) -> Value:
        items: dict[str, Value] = {}
        free = 0
        while self._peek()[0] != "end":
            if self._peek()[1] == closing:
                self._at += 1
                return items
            began = self._at
            key: Value = None
            value = self._value(depth + 1)
            if self._peek()[1] == b"=>":
                self._at += 1
                key, value = value, self._value(depth + 1)
            else:
                key, free = free, free + 1
            if isinstance(key, str | int) and value is not _COMPUTED:
                items[str(key)] = value
            if self._peek()[1] == b",":
                self._at += 1
            elif self._at == began:
                return _COMPUTED
        return _COMPUTED

    def _skip(self) -> None:
        """Go on to what ends a value, over whatever stands in brackets."""
        inside = 0
        while (token := self._peek())[0] not in ("end", "ends"):
            if not inside and token[1] in (b";", b",", b"=>", *_CLOSE):
                return
            inside += (token[1] in _OPEN) - (token[1] in _CLOSE)
            self._at += 1

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token


def _tokens(content: bytes) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while begun := _BEGINS.search(content, at):
        at = begun.end()
        while at < len(content):
            match = _TOKEN.match(content, at)
            if match is None:
                return found
            at = match.end()
            kind = match.lastgroup or ""
            if kind == "ends":
                found.append(("ends", b";"))
                break
            if kind != "space":
                found.append(("heredoc" if kind == "mark" else kind, match.group()))
    return found


def _interpolates(token: bytes) -> bool:
    return re.search(rb"(?<!\\)(?:\\\\)*(?:\$[A-Za-z_{]|\{\$)", token) is not None


def _unescaped(text: bytes) -> str:
    return _DOUBLE.sub(_character, text.decode("utf-8", "replace"))


def _character(escape: re.Match[str]) -> str:
    code = escape[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] == "u" and code[1:2] == "{":
        number = int(code[2:-1], 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ESCAPES.get(code, "\\" + code)


def _number(token: bytes) -> int | float:
    if token[:2].lower() == b"0x":
        return int(token, 16)
    return float(token) if b"." in token else int(token[:18])
