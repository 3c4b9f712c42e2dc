from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli import output
from strongroom.cli.progress import Teller, progress_line, reading_line
from strongroom.counting import counted
from strongroom.errors import UsageError
from strongroom.model import FileCounts
from strongroom.paths import owners, stored


@given(st.binary(max_size=40))
def test_whatever_a_name_is_it_shows_as_one_harmless_line(name: bytes) -> None:
    shown = output.escaped(name)
    assert shown.isprintable() or shown == ""
    shown.encode("utf-8")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_names_never_look_the_same(one: bytes, other: bytes) -> None:
    assert (output.escaped(one) == output.escaped(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"a\nb\t", "a\\nb\\t"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\xff", "\\xff"),
        ("txt.\u202eexe".encode(), "txt.\\u202eexe"),
        (b"a\\b", "a\\\\b"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(name: bytes, shown: str) -> None:
    assert output.escaped(name) == shown


def test_a_list_is_one_document_and_an_empty_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json_list({"n": number} for number in range(3))
    assert json.loads(capsys.readouterr().out) == [{"n": 0}, {"n": 1}, {"n": 2}]
    output.write_json_list([])
    assert json.loads(capsys.readouterr().out) == []


def test_a_list_that_fails_halfway_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> object:
        yield 1
        raise UsageError("no")

    with pytest.raises(UsageError):
        output.write_json_list(broken())  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""


def test_tables_line_up_with_numbers_to_the_right() -> None:
    assert output.table(("NAME", "N"), [("a", "1"), ("long", "1,000")]) == ["NAME      N", "a         1", "long  1,000"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (123_456, "123 KB"), (999_999, "1.0 MB"), (5e15, "5.0 PB")],
)
def test_sizes_are_short(count: float, shown: str) -> None:
    assert output.size(count) == shown


@pytest.mark.parametrize(
    ("owner", "inside"),
    [
        ("/", b"data"),
        ("/var//www/", b"data/var/www"),
        ("info:/", b"info"),
        ("info:", b"info"),
        ("info:/current/siteinfo", b"info/current/siteinfo"),
        ("/\udcff", b"data/\xff"),
        ("/...", b"data/..."),
    ],
)
def test_an_owners_path_becomes_a_stored_one(owner: str, inside: bytes) -> None:
    assert stored(owner) == inside


@pytest.mark.parametrize("path", ["", "var/www", "info:current", "/a/../b", "/..", "/a/./b", "."])
def test_a_path_that_is_relative_or_climbs_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        stored(path)


@given(
    st.lists(
        st.binary(min_size=1, max_size=9).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))
    )
)
def test_a_stored_path_survives_being_shown_and_typed_again(names: list[bytes]) -> None:
    for tree in (b"data", b"info"):
        path = b"/".join([tree, *names])
        assert stored(owners(path)) == path


def test_progress_has_a_rate_and_the_time_left() -> None:
    line = progress_line("site1", FileCounts(seen=500, bytes_read=10_000_000), 2000, 5.0)
    assert line == "25 %  500 of 2,000 entries  100/s  10.0 MB (2.0 MB/s)  15.0 s left  site1"
    assert "left" not in progress_line("site1", FileCounts(seen=500), 0, 5.0)
    line = reading_line(1_000_000, 4_000_000, 2.0)
    assert line == "25 %  1.0 MB of 4.0 MB  500 KB/s  6.0 s left  read back"


@pytest.mark.parametrize(("done", "seconds"), [(500, 1.9), (19, 60.0), (0, 60.0)])
def test_no_time_left_is_told_before_there_is_something_to_judge_by(done: int, seconds: float) -> None:
    assert "left" not in progress_line("site1", FileCounts(seen=done), 2000, seconds)
    assert "left" not in reading_line(done, 2000, seconds)


def test_a_terminal_shows_what_a_check_has_read_back() -> None:
    screen = io.StringIO()
    Teller(live=True, quiet=False, to=screen).read_back(10, 1000)
    assert screen.getvalue().startswith("\r\x1b[K1 %  10 B of 1.0 KB  ")


def test_a_number_stands_with_its_noun() -> None:
    assert [counted(count, "point") for count in (0, 1, 1200)] == ["0 points", "1 point", "1,200 points"]
    assert [counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    screen = io.StringIO()
    Teller(live=False, quiet=False, to=screen).progress(accounts="a", done=FileCounts(), expected_entries=0)
    assert screen.getvalue() == ""


def test_a_note_takes_the_line_off_first_and_q_leaves_it_out() -> None:
    screen = io.StringIO()
    teller = Teller(live=True, quiet=False, to=screen)
    teller.progress(accounts="site1", done=FileCounts(seen=1), expected_entries=0)
    teller.note("as another user\nthan root")
    assert screen.getvalue().endswith("\r\x1b[Kstrongroom: as another user\\nthan root\n")
    silent = io.StringIO()
    Teller(live=False, quiet=True, to=silent).note("anything")
    assert silent.getvalue() == ""
