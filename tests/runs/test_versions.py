from __future__ import annotations

import msgspec
import pytest

from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Point, Time
from strongroom.runs import versions
from tests.fakes import FakeClient, file, folder, tree


def shown(path: bytes) -> str:
    return "/" + path.partition(b"/")[2].decode("utf-8", "surrogateescape")


def never(point: Point, error: ClientError) -> None:
    """Every point of a fake can be looked into."""
    raise error


def test_history_counts_a_content_that_came_back_once() -> None:
    client = FakeClient()
    path = b"data/www/index.php"
    for content in (b"one", b"two", b"one"):
        client.add("site1", tree(file(path, content)))
    client.add("site1", tree(folder(b"data/www")))
    found = versions.history(client.points(), path, lambda point: client, never)
    assert [[point.seq for point in version.points] for version in found] == [[2], [1, 3]]


def test_history_tells_apart_what_stat_alone_cannot() -> None:
    client = FakeClient()
    path = b"data/f"
    client.add("site1", tree(file(path, b"aaa")))
    client.add("site1", tree(file(path, b"bbb")))
    client.add("site1", tree(file(path, b"bbb", mode=0o600)))
    assert len(versions.history(client.points(), path, lambda point: client, never)) == 3


def test_a_content_that_cannot_be_hashed_is_known_by_its_times() -> None:
    one = file(b"data/f", b"aaa")
    unhashable = msgspec.structs.replace(one, content=[1])
    assert versions.content_key(unhashable) == (3, one.mtime, one.ctime)


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.php", ["/www/a.php", "/www/deep/b.php"]),
        ("a.php", ["/www/a.php"]),
        ("/www/*", ["/www/a.php", "/www/deep", "/www/deep/b.php"]),
        ("www", ["/www"]),
        ("/*", ["/www", "/www/a.php", "/www/deep", "/www/deep/b.php"]),
        ("A.php", []),
    ],
)
def test_find_matches_names_and_with_a_slash_paths(pattern: str, paths: list[str]) -> None:
    client = FakeClient()
    client.add("site1", tree(file(b"data/www/a.php"), file(b"data/www/deep/b.php")))
    found = versions.search(client.points(), pattern, lambda point: client, shown, never)
    assert [shown(version.entry.path) for version in found] == paths


def test_find_lists_each_version_once_with_the_points_that_hold_it() -> None:
    client = FakeClient()
    for content in (b"1", b"1", b"22"):
        client.add("site1", tree(file(b"data/a", content)))
    found = versions.search(client.points(), "a", lambda point: client, shown, never)
    assert [(version.entry.size, [point.seq for point in version.points]) for version in found] == [
        (1, [1, 2]),
        (2, [3]),
    ]


def walk(*entries: Entry) -> list[Entry]:
    return sorted(tree(*entries).values(), key=lambda entry: entry.path.split(b"/"))


def changes(old: list[Entry], new: list[Entry], one_client: bool = True) -> list[tuple[bytes, str, tuple[str, ...]]]:
    return [(each.path, each.change, each.what) for each in versions.compare(old, new, one_client=one_client)]


def test_equal_walks_have_no_changes() -> None:
    assert changes(walk(file(b"data/a", b"x")), walk(file(b"data/a", b"x"))) == []


def test_added_and_removed_are_found_where_names_sort_around_slashes() -> None:
    # "a-b" sorts before "a/" as bytes, and after it as a sibling.
    old = walk(file(b"data/a/x"), file(b"data/a-b"))
    new = walk(file(b"data/a/y"), file(b"data/a-b"))
    assert changes(old, new) == [(b"data/a/x", "removed", ()), (b"data/a/y", "added", ())]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("content", {"content": b"y"}),
        ("mode", {"mode": 0o600}),
        ("owner", {"gid": 7}),
        ("mtime", {"mtime": Time(1_700_000_000, 6)}),
        ("xattr", {"xattrs": ((b"user.a", b"1"),)}),
        ("acl", {"xattrs": ((b"system.posix_acl_access", b"1"),)}),
        ("flags", {"flags": 16}),
        ("links", {"links": 2}),
    ],
)
def test_each_kind_of_change_has_its_word(what: str, change: dict[str, object]) -> None:
    one = file(b"data/a", b"x")
    other = msgspec.structs.replace(one, **change)
    assert changes([one], [other]) == [(b"data/a", "changed", (what,))]


def test_types_targets_and_device_numbers_have_their_words() -> None:
    link = msgspec.structs.replace(file(b"data/a"), type=FileType.SYMLINK, target=b"x", content=None)
    assert changes([file(b"data/a")], [link]) == [(b"data/a", "changed", ("type", "target"))]
    assert changes([link], [msgspec.structs.replace(link, target=b"y")]) == [(b"data/a", "changed", ("target",))]
    node = msgspec.structs.replace(file(b"data/a"), type=FileType.CHAR, content=None)
    assert changes([node], [msgspec.structs.replace(node, rdev=(1, 3))]) == [(b"data/a", "changed", ("rdev",))]


def test_how_many_folders_a_folder_holds_is_no_change_of_its_own() -> None:
    one = folder(b"data")
    assert changes([one], [msgspec.structs.replace(one, links=9, size=4096)]) == []


def test_contents_of_two_clients_are_compared_by_size_and_time() -> None:
    one = file(b"data/a", b"x")
    assert changes([one], [msgspec.structs.replace(one, content=("other", 1))], one_client=False) == []
    longer = msgspec.structs.replace(one, size=2)
    assert changes([one], [longer], one_client=False) == [(b"data/a", "changed", ("content",))]
