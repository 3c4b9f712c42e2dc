"""The made-up server: as large as asked for, the same each time, and holding what hosting servers hold."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from benchmarks.churn import churn
from benchmarks.machine import count
from benchmarks.tree import KEEPSAKE, LEAST, Tree, grow

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of many owners are made")


def contents(tree: Tree) -> dict[bytes, tuple[object, ...]]:
    """Every entry of the accounts with all that the seed decides about."""
    found: dict[bytes, tuple[object, ...]] = {}
    home = os.fsencode(tree.home())
    for folder, _, names in os.walk(home):
        for name in names:
            path = folder + b"/" + name
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                attributes = [(key, os.getxattr(path, key)) for key in sorted(os.listxattr(path))]
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest(), attributes
            found[path[len(home) :]] = status.st_mode, status.st_uid, status.st_size, content
    return found


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(root=str(tmp_path_factory.mktemp("mixed")), inodes=2 * LEAST, accounts=2)
    grow(tree)
    return tree


def test_a_mixed_tree_has_exactly_as_many_entries_as_were_asked_for(mixed: Tree) -> None:
    assert [count(f"{mixed.home()}/{name}")["entries"] for name in mixed.names()] == [LEAST, LEAST]


def test_a_small_tree_has_nearly_all_its_entries_in_one_account_and_no_large_files(tmp_path: Path) -> None:
    tree = Tree(root=str(tmp_path), inodes=8000, accounts=4, small=True)
    assert grow(tree) == 8000
    first = f"{tree.home()}/site1"
    assert count(first)["entries"] > 0.9 * 8000
    sizes = [os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(first) for name in names]
    assert max(sizes) <= 4096
    assert 1500 < sum(sizes) / len(sizes) < 2500


def test_the_same_seed_makes_the_same_files_on_every_day_and_another_seed_does_not(mixed: Tree, tmp_path: Path) -> None:
    again = Tree(root=str(tmp_path / "again"), inodes=mixed.inodes, accounts=mixed.accounts)
    other = Tree(root=str(tmp_path / "other"), inodes=mixed.inodes, accounts=mixed.accounts, seed=7)
    grow(again)
    grow(other)
    assert contents(again) == contents(mixed)
    assert contents(other) != contents(mixed)
    before = contents(again)
    days = [churn(again, day, 0.05) for day in (1, 2)]
    after = contents(again)
    assert days[0].added > days[0].deleted > 0
    assert len(after) - len(before) == sum(day.added - day.deleted for day in days)
    third = Tree(root=str(tmp_path / "third"), inodes=mixed.inodes, accounts=mixed.accounts)
    grow(third)
    assert [churn(third, day, 0.05) for day in (1, 2)] == days
    assert contents(third) == after


def test_a_mixed_tree_holds_what_file_systems_hold(mixed: Tree) -> None:
    odd = f"{mixed.home()}/site1/shadow/var/odd"
    kinds = {stat.S_IFMT(os.lstat(f"{folder}/{name}").st_mode) for folder, _, names in os.walk(odd) for name in names}
    assert kinds == {stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR}
    sparse = os.lstat(f"{odd}/database.img")
    assert sparse.st_blocks * 512 < sparse.st_size / 10
    assert os.lstat(f"{odd}/links/one0").st_nlink == 2
    assert os.lstat(f"{odd}/before-1970").st_mtime_ns == -86_400_123_456_789


def test_about_a_tenth_of_the_files_has_an_acl_and_another_tenth_an_attribute(mixed: Tree) -> None:
    names = [content[1] for *_, content in contents(mixed).values() if isinstance(content, tuple)]
    with_acl = sum(any(key == "system.posix_acl_access" for key, _ in one) for one in names)
    with_user = sum(any(key == "user.origin" for key, _ in one) for one in names)
    assert 0.05 < with_acl / len(names) < 0.15
    assert 0.05 < with_user / len(names) < 0.15


def test_accounts_share_a_core_but_not_all(tmp_path: Path) -> None:
    tree = Tree(root=str(tmp_path), inodes=4 * LEAST, accounts=4)
    grow(tree)

    def core(site: str) -> list[bytes]:
        folder = Path(f"{tree.home()}/{site}/shadow/var/www/html/wp-includes")
        return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]

    assert core("site1") == core("site4")
    assert core("site1") != core("site2")


def test_churn_spares_the_keepsakes(mixed: Tree, tmp_path: Path) -> None:
    tree = Tree(root=str(tmp_path), inodes=LEAST, accounts=1)
    grow(tree)
    keepsake = Path(f"{tree.home()}/site1/shadow{KEEPSAKE}")
    before = keepsake.read_bytes()
    done = churn(tree, 1, 1.0)
    assert done.edited + done.added + done.deleted + done.renamed == done.files
    assert keepsake.read_bytes() == before


def test_too_small_an_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        grow(Tree(root=str(tmp_path), inodes=100, accounts=1))
