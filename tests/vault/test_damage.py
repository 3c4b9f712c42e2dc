"""The damage matrix: every kind of damage to every kind of object, and what a vault still does afterwards.

Never wrong bytes, never a traceback; what is damaged is found and named; what is whole stays readable; a prune deletes
nothing that it cannot account for; the next backup makes a point that restores, and heals what the source still has.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet

from strongroom.clients.vault_entries import Tree
from strongroom.vault import header as headers
from strongroom.vault import session, sweep, verify
from strongroom.vault.errors import VaultError
from strongroom.vault.folder import FolderStorage
from strongroom.vault.frame import Kind
from strongroom.vault.keys import CHEAP
from strongroom.vault.pack import name_of
from strongroom.vault.series import Outcome
from strongroom.vault.vault import Vault
from strongroom.vault.verify import Checked
from tests.vault.feeds import changed, feed_of, rows
from tests.vault.plot import PASSPHRASE, Ground, Seen, made, read_point


class Template(NamedTuple):
    """A vault to copy: its folder as it is, as it was before a prune, its points, and the names of its objects by kind."""

    ground: Ground
    was: Path
    other: Path
    points: dict[str, dict[bytes, Seen]]
    forgotten: dict[str, dict[bytes, Seen]]
    objects: dict[str, list[str]]


class Copy:
    """A copy of the template, on a machine that has its state or has lost it."""

    def __init__(self, template: Template, place: Path, *, state: bool) -> None:
        place.mkdir()
        self.template = template
        self.folder, self.state = place / "vault", place / "state"
        # Objects never change, so links are copies; damage replaces the file.
        shutil.copytree(template.ground.folder, self.folder, copy_function=os.link)
        if state:
            shutil.copytree(template.ground.state, self.state)
        self.storage = FolderStorage(str(self.folder))
        self.damaged = ""

    def vault(self) -> Vault:
        return Vault(self.storage, str(self.state), PASSPHRASE)

    def replace(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def objects(self) -> set[str]:
        return {
            item.name
            for prefix in ("packs/", "index/", "snapshots/", "keys/", "tombstones/", "records/")
            for item in self.storage.list(prefix)
        }

    def backup(self) -> str:
        """The next night's run; returns its point."""
        ground = self.template.ground
        (outcome,) = self.vault().backup(
            [ground.request()], workers=1, describe=lambda outcome: b"", progress=lambda done: None
        )
        assert isinstance(outcome, Outcome), outcome
        assert outcome.complete, outcome.remarks
        return outcome.id


# The last version of the table that the template's feed makes.
VERSION = 3


@functools.cache
def table(version: int) -> bytes:
    made_rows = rows(1700)
    for turn in range(1, version + 1):
        made_rows = changed(made_rows, 100, seed=turn)
    return b"".join(made_rows)


def live(ground: Ground, version: int) -> dict[bytes, Seen]:
    """What a point has to hold now; the moment when a feed's file was made is left out."""
    return ground.live() | made({b"table": table(version)})


