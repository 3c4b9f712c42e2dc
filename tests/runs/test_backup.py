from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.clients.base import Exports, Failure
from strongroom.config import Backup, Config, Days, Server
from strongroom.errors import BusyError, ClientError, SourceError, UnknownError
from strongroom.model import Account, Level, Remark, Status
from strongroom.panel import load_layout
from strongroom.runs.backup import Exporter, Order, Runner, scheduled_level
from strongroom.runs.catalog import Catalog
from strongroom.runs.locks import Locks
from tests.fakes import FakeClient, FakeExports, Notes
from tests.panel.servers import site

MONDAY = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


class Ground:
    """A server with two accounts, a fake client, and what a run needs besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site(folder / "root", 1, "example.com")
        site(folder / "root", 2, "example.org")
        self.config = Config(
            path=b"/etc/strongroom/config.toml",
            server=Server(root=os.fsencode(folder / "root"), state=os.fsencode(folder / "state")),
        )
        self.client = FakeClient()
        self.notes = Notes()
        self.catalog = Catalog.open(self.config.server.state, self.notes.note)

    def runner(self, patience: float = 0.0, now: datetime = MONDAY, exporter: Exporter | None = None) -> Runner:
        layout = load_layout(self.config)
        return Runner(self.config, layout, self.client, self.catalog, exporter, clock=lambda: now, patience=patience)


class Databases:
    """Exports for some accounts."""

    def __init__(self, *having: str) -> None:
        self.having = having

    def of(self, account: Account) -> Exports | None:
        return FakeExports() if account.name in self.having else None


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    ground.catalog.close()


def test_no_account_named_means_all_and_the_server(ground: Ground) -> None:
    result = ground.runner().run(Order(), ground.notes)
    assert [point.account for point in result.points] == ["site1", "site2", "server"]
    assert (result.status, result.exit_status) == (Status.COMPLETE, 0)
    assert len(ground.catalog.all()) == 3


def test_databases_belong_to_the_point_of_the_files_unless_one_alone_is_wanted(ground: Ground) -> None:
    runner = ground.runner(exporter=Databases("site1"))
    both, files, databases = (runner.tasks(Order(only=only)) for only in (None, "files", "databases"))
    assert [(task.account.name, task.exports is not None, task.only) for task in both] == [
        ("site1", True, None),
        ("site2", False, None),
        ("server", False, None),
    ]
    assert [(task.exports, task.only) for task in files] == [(None, "files")] * 3
    assert [(task.account.name, task.account.locations, task.only) for task in databases] == [
        ("site1", (), "databases")
    ]


def test_databases_alone_of_an_account_without_any_are_refused(ground: Ground) -> None:
    with pytest.raises(SourceError, match="site2: no databases"):
        ground.runner(exporter=Databases("site1")).tasks(Order(accounts=("site1", "site2"), only="databases"))
    with pytest.raises(SourceError, match="no account: no databases"):
        ground.runner().tasks(Order(only="databases"))
    assert [task.only for task in ground.runner().tasks(Order(only="files"))] == [None] * 3


def test_an_account_named_twice_is_backed_up_once(ground: Ground) -> None:
    result = ground.runner().run(Order(accounts=("site1", "example.com")), ground.notes)
    assert [point.account for point in result.points] == ["site1"]


def test_an_unknown_name_stops_everything_before_it_begins(ground: Ground) -> None:
    with pytest.raises(UnknownError):
        ground.runner().run(Order(accounts=("site1", "site9")), ground.notes)
    assert not ground.client.tasks


def test_an_incomplete_point_makes_the_run_incomplete(ground: Ground) -> None:
    ground.client.remarks["site2"] = (Remark(path=b"data/x", message="could not be read"),)
    result = ground.runner().run(Order(), ground.notes)
    assert (result.status, result.exit_status, len(result.points)) == (Status.INCOMPLETE, 1, 3)


def test_one_accounts_failure_stops_no_other(ground: Ground) -> None:
    ground.client.fails["site1"] = "too deep"
    result = ground.runner().run(Order(), ground.notes)
    assert result.failures == (Failure(account="site1", message="too deep"),)
    assert (result.status, len(result.points)) == (Status.INCOMPLETE, 2)


def test_no_point_at_all_is_a_failed_run(ground: Ground) -> None:
    ground.client.fails["site1"] = "too deep"
    result = ground.runner().run(Order(accounts=("site1",)), ground.notes)
    assert (result.status, result.exit_status) == (Status.FAILED, 2)


def test_a_client_that_breaks_at_once_is_an_error(ground: Ground) -> None:
    ground.client.raises = ClientError("the vault is full; free some room")
    with pytest.raises(ClientError, match="full"):
        ground.runner().run(Order(), ground.notes)


def test_a_client_that_breaks_later_leaves_its_points_and_names_the_rest(ground: Ground) -> None:
    class Breaking(FakeClient):
        def add(self, account: str, *rest: object, **more: object) -> object:  # type: ignore[override]
            self.raises = ClientError("the vault is full")
            return super().add(account, *rest, **more)  # type: ignore[arg-type]

    ground.client = Breaking()
    result = ground.runner().run(Order(), ground.notes)
    assert [point.account for point in result.points] == ["site1"]
    assert {failure.account for failure in result.failures} == {"site2", "server"}
    assert result.exit_status == 1


def test_an_interrupt_keeps_what_was_made_and_frees_the_locks(ground: Ground) -> None:
    class Interrupted(FakeClient):
        def add(self, account: str, *rest: object, **more: object) -> object:  # type: ignore[override]
            if account == "site2":
                raise KeyboardInterrupt
            return super().add(account, *rest, **more)  # type: ignore[arg-type]

    ground.client = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        ground.runner().run(Order(), ground.notes)
    assert [point.account for point in ground.catalog.all()] == ["site1"]
    ground.client = FakeClient()
    assert ground.runner().run(Order(), ground.notes).exit_status == 0


def test_a_catalog_that_cannot_be_written_stops_no_run(ground: Ground) -> None:
    ground.catalog.close()
    path = os.fsdecode(ground.config.server.state) + "/catalog.sqlite"
    ground.catalog = Catalog(sqlite3.connect(f"file:{path}?mode=ro", uri=True), path.encode())
    result = ground.runner().run(Order(accounts=("site1",)), ground.notes)
    assert result.exit_status == 0
    assert "readonly" in ground.notes.notes[0]


def test_an_account_that_another_run_holds_fails_alone(ground: Ground) -> None:
    with Locks(ground.config.server.state) as other:
        assert other.take(["vault/site1"], 0, lambda name: None) == []
        result = ground.runner().run(Order(), ground.notes)
    assert [failure.account for failure in result.failures] == ["site1"]
    assert len(result.points) == 2
    assert "site1: another run is backing it up" in ground.notes.notes[0]


def test_the_only_account_being_busy_is_refused(ground: Ground) -> None:
    with Locks(ground.config.server.state) as other:
        other.take(["vault/site1"], 0, lambda name: None)
        with pytest.raises(BusyError, match="site1"):
            ground.runner().run(Order(accounts=("site1",)), ground.notes)


def test_an_account_whose_app_is_being_changed_fails_alone_and_holds_up_nobody(ground: Ground) -> None:
    state = ground.config.server.state
    with Locks(state) as other:
        assert other.take(["site1"], 0, lambda name: None) == []
        result = ground.runner().run(Order(), ground.notes)
        assert [(each.account, each.message) for each in result.failures] == [
            ("site1", "one of its web apps is being changed; run again when that has ended")
        ]
        assert len(result.points) == 2
        assert other.take(["vault/site1", "site2"], 0, print) == [], "what was not backed up is let go"
        other.release("vault/site1")
        with pytest.raises(BusyError, match="site1: one of its web apps is being changed; run again"):
            ground.runner().run(Order(accounts=("site1",)), ground.notes)
    assert ground.runner().run(Order(accounts=("site1",)), ground.notes).exit_status == 0


def test_a_run_waits_for_an_account_that_is_freed_soon(ground: Ground) -> None:
    other = Locks(ground.config.server.state)
    other.take(["vault/site1"], 0, lambda name: None)
    timer = threading.Timer(0.3, other.close)
    timer.start()
    assert ground.runner(patience=20).run(Order(accounts=("site1",)), ground.notes).exit_status == 0
    timer.join()


def test_each_account_is_let_go_as_soon_as_its_point_is_there(ground: Ground) -> None:
    seen = []

    class Watching(FakeClient):
        def add(self, account: str, *rest: object, **more: object) -> object:  # type: ignore[override]
            with Locks(ground.config.server.state) as probe:
                seen.append((account, probe.take(["vault/site1", "vault/site2"], 0, lambda name: None)))
            return super().add(account, *rest, **more)  # type: ignore[arg-type]

    ground.client = Watching()
    ground.runner().run(Order(accounts=("site1", "site2")), ground.notes)
    assert seen == [("site1", ["vault/site1", "vault/site2"]), ("site2", ["vault/site2"])]


def test_a_database_servers_folder_is_refused_and_stops_no_other(ground: Ground) -> None:
    (ground.folder / "srv/shop").mkdir(parents=True)
    (ground.folder / "srv/maria/mysql").mkdir(parents=True)
    (ground.folder / "srv/maria/ibdata1").touch()
    server = Server(
        layout="plain",
        root=os.fsencode(ground.folder),
        state=ground.config.server.state,
        accounts=(b"/srv/*",),
    )
    ground.config = Config(path=b"/etc/strongroom/config.toml", server=server)
    result = ground.runner().run(Order(), ground.notes)
    assert [point.account for point in result.points] == ["shop"]
    assert [failure.account for failure in result.failures] == ["maria"]
    with pytest.raises(SourceError, match="corrupt"):
        ground.runner().run(Order(accounts=("maria",)), ground.notes)


def test_a_run_and_its_points_carry_the_same_id_and_server(ground: Ground) -> None:
    result = ground.runner().run(Order(), ground.notes)
    assert {point.run for point in result.points} == {result.run}
    assert len({point.server for point in result.points}) == 1


def test_the_first_point_is_full_and_the_next_is_not(ground: Ground) -> None:
    assert {task.level for task in ground.runner().tasks(Order())} == {Level.FULL}
    ground.client.clock = MONDAY - timedelta(days=1)
    ground.runner().run(Order(), ground.notes)
    assert {task.level for task in ground.runner().tasks(Order())} == {Level.INCREMENTAL}
    assert {task.level for task in ground.runner().tasks(Order(level=Level.FULL))} == {Level.FULL}


@pytest.mark.parametrize(
    ("day", "last_full", "level"),
    [
        (1, 10, Level.FULL),  # 1 November 2026 is the month's first Sunday
        (8, 3, Level.DIFFERENTIAL),
        (9, 3, Level.INCREMENTAL),
        (9, 36, Level.FULL),
        (9, 35, Level.INCREMENTAL),
        (9, None, Level.FULL),
    ],
)
def test_the_schedule_says_what_auto_means(day: int, last_full: int | None, level: Level) -> None:
    today = datetime(2026, 11, day, 2, 0, tzinfo=UTC)
    last = None if last_full is None else today - timedelta(days=last_full)
    assert scheduled_level(Backup(), today, last) is level


def test_a_schedule_of_never_leaves_the_fulls_that_must_be() -> None:
    schedule = Backup(full=Days.parse("never"), differential=Days.parse("daily"))
    assert scheduled_level(schedule, MONDAY, MONDAY - timedelta(days=1)) is Level.DIFFERENTIAL
    assert scheduled_level(schedule, MONDAY, None) is Level.FULL
