"""docs/vault-format.md is true and complete: a reader written from it alone reads what the program wrote."""

from __future__ import annotations

import ast
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.vault import sweep
from strongroom.vault import vault as vaults
from strongroom.vault.folder import FolderStorage
from strongroom.vault.series import Outcome, Request
from strongroom.vault.source import Source
from strongroom.vault.vault import Vault
from tests.vault.second_reader import TYPES, Item, RefusedError, SecondReader

PASSPHRASE = b"correct horse"
DOCUMENT = Path(__file__).parents[2] / "docs/vault-format.md"


def fill(root: Path) -> None:
    """Each thing that the format has a field for."""
    noise = random.Random(1)
    (root / "www/deep/deeper").mkdir(parents=True)
    (root / "www/index.php").write_bytes(b"<?php echo 1;\n" * 40)
    (root / "www/same.php").write_bytes(b"<?php echo 1;\n" * 40)
    (root / "www/empty").write_bytes(b"")
    (root / "www/deep/image.jpg").write_bytes(b"\xff\xd8\xff" + noise.randbytes(40_000))
    (root / "large").write_bytes(noise.randbytes(3 << 20))
    # More than 64 chunks, so that there is a list node: twice the same stretch costs little.
    (root / "larger").write_bytes(noise.randbytes(24 << 20) * 2)
    os.mkfifo(root / "pipe")
    os.symlink(b"no\xffwhere", root / "link")
    os.link(root / "www/index.php", root / "other name")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n")).write_bytes(b"odd name")
    with (root / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"x" * 5000)
        file.truncate(9 << 20)
    with (root / "hole").open("wb") as file:
        file.truncate(1 << 20)
    os.setxattr(root / "www/empty", "user.small", b"\0value")
    os.setxattr(root / "www/empty", "user.large", noise.randbytes(2000))
    os.setxattr(root / "www", "user.of a folder", noise.randbytes(1500))
    os.chmod(root / "www/same.php", 0o4750)
    if os.geteuid() == 0:
        os.mknod(root / "gone", 0o600 | stat.S_IFCHR, 0)
        os.chown(root / "www/same.php", 1234, 4321)
    os.utime(root / "www/deep", ns=(0, -1_500_000_001))


def backup(vault: Vault, root: Path, series: str = "here/site1") -> str:
    request = Request(
        series=series, level="full", sources=(Source(name="data", path=os.fsencode(root)),), owners=frozenset({0, 1234})
    )
    (outcome,) = vault.backup([request], workers=1, describe=lambda outcome: b"", progress=lambda progress: None)
    assert isinstance(outcome, Outcome), outcome
    return outcome.id


