"""What is taken from a folder, and what is left out."""

from __future__ import annotations

import pytest

from strongroom.vault.source import Filter, Source, Take, fingerprint


def made(*exclude: str, select: tuple[bytes, ...] | None = None) -> Filter:
    return Filter(Source(name="data", path=b"/somewhere", exclude=exclude, select=select))


def test_without_patterns_everything_is_taken_unasked() -> None:
    assert made().trivial
    assert not made("*.log").trivial
    assert not made("/work").trivial
    assert not made(select=(b"/a",)).trivial


def test_only_folders_that_something_may_be_left_out_of_are_touched() -> None:
    exact = made("/work", "/a/b/c/")
    assert [folder for folder in (b"", b"a", b"a/b", b"a/b/c", b"work") if exact.touches(folder)] == [b"", b"a/b"]
    assert not made().touches(b"")
    assert made("*.log").touches(b"deep") and made(select=(b"/a",)).touches(b"b")


@pytest.mark.parametrize(
    ("pattern", "path", "folder", "taken"),
    [
        ("/work", b"work", True, False),
        ("/work/", b"work", True, False),
        ("/work", b"below/work", True, True),
        ("/a/b", b"a/b", False, False),
        ("/a/b", b"a", True, True),
        ("*.log", b"deep/er/x.log", False, False),
        ("*.log", b"x.log.1", False, True),
        ("cache/", b"www/cache", True, False),
        ("cache/", b"www/cache", False, True),
        ("/var/*.sock", b"var/x.sock", False, False),
        ("/var/*.sock", b"var/deep/x.sock", False, True),
        ("**/node_modules", b"a/b/node_modules", True, False),
        ("*.tmp", b"\xff\xfe.tmp", False, False),
        ("ä*", "ärger".encode(), False, False),
    ],
)
def test_patterns_are_those_of_gitignore(pattern: str, path: bytes, folder: bool, taken: bool) -> None:
    assert (made(pattern).take(path, folder=folder) is Take.ALL) == taken


def test_a_later_pattern_takes_back_an_earlier() -> None:
    both = made("*.log", "!keep.log")
    assert both.take(b"x.log", folder=False) is Take.NOTHING
    assert both.take(b"keep.log", folder=False) is Take.ALL


@pytest.mark.parametrize(
    ("path", "folder", "take"),
    [
        (b"var", True, Take.ON_THE_WAY),
        (b"var", False, Take.NOTHING),
        (b"var/log", True, Take.ON_THE_WAY),
        (b"var/log/mailer_table", False, Take.ALL),
        (b"var/log/mailer_table.old", False, Take.ALL),
        (b"var/log/other", False, Take.NOTHING),
        (b"var/lib/pgsql/9.6/backups", True, Take.ALL),
        (b"var/lib/pgsql/9.6/backups/deep/file", False, Take.ALL),
        (b"var/lib/pgsql/9.6/data", True, Take.NOTHING),
        (b"etc", True, Take.NOTHING),
    ],
)
def test_what_is_selected_is_taken_with_the_folders_on_the_way(path: bytes, folder: bool, take: Take) -> None:
    selected = made(select=(b"/var/log/mailer_table*", b"/var/lib/pgsql/*/backups"))
    assert selected.take(path, folder=folder) is take


def test_what_is_left_out_is_left_out_of_what_is_selected() -> None:
    both = made("*.old", select=(b"/var/log/*",))
    assert both.take(b"var/log/x", folder=False) is Take.ALL
    assert both.take(b"var/log/x.old", folder=False) is Take.NOTHING


def test_the_fingerprint_changes_with_what_is_taken_and_with_nothing_else() -> None:
    first = Source(name="data", path=b"/one", exclude=("a",))
    same = Source(name="data", path=b"/frozen/one", exclude=("a",))
    assert fingerprint((first,)) == fingerprint((same,))
    others = [
        (Source(name="data", path=b"/one", exclude=("b",)),),
        (Source(name="data", path=b"/one"),),
        (Source(name="info", path=b"/one", exclude=("a",)),),
        (Source(name="data", path=b"/one", exclude=("a",), select=(b"/x",)),),
        (first, same),
    ]
    assert len({fingerprint(sources) for sources in [(first,), *others]}) == 6