def read(vault: Vault, id: str) -> dict[bytes, Seen]:
    """What a point does hold, likewise."""
    return {
        path: seen._replace(mtime=0) if path.startswith(b"databases") else seen
        for path, seen in read_point(vault, id).items()
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    base = tmp_path_factory.mktemp("template")
    ground = Ground(base)
    source = ground.source
    (source / "a/deep/deeper").mkdir(parents=True)
    (source / "a/text.php").write_bytes(b"<?php echo 'stays';" * 20)
    (source / "a/deep/deeper/old").write_bytes(b"only the forgotten have this")
    (source / "image").write_bytes(b"\xff\xd8\xff" + os.urandom(3000))
    (source / "large").write_bytes(b"\xff\xd8\xff" + os.urandom(600_000))
    points, forgotten = {}, {}

    def night(version: int) -> str:
        """Back up with a table of which a hundredth of the rows was changed in each version."""
        ground.feed = feed_of({b"table": table(version)})
        outcome = ground.backup()
        ground.age()
        points[outcome.id] = live(ground, version)
        return outcome.id

    swept = night(0)
    (source / "a/deep/deeper/old").write_bytes(b"the first visible point has this")
    (source / "a/early").write_bytes(b"early " * 100)
    night(1)
    vault = ground.vault()
    private = vault.keys.private
    assert private is not None
    gone = headers.add_slot(ground.storage, vault.header.id, private, b"another", cost=CHEAP)
    headers.add_slot(ground.storage, vault.header.id, private, b"a third", cost=CHEAP)
    sweep.forget(vault, [swept])
    was = base / "was"
    shutil.copytree(ground.folder, was)
    sweep.prune(vault)
    headers.remove_slot(ground.storage, gone)
    del points[swept]
    (source / "a/early").unlink()
    (source / "late").write_bytes(b"late" * 300)
    night(1)
    (source / "z").mkdir()
    (source / "z/more.php").write_bytes(b"<?php more" * 30)
    for count in range(2):
        (source / "z/passing").write_bytes(b"passing %d" % count)
        id = night(2)
        forgotten[id] = points.pop(id)
    (source / "z/passing").unlink()
    night(VERSION)
    for id in forgotten:
        sweep.forget(vault, [id])
    vault.index.reload()
    for _ in range(2):
        session.put_record(ground.storage, vault.keys, session.Lost(chunks=[os.urandom(20)], packs=[b""], records=[]))
    for name in ("sessions/of-a-killed-run", "sessions/of-another"):
        ground.storage.put(name, os.urandom(40))
    (base / "other").mkdir()
    other = Ground(base / "other")
    return Template(ground, was, other.folder, points, forgotten, _by_kind(ground.vault()))


def _by_kind(vault: Vault) -> dict[str, list[str]]:
    storage = vault.storage
    packs = {name_of(head.id): head.kind for head in vault.index.packs}
    kinds = {
        "header": [headers.NAME],
        "data pack": [name for name, kind in packs.items() if kind == Kind.DATA],
        "tree pack": [name for name, kind in packs.items() if kind == Kind.TREE],
        "prefixed pack": [name for name, kind in packs.items() if kind == Kind.PREFIXED],
    }
    prefixes = {
        "slot": "keys/", "index run": "index/", "snapshot": "snapshots/", "tombstone": "tombstones/",
        "session": "sessions/", "record": "records/",
    }  # fmt: skip
    for kind, prefix in prefixes.items():
        listed = sorted(storage.list(prefix), key=lambda item: (item.received, item.name))
        kinds[kind] = [item.name for item in listed]
    assert all(len(names) > 1 or kind == "header" for kind, names in kinds.items()), kinds
    return kinds


KINDS = [
    "header", "slot", "data pack", "tree pack", "prefixed pack", "index run", "snapshot", "tombstone", "session", "record",
]  # fmt: skip
PACKS = ("data pack", "tree pack", "prefixed pack")


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut to nothing": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "flipped at the head": lambda data: _flip(data, min(5, len(data) - 1)),
    "flipped in the middle": lambda data: _flip(data, len(data) // 2),
    "flipped at the tail": lambda data: _flip(data, len(data) - 1),
    "zeroed": lambda data: bytes(len(data)),
}
DAMAGES = ["deleted", *CHANGES, "swapped", "replayed"]


def damage(copy: Copy, kind: str, how: str, which: int) -> str:
    """Do the damage; returns the object's name."""
    template = copy.template
    names = template.objects[kind]
    name = names[which]
    data = (template.ground.folder / name).read_bytes()
    if how == "deleted":
        (copy.folder / name).unlink()
    elif how == "swapped":
        if kind == "header":
            copy.replace(name, (template.other / name).read_bytes())
        else:
            beside = names[which - 1 if which else 1]
            copy.replace(name, (template.ground.folder / beside).read_bytes())
            copy.replace(beside, data)
    elif how == "replayed":
        name = _replay(copy, kind, name)
    else:
        copy.replace(name, CHANGES[how](data))
    return name


def _replay(copy: Copy, kind: str, name: str) -> str:
    """Put back an object that was there before the prune, or where nothing goes, one of the vault beside."""
    prefix = name.split("/")[0]
    old = [
        str(path.relative_to(copy.template.was)) for path in (copy.template.was / prefix).rglob("*") if path.is_file()
    ]
    for back in sorted(old):
        if not (copy.folder / back).exists():
            copy.replace(back, (copy.template.was / back).read_bytes())
            return back
    if kind in ("header", "slot"):
        copy.replace(name, next((copy.template.other).rglob(f"{prefix}*")).read_bytes() if kind == "header" else b"")
    return name


def one_line(error: VaultError) -> None:
    assert "\n" not in str(error)
    assert str(error)


def readable(vault: Vault, points: dict[str, dict[bytes, Seen]]) -> set[str]:
    """The points that read as they must; what cannot be read says so, and nothing reads wrong."""
    whole = set()
    for id, expected in points.items():
        try:
            assert read(vault, id) == expected
            whole.add(id)
        except VaultError as error:
            one_line(error)
    return whole


def readable_folders(vault: Vault, id: str) -> bool:
    """Whether all but the feed's files of a point reads."""
    try:
        list(Tree(vault.reader, vault.snapshot(id)).walk([b"data"]))
        return not list(unreadable_paths(vault, id, b"data"))
    except VaultError:
        return False


def unreadable_paths(vault: Vault, id: str, *below: bytes) -> Iterator[bytes]:
    """The paths of a point, file by file, that do not read."""
    tree = Tree(vault.reader, vault.snapshot(id))
    try:
        entries = list(tree.walk(below or (b"data", b"databases")))
    except VaultError:
        return  # a folder is damaged: the check names it or one above
    for entry in entries:
        if entry.content is not None:
            try:
                list(vault.reader.contents([entry.content.row]))  # type: ignore[attr-defined]
            except VaultError:
                yield entry.path


def opens(copy: Copy) -> bool:
    """Whether the vault opens; where not, that is one line, and nothing that is asked of it changes anything."""
    try:
        _ = copy.vault().keys
        return True
    except VaultError as error:
        one_line(error)
    before = copy.objects()
    for work in (lambda: verify.verify(copy.vault()), lambda: sweep.prune(copy.vault()), copy.backup):
        with pytest.raises(VaultError) as caught:
            work()
        one_line(caught.value)
    assert copy.objects() == before
    return False


def _cases() -> Iterator[ParameterSet]:
    """Every damage to every kind; where points hang on an object, to an early and a late one, with and without the state."""
    for kind in KINDS:
        vital = kind in (*PACKS, "index run", "snapshot")
        for how in DAMAGES:
            for which, state in ((0, True), (-1, True), (-1, False)) if vital else ((-1, True),):
                told = f"{kind}, {how}, {'newest' if which else 'oldest'}, state {'kept' if state else 'gone'}"
                yield pytest.param(kind, how, which, state, id=told)


@pytest.mark.parametrize(("kind", "how", "which", "state"), list(_cases()))
def test_what_is_damaged_is_found_and_what_is_whole_stays_whole(
    tmp_path: Path, template: Template, kind: str, how: str, which: int, state: bool
) -> None:
    def make(called: str) -> Copy:
        copy = Copy(template, tmp_path / called, state=state)
        copy.damaged = damage(copy, kind, how, which)
        return copy

    copy = make("read")
    if not opens(copy):
        assert kind in ("header", "slot")
        return
    there = {id: seen for id, seen in template.points.items() if id in copy.vault().ids()}
    assert len(there) == len(template.points) or (kind == "snapshot" and how == "deleted")
    whole = readable(copy.vault(), there)
    hurt = set(there) - whole
    back = set(template.forgotten) & copy.vault().ids()
    assert not back or kind == "tombstone"
    assert readable(copy.vault(), {id: template.forgotten[id] for id in back}) == back
    if kind in ("slot", "tombstone", "session", "record", "header"):
        assert not hurt

    _check(make("check"), kind, hurt)
    _prune(make("prune"), there, whole, kind)
    _backup(make("backup"), there, whole, kind, how)
    _heal(make("heal"), there, whole, kind)


def _check(copy: Copy, kind: str, hurt: set[str]) -> None:
    vault = copy.vault()
    quick = verify.verify(vault)
    found = verify.verify(vault, read_data=1.0)
    for item in (*quick.damage, *found.damage):
        assert "\n" not in item.message
    assert _accused(quick) <= hurt | _strangers(copy)
    assert _accused(found) >= hurt
    assert _accused(found) <= hurt | _strangers(copy)
    if hurt:
        assert {item.object for item in found.damage} & {copy.damaged, "index/"}
    for id in hurt:
        named = [path for item in found.damage if id in item.snapshots for path in item.paths]
        try:
            bad = list(unreadable_paths(vault, id))
        except VaultError:
            assert kind == "snapshot"
            continue
        for path in bad:
            assert any(path == other or path.startswith(other + b"/") for other in named), (path, named)
    again = verify.verify(copy.vault())
    assert _accused(again) <= hurt | _strangers(copy)


def _accused(checked: Checked) -> set[str]:
    return {id for item in checked.damage for id in item.snapshots}


def _strangers(copy: Copy) -> set[str]:
    """Points that came back with a replayed snapshot: their packs are gone."""
    return copy.vault().ids() - set(copy.template.points)


def _prune(copy: Copy, there: dict[str, dict[bytes, Seen]], whole: set[str], kind: str) -> None:
    before = copy.objects()
    try:
        sweep.prune(copy.vault())
    except VaultError as error:
        one_line(error)
        assert {name for name in before - copy.objects() if not name.startswith("tombstones/")} == set()
        assert kind in (*PACKS, "index run", "snapshot", "record")
    assert readable(copy.vault(), there) == whole


def _backup(copy: Copy, there: dict[str, dict[bytes, Seen]], whole: set[str], kind: str, how: str) -> None:
    try:
        id = copy.backup()
    except VaultError as error:
        one_line(error)
        # What is known to be lost must be readable before anything is relied on.
        assert kind == "record"
        return
    vault = copy.vault()
    assert readable(vault, there) >= whole
    if readable(vault, {id: live(copy.template.ground, VERSION)}):
        return
    # A flip inside a pack shows only to who reads it: until a check has, it is relied on.
    assert kind in PACKS
    assert how.startswith(("flipped", "zeroed", "swapped"))


def _heal(copy: Copy, there: dict[str, dict[bytes, Seen]], whole: set[str], kind: str) -> None:
    """A check that reads everything and mends, and the next run: all that the source has reads again, in old points too."""
    verify.verify(copy.vault(), read_data=1.0, repair=True)
    id = copy.backup()
    vault = copy.vault()
    now = live(copy.template.ground, VERSION)
    assert readable(vault, {id: now}) == {id}
    healed = readable(vault, there)
    assert healed >= whole
    if kind == "data pack":
        contents = {seen.content for seen in now.values()}
        assert healed >= {id for id, held in there.items() if {seen.content for seen in held.values()} <= contents}
    if kind == "tree pack":
        # A feed's records say when its files were made, so that the same ones never come again; folders' do.
        healed = {id for id in there if readable_folders(vault, id)}
    if kind in PACKS:
        assert {id for id, held in there.items() if held == now} <= healed
