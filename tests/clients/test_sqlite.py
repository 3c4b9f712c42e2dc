"""SQLite databases in use, through other clients: copied as the vault copies them, with a real writer at work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from strongroom.clients.foreign import ForeignClient
from tests.clients.kit import COMMAND, NAME, RESTIC, Driver, Kit
from tests.servers.folder import server_folder
from tests.whole.ground import OWNER
from tests.whole.test_sqlite import committed, writing


@pytest.fixture(params=[COMMAND, RESTIC], ids=lambda driver: driver.name)
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    driver = request.param
    assert isinstance(driver, Driver)
    with server_folder() as folder:
        yield Kit(folder, driver).vouch()


def test_a_database_in_use_comes_back_whole_from_every_point(kit: Kit) -> None:
    """Its log is never written back: the database's own stat stays as it is while rows are committed."""
    home = kit.data / "www"
    home.mkdir()
    os.chown(home, OWNER, OWNER)
    with writing(home) as least:
        first = kit.backup("--level", "full")
        seen = (home / "app.db").stat()
    with writing(home) as more:
        assert more > least
        second = kit.backup("--level", "incremental")
    for point, rows in ((first, least), (second, more)):
        assert point["status"] == "complete", point["warnings"]
        said = {warning["path"]: warning["message"] for warning in point["warnings"]}
        assert set(said) == {"/www/app.db-wal", "/www/app.db-shm"}
        assert all("is in the copy of app.db" in message for message in said.values())
        there = kit.restored(point["id"], "/www") / "www/app.db"
        assert sorted(path.name for path in there.parent.iterdir()) == ["app.db"]
        assert committed(there) >= rows
    assert there.stat().st_mtime_ns == (home / "app.db").stat().st_mtime_ns
    assert seen.st_uid == there.stat().st_uid == OWNER
    _hidden_from_the_tool(kit, second["id"])


def _hidden_from_the_tool(kit: Kit, point: str) -> None:
    """What the tool was shown in the place of the database and its log: nothing that could be torn."""
    client = kit.client()
    assert isinstance(client, ForeignClient)
    held = client._holdings.held(point)
    brought = kit.folder / "brought"
    brought.mkdir()
    client._tool.bring(held.data, held.series, [], os.fsencode(brought))
    found = {path.name: path.stat().st_size for path in brought.rglob("app.db*")}
    assert found == dict.fromkeys(("app.db", "app.db-wal", "app.db-shm"), 0)
    shutil.rmtree(brought)


def test_a_copy_from_the_vault_is_no_reason_to_trust_the_file(kit: Kit) -> None:
    """The point that was carried holds the copy; the next increment asks for the file anew."""
    home = kit.data / "www"
    home.mkdir()
    os.chown(home, OWNER, OWNER)
    with writing(home):
        first = kit.server.backup("site1")
    kit.json("copy", first["id"], "--client", NAME)
    with writing(home) as least:
        point = kit.backup("--level", "incremental")
    assert point["status"] == "complete"
    assert committed(kit.restored(point["id"], "/www") / "www/app.db") >= least
    assert kit.json("ls", point["id"], "/www")[0]["path"] == "/www/app.db"


def test_one_that_sqlite_cannot_copy_is_kept_byte_by_byte(kit: Kit) -> None:
    odd = kit.data / "odd.db"
    odd.write_bytes(b"SQLite format 3\0" + b"this is no database " * 500)
    point = kit.backup()
    assert point["status"] == "complete"
    assert [warning["path"] for warning in point["warnings"]] == ["/odd.db"]
    assert "kept byte by byte" in point["warnings"][0]["message"]
    assert (kit.restored(point["id"], "/odd.db") / "odd.db").read_bytes() == odd.read_bytes()
