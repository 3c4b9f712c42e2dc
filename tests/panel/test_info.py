"""Info files as the panel writes them, and as nobody should."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.panel.info import flag, parse, word, words


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("domain = example.com", "example.com"),
        ("domain='example.com'", "example.com"),
        ('  domain\t=\t"example.com"  \r', "example.com"),
        ("domain = it's", "it's"),
        (r"domain = 'it\'s \\'", "it's \\"),
        ("domain = a = b", "a = b"),
        ("domain = 1", "1"),
        ("domain =", None),
        ("domain = None", None),
        ("domain = null", None),
        ("domain = 'None'", "None"),
        ("domain = ''", ""),
        ("domain = ['a','b']", ("a", "b")),
        ("domain = [ 'a' , \"b, c\", d, '', None, ]", ("a", "b, c", "d", "")),
        ("domain = ['a]','b']", ("a]", "b")),
        ("domain = []", ()),
        ("domain = ['a", "['a"),
        ("domain = caf\u00e9", "caf\u00e9"),
    ],
)
def test_a_line_is_read_as_the_panel_means_it(line: str, value: object) -> None:
    assert parse(f"[DEFAULT]\n# domain = no\n; domain = no\n{line}\n".encode())["domain"] == value


def test_other_sections_are_not_the_accounts() -> None:
    assert parse(b"a = 1\n[DEFAULT]\nb = 2\n[other]\nb = 3\nc = 4\n") == {"a": "1", "b": "2"}


def test_values_are_taken_as_what_is_asked_for() -> None:
    values = parse(b"[DEFAULT]\none = x\nmany = ['x','y']\non = 1\noff = 0\nnothing = None\n")
    assert (word(values, "one"), word(values, "many"), word(values, "absent"), word(values, "nothing")) == (
        "x",
        "",
        "",
        "",
    )
    assert (words(values, "one"), words(values, "many"), words(values, "nothing")) == (("x",), ("x", "y"), ())
    assert flag(values, "on", default=False)
    assert not flag(values, "off", default=True)
    assert flag(values, "absent", default=True)


@given(st.binary())
def test_no_content_breaks_the_parser(content: bytes) -> None:
    for value in parse(b"[DEFAULT]\nkey = [" + content + b"]\n" + content).values():
        assert value is None or isinstance(value, (str, tuple))


@pytest.mark.parametrize(
    "piece", [b"'", b'"', b",", b"'\\',", b"['", b"a", b" ", b"\\", b"\"'", b"= ", b"\n[", b"a='b\n"]
)
def test_a_megabyte_of_one_thing_is_read_at_once(piece: bytes) -> None:
    content = b"[DEFAULT]\nkey = [" + piece * ((1 << 20) // len(piece)) + b"]"
    started = time.process_time()
    parse(content)
    assert time.process_time() - started < 5
