"""The conformance suite against tar, as a client of commands."""

from __future__ import annotations

from pathlib import Path

from tests.clients.conformance import Conformance
from tests.clients.kit import COMMAND, NAME, Driver, Kit, commands


class TestCommand(Conformance):
    driver = COMMAND


def lossy(folder: Path, storage: Path) -> str:
    """The same script, which leaves one file out and says nothing of it."""
    table = commands(folder, storage)
    script = folder / "tool"
    script.write_text(script.read_text().replace("tar --acls", "tar --exclude=many/004 --exclude=lost --acls"))
    return table


def test_a_client_that_loses_something_is_found_out(tmp_path: Path) -> None:
    driver = Driver("command", COMMAND.levels, lossy, alone=False, encrypted=False)
    kit = Kit(tmp_path, driver)
    (kit.data / "file").write_bytes(b"content\n")
    (row,) = kit.json("clients", "--probe", NAME, status=1)
    assert row["probe"]["status"] == "failed"
    assert any("many/004" in line for line in row["probe"]["lost"])
    point = kit.backup(status=1)
    assert point["status"] == "incomplete"
    assert "failed its probe" in point["warnings"][0]["message"]
    kit.server.config.write_text(kit.server.config.read_text().replace("[backup]", f'[backup]\nclient = "{NAME}"'))
    assert "cannot be backup.client" in kit.refused("backup", "site1")


def test_a_change_of_the_software_is_probed_anew(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND).vouch()
    (kit.data / "file").write_bytes(b"content\n")
    assert kit.client().verdict() is not None
    with open(tmp_path / "tool", "a") as script:
        script.write("# a new version\n")
    assert kit.client().verdict() is None
    kit.server.config.write_text(kit.server.config.read_text().replace('"{since}", ', ""))
    assert kit.client().capabilities().levels == ("full",)
    assert "no incremental level" in kit.refused("backup", "site1", "--client", NAME, "--level", "incremental")


def test_the_vault_can_be_probed_like_any_other(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND)
    (row,) = kit.json("clients", "--probe", "vault")
    assert (row["name"], row["probe"]["status"]) == ("vault", "passed")
    assert kit.json("points") == []


def test_two_clients_are_one_history(tmp_path: Path) -> None:
    kit = Kit(tmp_path, COMMAND).vouch()
    (kit.data / "file").write_bytes(b"one\n")
    first = kit.server.backup("site1")["id"]
    (kit.data / "file").write_bytes(b"two\n")
    second = kit.backup()["id"]
    (kit.data / "file").write_bytes(b"three\n")
    third = kit.server.backup("site1")["id"]
    assert [point["id"] for point in kit.json("points", "site1")] == [third, second, first]
    assert [version["points"] for version in kit.json("history", "site1", "/file")] == [[third], [second], [first]]
    assert kit.json("plan", "site1", "--point", second)["reads"][0]["level"] == "full"
    assert kit.json("diff", first, second, "/file")[0]["what"] == ["content", "mtime"]
    assert (kit.restored(second, "/file") / "file").read_bytes() == b"two\n"
