"""The directory map is cut so that each segment is small, whatever an account's folders are called."""

from __future__ import annotations

from itertools import accumulate

from strongroom.vault import snapshot

KEY = bytes(32)


def test_segments_stay_small_where_folders_with_long_names_lie_in_one_another() -> None:
    paths = list(accumulate([b"n" * 255] * 600, lambda above, name: above + b"/" + name, initial=b"data"))
    segments = snapshot.build_map([(path, bytes(20)) for path in paths], KEY)
    assert max(len(node.data) for _, node in segments) < 2 << 20
    assert [path for _, node in segments for path, _ in snapshot.decode_segment(node.data, node.references)] == paths


def test_the_order_of_what_is_given_makes_no_difference() -> None:
    paths = [b"data/%d" % number for number in range(5000)]
    one, other = (snapshot.build_map([(path, path[-4:] * 5) for path in given], KEY) for given in (paths, paths[::-1]))
    assert one == other
    assert len(one) > 1


def test_what_changes_in_one_source_leaves_the_segments_of_another_as_they_were() -> None:
    def made(record: bytes) -> list[bytes]:
        tops = [(b"data", bytes(20)), (b"data/web", bytes(20)), (b"databases", record), (b"info", bytes(20))]
        return [node.id for _, node in snapshot.build_map(tops, KEY)]

    one, other = made(b"1" * 20), made(b"2" * 20)
    assert len(one) == 3
    assert (one[0], one[2]) == (other[0], other[2])
