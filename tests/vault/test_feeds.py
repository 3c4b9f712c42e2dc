"""Feeds: files that are made while they are stored, drawn before the folders of their series."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.model import FileType
from strongroom.vault import sweep
from strongroom.vault.feed import Feed
from strongroom.vault.series import Outcome, Request, SeriesFailure
from strongroom.vault.source import Source
from strongroom.vault.verify import verify
from tests.vault.feeds import MadeFeed, MadeFile, feed_of, noise, rows
from tests.vault.ground import in_memory
from tests.vault.plot import PASSPHRASE, SERIES, SMALL_CHUNKS, Ground, Seen
from tests.vault.second_reader import SecondReader

# Two processes meet within this (seconds), unless one never begins.
PATIENCE = 300
CONTENT = {
    b"mysql/shop/before.sql": b"CREATE TABLE posts;\n",
    b"mysql/shop/tables/posts.sql": b"".join(rows(30_000)),
    b"mysql/shop/tables/empty.sql": b"",
    b"mysql/shop/after.sql": b"ALTER TABLE posts;\n",
    b"mysql/users.sql": b"GRANT\n",
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    (made.source / "web").mkdir()
    (made.source / "web/index.php").write_bytes(b"<?php echo 1;")
    return made


def held(ground: Ground, id: str) -> dict[bytes, bytes]:
    """The files below a point's databases."""
    return _files(ground.read(id))


def _files(seen: dict[bytes, Seen]) -> dict[bytes, bytes]:
    top = b"databases/"
    return {
        path.removeprefix(top): item.content
        for path, item in seen.items()
        if path.startswith(top) and item.type is FileType.FILE
    }


def both(ground: Ground, first: Feed | None, second: Feed | None, workers: int = 2) -> list[Outcome | SeriesFailure]:
    """Back up two accounts, each with its own feed."""
    requests = []
    for number, feed in enumerate((first, second)):
        folder = ground.base / f"account{number}"
        folder.mkdir(exist_ok=True)
        (folder / "file").write_bytes(b"of account %d" % number)
        source = Source(name="data", path=os.fsencode(folder))
        requests.append(
            Request(series=f"here/{number}", level="incremental", sources=(source,), owners=ground.owners, feed=feed)
        )
    outcomes = ground.vault().backup(requests, workers=workers, describe=lambda _: b"", progress=lambda _: None)
    return sorted(outcomes, key=lambda outcome: outcome.request.series)


