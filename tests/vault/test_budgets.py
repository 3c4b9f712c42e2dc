"""What the vault asks of its storage, counted: the budgets that hold whatever the machine."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from strongroom.clients.vault_entries import Tree
from strongroom.vault import sweep
from strongroom.vault.folder import FolderHold, FolderStorage
from strongroom.vault.storage import Spool
from tests.vault.plot import Ground

FILES_OF_A_NIGHT = 12
NIGHTS = 30


class Recorded(FolderStorage):
    """A folder that writes down what is asked of it, by whatever process of a run."""

    def __init__(self, root: Path, log: Path) -> None:
        super().__init__(str(root))
        self.log = log
        log.touch()

    def _note(self, what: str, name: str) -> None:
        with open(self.log, "a") as file:  # one short write: lines of several processes do not mix
            file.write(f"{what} {name}\n")

    def asked(self) -> Counter[str]:
        """What was asked since the last time: operation and kind of object."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return Counter(line.split("/")[0] for line in lines)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._note("get", name)
        return super().get(name, offset, length)

    def put(self, name: str, source: bytes | Spool) -> None:
        self._note("put", name)
        super().put(name, source)

    def delete(self, name: str) -> None:
        self._note("delete", name)
        super().delete(name)

    def hold(self, name: str, data: bytes) -> FolderHold:
        self._note("hold", name)
        return super().hold(name, data)


class Recording(Ground):
    """A ground whose storage is recorded."""

    storage: Recorded

    def __init__(self, base: Path) -> None:
        super().__init__(base, storage=Recorded(base / "vault", base / "log"))


def objects(ground: Recording) -> set[str]:
    return {item.name for prefix in ("packs/", "index/", "snapshots/") for item in ground.storage.list(prefix)}


def of(asked: Counter[str], what: str) -> int:
    return sum(count for line, count in asked.items() if line.startswith(what + " "))


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, list[str]]:
    """Thirty points, a little changed in each night, at every depth."""
    ground = Recording(tmp_path_factory.mktemp("thirty"))
    deep = ground.source
    for level in range(10):
        deep = deep / f"level{level}"
        deep.mkdir()
        for number in range(FILES_OF_A_NIGHT):
            (deep / f"file{number}").write_bytes(b"%d %d " % (level, number) * 50)
    for number in range(NIGHTS * 3):
        (ground.source / f"wide/{number:02}").mkdir(parents=True)
    points = []
    for night in range(NIGHTS):
        for number in range(night, NIGHTS * 3, NIGHTS):
            (ground.source / f"wide/{number:02}/file").write_bytes(b"%d" % night)
        folder = ground.source / "/".join(f"level{level}" for level in range(night % 10 + 1))
        (folder / "file3").write_bytes(b"of night %d" % night)
        points.append(ground.backup("full" if night == 0 else "incremental").id)
        ground.age()
    return ground, points


@pytest.mark.parametrize("depth", [1, 5, 10])
@pytest.mark.parametrize("night", [0, 13, 29])
def test_one_file_of_any_of_thirty_points_is_four_gets(
    thirty: tuple[Recording, list[str]], night: int, depth: int
) -> None:
    ground, points = thirty
    vault = ground.vault()
    _ = vault.index  # the key slot, the header and the index are no reads of a point
    ground.storage.asked()
    tree = Tree(vault.reader, vault.reader.snapshot(points[night]))
    path = b"data/" + b"/".join(b"level%d" % level for level in range(depth)) + b"/file5"
    entry = tree.lookup(path)
    assert entry is not None
    content = b"".join(data for _, _, data in vault.reader.contents([entry.content.row]))  # type: ignore[attr-defined]
    assert content == b"%d 5 " % (depth - 1) * 50
    asked = ground.storage.asked()
    assert of(asked, "get") <= 4, asked


def test_a_quiet_night_writes_one_snapshot_and_reads_no_pack(tmp_path: Path) -> None:
    """It puts the snapshot and holds the session, and gets the header, the key slot and last night's snapshot."""
    ground = Recording(tmp_path)
    for folder in range(30):
        (ground.source / f"folder{folder}").mkdir()
        (ground.source / f"folder{folder}/file").write_bytes(b"%d" % folder)
    ground.backup()
    ground.age()
    ground.storage.asked()
    ground.backup()
    asked = ground.storage.asked()
    assert of(asked, "put") == asked["put snapshots"] == 1
    assert of(asked, "hold") == 1
    assert of(asked, "delete") == 0
    assert asked["get packs"] == asked["get index"] == 0
    assert of(asked, "get") <= 4, asked


@pytest.mark.parametrize("folders", [3, 60])
def test_a_quiet_night_costs_the_same_however_large_the_account_is(tmp_path: Path, folders: int) -> None:
    ground = Recording(tmp_path)
    for folder in range(folders):
        (ground.source / f"folder{folder}").mkdir()
        (ground.source / f"folder{folder}/file").write_bytes(os.urandom(2000))
    ground.backup()
    ground.age()
    ground.storage.asked()
    ground.backup()
    asked = ground.storage.asked()
    assert (of(asked, "get"), of(asked, "put")) == (4, 1), asked


def test_a_restore_of_a_folder_reads_each_frame_once(thirty: tuple[Recording, list[str]]) -> None:
    ground, points = thirty
    vault = ground.vault()
    _ = vault.index
    tree = Tree(vault.reader, vault.reader.snapshot(points[-1]))
    entries = [entry for entry in tree.walk([b"data/level0"]) if entry.content is not None]
    rows = [entry.content.row for entry in entries]  # type: ignore[attr-defined]
    frames = {(place.pack.id, place.offset) for row in rows for place in map(vault.reader.locate, _ids(row.references))}
    assert len(frames) > 3
    ground.storage.asked()
    list(vault.reader.contents(rows))
    assert ground.storage.asked()["get packs"] == len(frames)


def test_a_walk_reads_each_frame_once_though_every_folder_is_of_another_night(
    thirty: tuple[Recording, list[str]],
) -> None:
    ground, points = thirty
    vault = ground.vault()
    tree = Tree(vault.reader, vault.reader.snapshot(points[-1]))
    ground.storage.asked()
    files = [entry for entry in tree.walk([b"data/wide"]) if entry.content is not None]
    assert len(files) == NIGHTS * 3
    # One of each night, and what tells where a folder's record is.
    assert NIGHTS <= ground.storage.asked()["get packs"] <= NIGHTS + 3


def _ids(references: bytes) -> list[bytes]:
    return [references[at : at + 20] for at in range(0, len(references), 20)]


def test_a_prune_of_nothing_writes_nothing_but_its_lease(thirty: tuple[Recording, list[str]]) -> None:
    ground, _ = thirty
    before = objects(ground)
    ground.storage.asked()
    swept = sweep.prune(ground.vault())
    assert (swept.freed, swept.objects) == (0, 0)
    asked = ground.storage.asked()
    assert of(asked, "put") == of(asked, "delete") == 0
    assert of(asked, "hold") <= 1
    assert objects(ground) == before


def test_a_dry_prune_takes_no_lease_and_writes_nothing(thirty: tuple[Recording, list[str]]) -> None:
    ground, _ = thirty
    ground.storage.asked()
    sweep.prune(ground.vault(), dry_run=True)
    asked = ground.storage.asked()
    assert of(asked, "put") == of(asked, "delete") == of(asked, "hold") == 0
