"""What git forgets comes back as it was written, and what no walk can have given is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import SnapshotError
from strongroom.model import Entry, FileType, Time
from strongroom.webapps.snapshots.lines import cut, decode, encode, path_of, written

APP = b"data/var/www/html"
TOP = Entry(path=APP, type=FileType.DIR, mode=0o755, uid=1, gid=2, mtime=Time(5))


@given(st.binary(max_size=40))
def test_a_path_is_written_as_text_and_read_back(path: bytes) -> None:
    text = written(path)
    assert path_of(text) == path
    assert text.encode().decode() == text and "\n" not in text


def test_all_that_git_forgets_comes_back() -> None:
    entries = [
        TOP,
        Entry(path=APP + b"/empty", type=FileType.DIR, mode=0o2770, uid=0, gid=48, mtime=Time(-5, 7), flags=16),
        Entry(
            path=APP + b"/file\xff\n%41",
            type=FileType.FILE,
            mode=0o4711,
            uid=10000,
            gid=10000,
            mtime=Time(1_700_000_000, 123_456_789),
            size=5,
            stored=5,
            content="a" * 40,
            xattrs=((b"system.posix_acl_access", b"\x02\0\0\0\xff"), (b"user.\xff", b"")),
            links=2,
            link_group=b"1",
        ),
        Entry(path=APP + b"/link", type=FileType.SYMLINK, mode=0o777, uid=1, gid=1, mtime=Time(1), target=b"../\xfe"),
        Entry(path=APP + b"/left", type=FileType.FILE, mode=0o644, uid=1, gid=1, mtime=Time(1), size=9),
        Entry(path=APP + b"/node", type=FileType.CHAR, mode=0o600, uid=0, gid=0, mtime=Time(1), rdev=(1, 3)),
    ]
    assert decode(b"".join(encode(entries, APP)), APP) == entries


@pytest.mark.parametrize(
    "line",
    [
        b'{"path":"../../etc/passwd"}',
        b'{"path":"/etc/passwd","type":"file","mode":"0644","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"../x","type":"file","mode":"0644","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"a/b","type":"file","mode":"0644","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"","type":"dir","mode":"0644","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"%00","type":"file","mode":"0644","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"a","type":"file","mode":"rw","uid":0,"gid":0,"time":"0.0"}',
        b'{"path":"a","type":"file","mode":"0644","uid":0,"gid":0,"time":"now"}',
        b'{"path":"a","type":"file","mode":"0644","uid":0,"gid":0,"time":"0.0","xattrs":{"a":"!"}}',
        b"no JSON",
    ],
)
def test_what_no_walk_can_have_given_is_refused(line: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode(b"".join(encode([TOP], APP)) + line + b"\n", APP)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_cut_text_is_the_same_text(pieces: list[bytes]) -> None:
    assert b"".join(cut(pieces)) == b"".join(pieces)


def test_an_edit_changes_few_pieces() -> None:
    rows = [b"INSERT INTO `posts` VALUES (%d,'%b');\n" % (number, b"text %d " % number * 9) for number in range(20000)]
    before = list(cut(rows))
    after = list(cut([*rows[:5000], b"INSERT INTO `posts` VALUES (1,'new');\n", *rows[5000:]]))
    assert len(before) > 15
    assert len(set(after) - set(before)) <= 2
    assert max(map(len, [*before, *cut([b"x" * (5 << 20)])])) <= (1 << 20) + 200