def test_what_a_feed_made_reads_back_and_is_listed_like_files(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    before = time.time_ns()
    outcome = ground.backup()
    assert outcome.complete and outcome.remarks == ()
    assert held(ground, outcome.id) == CONTENT
    seen = ground.read(outcome.id)
    file = seen[b"databases/mysql/shop/tables/posts.sql"]
    assert (file.mode, file.uid, file.gid) == (0o600, 0, 0)
    assert before <= file.mtime <= time.time_ns()
    assert seen[b"databases/mysql/shop"].mode == 0o700
    assert {path: item for path, item in seen.items() if path.startswith(b"data/")} == {
        path: item for path, item in ground.live().items() if path != b"data"
    }
    assert outcome.counts.bytes_read == sum(map(len, CONTENT.values())) + len(b"<?php echo 1;")
    assert outcome.counts.seen == len(CONTENT) + 1
    assert outcome.counts.entries == len(seen)
    assert verify(ground.vault(), read_data=1.0).damage == ()


def test_an_account_may_have_nothing_but_its_feed(ground: Ground) -> None:
    request = Request(series="here/only", level="full", sources=(), owners=frozenset(), feed=feed_of(CONTENT))
    (outcome,) = ground.vault().backup([request], workers=1, describe=lambda _: b"", progress=lambda _: None)
    assert isinstance(outcome, Outcome)
    assert held(ground, outcome.id) == CONTENT


def test_a_second_reader_reads_it(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    outcome = ground.backup()
    reader = SecondReader(ground.folder, PASSPHRASE)
    items = {item.path: item.content for item in reader.items(reader.snapshots()[outcome.id])}
    assert {path: items[b"databases/" + path] for path in CONTENT} == CONTENT


def test_very_long_content_goes_to_lists(tmp_path: Path) -> None:
    ground = Ground(tmp_path, chunker=SMALL_CHUNKS)
    ground.feed = feed_of({b"long": b"".join(rows(20_000))})
    outcome = ground.backup()
    row = ground.vault().reader.row(ground.vault().snapshot(outcome.id), b"databases/long")
    assert row is not None and row.extra.depth > 0
    assert held(ground, outcome.id) == {b"long": b"".join(rows(20_000))}


def test_a_night_without_changes_stores_nothing_of_it_again(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    first = ground.backup()
    ground.age()
    second = ground.backup()
    assert first.stored > 100_000
    assert second.stored < 10_000
    assert (second.counts.changed, second.counts.removed) == (0, 0)
    assert held(ground, second.id) == CONTENT


def test_what_is_gone_from_a_feed_is_gone_from_the_point_and_counted(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    first = ground.backup()
    ground.age()
    left = {b"mysql/shop/before.sql": b"CREATE TABLE posts;\n", b"postgresql/blog/before.sql": b"CREATE"}
    ground.feed = feed_of(left)
    second = ground.backup()
    assert held(ground, second.id) == left
    assert (second.counts.removed, second.counts.changed) == (4, 1)
    ground.age()
    ground.feed = None
    third = ground.backup()
    assert ground.read(third.id) == ground.live()
    assert third.counts.removed == 0, "what was not asked for was not removed"
    assert held(ground, first.id) == CONTENT


def test_a_night_after_a_point_of_the_feed_alone_compares_with_the_folders_before(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    ground.backup()
    ground.age()
    alone = Request(series=SERIES, level="incremental", sources=(), owners=frozenset(), feed=feed_of(CONTENT))
    (between,) = ground.vault().backup([alone], workers=1, describe=lambda _: b"", progress=lambda _: None)
    assert isinstance(between, Outcome)
    assert held(ground, between.id) == CONTENT
    assert (between.counts.removed, set(ground.read(between.id)) & {b"data", b"data/web"}) == (0, set())
    third = ground.backup()
    assert (third.seq, third.counts.changed, third.counts.removed) == (between.seq + 1, 0, 0)
    assert ground.read(third.id).keys() >= ground.live().keys() | {b"databases/mysql"}


@pytest.mark.parametrize("level", ["full", "differential", "incremental"])
def test_every_level_draws_all_of_it(ground: Ground, level: str) -> None:
    ground.feed = feed_of(CONTENT)
    ground.backup()
    ground.lose_state()
    outcome = ground.backup(level)
    assert held(ground, outcome.id) == CONTENT


def test_a_file_that_failed_is_named_and_never_half_there(ground: Ground) -> None:
    ground.feed = feed_of(CONTENT)
    ground.backup()
    ground.age()
    cut = MadeFile(b"mysql/shop/tables/posts.sql", [b"half of it"], "the dump ended early: server has gone away")
    ground.feed = MadeFeed(lambda: [MadeFile(b"mysql/shop/before.sql", [b"x"]), cut])
    outcome = ground.backup()
    assert not outcome.complete
    (remark,) = outcome.remarks
    assert (remark.path, remark.defect) == (b"databases/mysql/shop/tables/posts.sql", True)
    assert "server has gone away" in remark.message
    row = ground.vault().reader.row(ground.vault().snapshot(outcome.id), remark.path)
    assert row is not None
    assert (row.references, row.size, row.extra.defect) == (b"", 0, "unread")
    assert verify(ground.vault(), read_data=1.0).damage == ()
    ground.feed = feed_of(CONTENT)
    again = ground.backup()
    assert again.complete
    assert held(ground, again.id) == CONTENT


def broken(where: str) -> MadeFeed:
    def pieces() -> Iterator[bytes]:
        yield b"a beginning"
        raise ConnectionError("the server\nwent away")

    def files() -> Iterator[MadeFile]:
        if where == "files":
            raise ConnectionError("the server\nwent away")
        yield MadeFile(b"one", pieces() if where == "pieces" else [b"1"])

    def ended() -> bytes:
        raise ConnectionError("the server\nwent away")

    return MadeFeed(files, ended=ended if where == "result" else lambda: b"")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", ["files", "pieces", "result"])
def test_a_feed_that_raises_fails_its_own_series_with_one_line(ground: Ground, where: str, workers: int) -> None:
    first, second = both(ground, broken(where), feed_of(CONTENT), workers)
    assert isinstance(first, SeriesFailure)
    assert first.message == "databases: the server went away"
    assert isinstance(second, Outcome) and second.complete
    assert held(ground, second.id) == CONTENT


@pytest.mark.parametrize("path", [b"", b"a//b", b"/a", b"a/", b"../up", b"a/./b", b"nul\0", b"n" * 256])
def test_no_path_leads_out_of_the_feed(ground: Ground, path: bytes) -> None:
    ground.feed = feed_of({path: b"x"})
    outcome = ground.run()
    assert isinstance(outcome, SeriesFailure)
    assert "is no name for a file" in outcome.message and "\n" not in outcome.message


@pytest.mark.parametrize("paths", [[b"a", b"a"], [b"a", b"a/b"], [b"a/b", b"a"]])
def test_two_things_of_one_name_are_refused(ground: Ground, paths: list[bytes]) -> None:
    ground.feed = MadeFeed(lambda: [MadeFile(path, [b"x"]) for path in paths])
    outcome = ground.run()
    assert isinstance(outcome, SeriesFailure)
    assert "in the place of another file" in outcome.message


def killing() -> MadeFeed:
    def pieces() -> Iterator[bytes]:
        yield b"".join(rows(20_000))
        os.kill(os.getpid(), signal.SIGKILL)

    return MadeFeed(lambda: [MadeFile(b"whole", [b"w" * 2_000_000]), MadeFile(b"cut", pieces())])


def test_a_worker_killed_while_it_draws_costs_that_series_alone(ground: Ground) -> None:
    feed = killing()
    first, second = both(ground, feed, feed_of(CONTENT))
    assert isinstance(first, SeriesFailure)
    assert "was killed; run the backup of this account again" in first.message
    assert isinstance(second, Outcome) and held(ground, second.id) == CONTENT
    assert feed.released == 1, "nobody but us is left to release it"
    first, second = both(ground, feed_of(CONTENT), feed_of(CONTENT))
    assert isinstance(first, Outcome) and held(ground, first.id) == CONTENT
    sweep.prune(ground.vault())
    assert verify(ground.vault(), read_data=1.0).damage == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_feed_is_at_its_end_before_a_folder_of_its_series_is_opened(ground: Ground, workers: int) -> None:
    """The folder is not there before: a walk that came too early could not have opened it."""
    folder = ground.base / "account0"

    def ended() -> bytes:
        os.rename(ground.base / "elsewhere", folder)
        return b"moved"

    (ground.base / "elsewhere").mkdir()
    (ground.base / "elsewhere/made last").write_bytes(b"by the feed")
    source = Source(name="data", path=os.fsencode(folder))
    feed = MadeFeed(lambda: [MadeFile(b"one", noise(1 << 20))], ended=ended)
    requests = [
        Request(series=name, level="full", sources=(place,), owners=ground.owners, feed=mine)
        for name, place, mine in (
            ("here/0", source, feed),
            ("here/1", Source(name="data", path=os.fsencode(ground.source)), None),
        )
    ]
    outcomes = list(ground.vault().backup(requests, workers=workers, describe=lambda _: b"", progress=lambda _: None))
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert isinstance(outcome, Outcome), outcome
        assert outcome.told == (b"moved" if outcome.request.feed else b"")
        assert outcome.started <= outcome.walked <= outcome.finished
        if outcome.request.feed:
            assert b"data/made last" in ground.read(outcome.id)


def test_feeds_of_two_series_are_drawn_beside_each_other(ground: Ground) -> None:
    """Each waits for the other to have begun, which it never would if they came one after the other."""

    def meeting(own: int) -> MadeFeed:
        def pieces() -> Iterator[bytes]:
            (ground.base / f"begun {own}").touch()
            for _ in range(PATIENCE * 100):
                if (ground.base / f"begun {1 - own}").exists():
                    yield b"met"
                    return
                time.sleep(0.01)

        return MadeFeed(lambda: [MadeFile(b"meeting", pieces())])

    for outcome in both(ground, meeting(0), meeting(1)):
        assert isinstance(outcome, Outcome)
        assert held(ground, outcome.id) == {b"meeting": b"met"}


def test_memory_does_not_grow_with_a_file(ground: Ground) -> None:
    def peak() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    began: list[int] = []

    def files() -> Iterator[MadeFile]:
        yield MadeFile(b"first", noise(16 << 20))
        began.append(peak())
        yield MadeFile(b"second", noise(160 << 20))

    ground.feed = MadeFeed(files, ended=lambda: b"%d" % (peak() - began[0]))
    assert int(ground.backup().told) < 24 << 20


def test_files_that_changed_after_the_feeds_moment_are_told(ground: Ground) -> None:
    for number in range(30):
        (ground.source / "web" / f"old{number}").write_bytes(b"old")
    ground.feed = feed_of(CONTENT)
    assert ground.backup().younger == ()
    ground.age()
    time.sleep(0.1)

    def ended() -> bytes:
        (ground.source / "web/index.php").write_bytes(b"changed since")
        (ground.source / "new").symlink_to("somewhere")
        return b"the result"

    feed = MadeFeed(lambda: [MadeFile(b"one", [b"1"])], ended=ended)
    feed.opened_ns = time.time_ns()
    ground.feed = feed
    outcome = ground.backup()
    assert outcome.opened == feed.opened_ns
    assert (set(outcome.younger), outcome.younger_count) == ({b"data/web/index.php", b"data/new"}, 2)


def test_of_very_many_younger_files_a_thousand_are_named(ground: Ground) -> None:
    feed = feed_of(CONTENT)
    feed.opened_ns = time.time_ns() - 1_000_000_000
    for number in range(1500):
        (ground.source / f"file{number}").touch()
    ground.feed = feed
    outcome = ground.backup()
    assert len(outcome.younger) == 1000
    assert outcome.younger_count >= 1500


def frozen(ground: Ground, place: Path, log: Path) -> MadeFeed:
    """A feed that freezes: the source's folder is to be read from a copy."""
    feed = MadeFeed(lambda: [MadeFile(b"one", [b"1"])])

    def ended() -> bytes:
        feed.roots = {"data": os.fsencode(place)}
        return b""

    def release() -> None:
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")

    feed.ended = ended
    feed.release = release  # type: ignore[method-assign]
    return feed


def test_folders_are_read_where_the_feed_says_and_it_is_released_after(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "frozen").mkdir()
    (tmp_path / "frozen/inside").write_bytes(b"the frozen file")
    ground.feed = frozen(ground, tmp_path / "frozen", tmp_path / "log")
    outcome = ground.backup()
    seen = ground.read(outcome.id)
    assert seen[b"data/inside"].content == b"the frozen file"
    assert b"data/web" not in seen
    released = (tmp_path / "log").read_text().split()
    assert len(released) == 1 and released != [str(os.getpid())], "not by the worker that drew it"


def test_it_is_released_when_the_walk_fails_and_says_so_when_that_fails(ground: Ground, tmp_path: Path) -> None:
    ground.feed = frozen(ground, tmp_path / "not there", tmp_path / "log")
    outcome = ground.run()
    assert isinstance(outcome, SeriesFailure)
    assert "not there" in outcome.message
    assert len((tmp_path / "log").read_text().split()) == 1
    feed = feed_of(CONTENT)

    def release() -> None:
        raise OSError(16, "Device or resource busy")

    feed.release = release  # type: ignore[method-assign]
    ground.feed = feed
    done = ground.backup()
    assert done.complete
    assert [remark.message for remark in done.remarks] == ["could not be released: [Errno 16] Device or resource busy"]


def test_what_did_not_change_is_not_read_again_between_a_frozen_and_an_ordinary_root(
    ground: Ground, tmp_path: Path
) -> None:
    """A view of the folder through another mount has the same inodes and another device number, as a snapshot has."""
    with in_memory(tmp_path) as place:
        folder, view = place / "folder", place / "view"
        for made in (folder / "web", view, place / "nothing"):
            made.mkdir(parents=True)
        (folder / "web/file").write_bytes(b"as it was" * 100)
        os.link(folder / "web/file", folder / "other name")
        source = Source(name="data", path=os.fsencode(folder))

        def night(feed: Feed | None) -> int:
            request = Request(series="here/f", level="incremental", sources=(source,), owners=frozenset({0}), feed=feed)
            (outcome,) = ground.vault().backup([request], workers=1, describe=lambda _: b"", progress=lambda _: None)
            assert isinstance(outcome, Outcome), outcome
            ground.age()
            return outcome.counts.bytes_read

        assert night(None) == 900
        options = f"lowerdir={folder}:{place}/nothing"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", view], check=True)
        try:
            seen, through = (folder / "web/file").stat(), (view / "web/file").stat()
            assert seen.st_dev != through.st_dev
            assert (seen.st_ino, seen.st_ctime_ns) == (through.st_ino, through.st_ctime_ns)
            assert night(frozen(ground, view, tmp_path / "log")) == 1, "more than the feed's own"
        finally:
            subprocess.run(["umount", view], check=True)
        assert night(None) == 0