@pytest.fixture(scope="module", params=["vault", "account"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    folder = tmp_path_factory.mktemp("second")
    root = folder / "root"
    fill(root)
    storage = FolderStorage(str(folder / "vault"))
    vaults.create(storage, PASSPHRASE, dedup=request.param)
    vault = Vault(storage, str(folder / "state"), PASSPHRASE)
    id = backup(vault, root)
    yield folder / "vault", root, id


@pytest.fixture(scope="module")
def reader(made: tuple[Path, Path, str]) -> SecondReader:
    return SecondReader(made[0], PASSPHRASE)


def on_disk(root: Path) -> dict[bytes, os.stat_result]:
    top = os.fsencode(root)
    found = {b"data": os.lstat(top)}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = folder + b"/" + name
            found[b"data" + path.removeprefix(top)] = os.lstat(path)
    return found


def test_it_uses_nothing_of_the_program() -> None:
    tree = ast.parse((Path(__file__).parent / "second_reader.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name.startswith("strongroom")]


def test_it_reads_every_name_byte_and_attribute(made: tuple[Path, Path, str], reader: SecondReader) -> None:
    _, root, id = made
    items = {item.path: item for item in reader.items(reader.snapshots()[id])}
    expected = on_disk(root)
    assert set(items) == set(expected)
    for path, status in expected.items():
        compare(items[path], status, os.fsencode(root) + path.removeprefix(b"data"))


def compare(item: Item, status: os.stat_result, path: bytes) -> None:
    assert (item.mode, item.uid, item.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid)
    assert item.inode == status.st_ino
    assert item.mtime[0] * 10**9 + item.mtime[1] == status.st_mtime_ns
    assert not item.defect
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK, stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK, stat.S_ISSOCK)
    assert TYPES[[kind(status.st_mode) for kind in kinds].index(True)] == item.type
    names = os.listxattr(path, follow_symlinks=False)
    assert item.xattrs == {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names}
    if item.type == "dir":
        return
    assert item.links == status.st_nlink
    if item.type == "symlink":
        assert item.target == os.readlink(path)
    elif item.type == "char":
        assert item.rdev == (os.major(status.st_rdev), os.minor(status.st_rdev))
    elif item.type == "file":
        assert item.size == status.st_size
        with open(path, "rb") as file:
            assert item.content == file.read()


def test_the_tree_it_read_has_lists_and_holes(made: tuple[Path, Path, str], reader: SecondReader) -> None:
    items = {item.path: item for item in reader.items(reader.snapshots()[made[2]])}
    assert items[b"data/sparse"].holes
    assert items[b"data/hole"].holes
    nodes = [id for id, place in reader.places.items() if place.kind == 1]
    assert any(len(body) == 1 and isinstance(body[0], list) for body, _ in map(reader.node, nodes)), "no list node"


def test_it_rebuilds_the_index_from_the_packs_alone(reader: SecondReader) -> None:
    assert reader.index_from_packs() == reader.places


def test_it_finds_the_whole_frames_of_a_pack_that_was_cut_short(reader: SecondReader) -> None:
    name = max(reader.names("packs"), key=lambda name: len(reader.get(name)))
    data = reader.get(name)
    whole = reader.trailer(name, data)
    assert whole is not None
    assert list(reader.hop(data)) == whole
    assert list(reader.hop(data[: whole[-1][0] + 200])) == whole[:-1]


def test_it_refuses_a_wrong_passphrase_and_one_flipped_bit_anywhere_in_a_frame(
    made: tuple[Path, Path, str], reader: SecondReader
) -> None:
    with pytest.raises(RefusedError, match="no slot"):
        SecondReader(made[0], b"wrong")
    place = next(place for place in reader.places.values() if place.kind == 1)
    text = place.pack.hex()
    path = made[0] / "packs" / text[:2] / text
    good = path.read_bytes()
    try:
        for offset in (0, 4, 5, 6, 8, 12, 16, 24, 36, 40, 100, 120, 128, place.size - 1):
            damaged = bytearray(good)
            damaged[place.offset + offset] ^= 1
            path.write_bytes(damaged)
            reader.forget_frames()
            with pytest.raises(RefusedError):
                reader.frame(place)
    finally:
        path.write_bytes(good)


def test_a_forgotten_snapshot_is_not_there_for_it_either(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"content")
    storage = FolderStorage(str(tmp_path / "vault"))
    vaults.create(storage, PASSPHRASE)
    vault = Vault(storage, str(tmp_path / "state"), PASSPHRASE)
    first, second = backup(vault, tmp_path / "root"), backup(vault, tmp_path / "root")
    sweep.forget(vault, [first])
    assert set(SecondReader(tmp_path / "vault", PASSPHRASE).snapshots()) == {second}


@pytest.mark.parametrize(
    "word",
    [
        "strongroom vault", "strongroom slot 1", "strongroom seal 1", "strongroom header 1", "strongroom envelope 1",
        "strongroom derive 1", "strongroom contents 1", "strongroom references 1", "SRPACK1", "SRPEND1", "SRF1", "SRE1",
    ],
)  # fmt: skip
def test_every_magic_and_label_stands_in_the_document(word: str) -> None:
    assert word in DOCUMENT.read_text()


def test_no_magic_or_label_of_the_program_is_missing_here() -> None:
    document = DOCUMENT.read_text()
    for module in (Path(vaults.__file__).parent).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                word = node.value.decode("latin-1").strip()
                if word.startswith(("SR", "strongroom ")) and word != "strongroom":
                    assert word in document or f"{word} 1" in document, word
