"""Names as names of files: whatever a server allows comes back from them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from strongroom.exports.names import file_name, joined, parts

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(NAMES)
@example("..")
@example(".hidden")
@example("a/b%2Fc")
def test_a_name_is_one_component_of_a_path(name: str) -> None:
    made = file_name(name)
    assert made not in ("", ".", "..")
    assert not set("/\0\n") & set(made)
    assert "".join(parts(made.replace(".", "%2E"))) == name


@given(NAMES, NAMES)
def test_two_names_are_told_apart(schema: str, name: str) -> None:
    assert parts(joined(schema, name)) == (schema, name)


def test_plain_names_stay_readable() -> None:
    assert file_name("wp_posts") == "wp_posts"
    assert joined("public", "Posts é") == "public.Posts é"


def test_a_name_that_is_too_long_for_a_file_stays_one_of_its_own() -> None:
    long = ["/" * 100 + end for end in "ab"]
    made = {file_name(name) for name in long}
    assert len(made) == 2
    assert all(len(name.encode()) <= 240 for name in made)
