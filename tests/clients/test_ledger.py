from __future__ import annotations

from pathlib import Path

from strongroom.clients.holdings import State
from strongroom.clients.vault_ledger import open_ledger
from strongroom.config import Config, load
from strongroom.vault import session
from tests.clients.kit import COMMAND, Kit


def config(kit: Kit) -> Config:
    return load(str(kit.server.config))


def test_of_several_words_about_a_point_the_last_counts(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND)
    ledger, other = open_ledger(config(kit), "one"), open_ledger(config(kit), "other")
    assert ledger is not None
    assert other is not None
    ledger.write("a", State.FORGOTTEN)
    ledger.write("a", State.HELD, b"body")
    ledger.write("b", State.HELD, b"body of b")
    other.write("c", State.HELD, b"another client's")
    assert ledger.read() == {"a": (State.FORGOTTEN, b"body"), "b": (State.HELD, b"body of b")}
    ledger.write("b", State.GONE)
    assert ledger.read()["b"] == (State.GONE, b"body of b")
    assert other.read() == {"c": (State.HELD, b"another client's")}


def test_a_damaged_record_is_told_by_check(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND)
    ledger = open_ledger(config(kit), "one")
    assert ledger is not None
    ledger.write("a", State.HELD, b"body")
    assert kit.json("check")["status"] == "clean"
    (record,) = (tmp_path / "vault" / session.RECORDS).glob("foreign-*")
    record.write_bytes(record.read_bytes()[:-1] + b"?")
    assert "foreign" in kit.json("check", status=1)["damage"][0]["message"]
    assert ledger.read() == {}


def test_without_a_vault_there_is_no_ledger(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND, vault=False)
    assert open_ledger(config(kit), "one") is None
