"""Two accounts, a vault on a disk that can lose power, and processes that come and go."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from strongroom.vault import header
from strongroom.vault.feed import Feed
from strongroom.vault.keys import Cost, Keys
from strongroom.vault.record import Type
from strongroom.vault.series import Outcome, Request, SeriesFailure
from strongroom.vault.source import Source
from strongroom.vault.storage import Storage
from strongroom.vault.vault import Vault
from strongroom.vault.verify import verify
from tests.vault.feeds import changed, feed_of, rows
from tests.vault.unsafe_storage import Disk

PASSPHRASE = b"correct horse"
NEXT_TO_NOTHING = Cost(64, 1, 1)
Content = dict[bytes, bytes]
# Files that were not changed within the last minute, so that their records are reused.
OLD = b"/usr/share/common-licenses"


def quick_vault(storage: Storage) -> Keys:
    """Make a vault whose passphrase costs little to stretch."""
    return header.create(storage, PASSPHRASE, cost=NEXT_TO_NOTHING)


def opened(disk: Disk, state: Path, keys: Keys) -> Vault:
    """A vault for a new process that has stretched the passphrase already."""
    vault = Vault(disk.process(), str(state), PASSPHRASE)
    vault._opened = keys
    return vault


def request(account: Path, level: str = "incremental", *, old: bool = False, feed: Feed | None = None) -> Request:
    sources = [Source(name="data", path=bytes(account))]
    if old:
        sources.append(Source(name="old", path=OLD))
    owners = frozenset({os.getuid()})
    return Request(series=account.name, level=level, sources=tuple(sources), owners=owners, feed=feed)


def on_disk(account: Path, *, old: bool = False) -> Content:
    """What a snapshot of it has to hold."""
    found = {}
    for name, folder in (("data", account), *([("old", Path(os.fsdecode(OLD)))] if old else [])):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found[name.encode() + b"/" + bytes(path.relative_to(folder))] = path.read_bytes()
    return found


def in_vault(vault: Vault, id: str) -> Content:
    """What a snapshot does hold, read through the index from the packs."""
    snapshot = vault.snapshot(id)
    found: dict[bytes, bytearray] = {}
    for path, record_id in vault.reader.directories(snapshot):
        rows = [row for row in vault.reader.record(record_id).rows if row.type == Type.FILE]
        files = [found.setdefault(path + b"/" + row.name, bytearray(row.size)) for row in rows]
        for number, offset, data in vault.reader.contents(rows):
            files[number][offset : offset + len(data)] = data
    return {path: bytes(data) for path, data in found.items()}


@contextlib.contextmanager
def in_memory(folder: Path, options: str = "mode=755") -> Iterator[Path]:
    """A folder in memory: what is proven here does not rest on what the machine's own disk syncs."""
    os.mkdir(folder / "memory")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder / "memory"], check=True)
    try:
        yield folder / "memory"
    finally:
        subprocess.run(["umount", "-l", folder / "memory"], check=True)


class Ground:
    """Accounts to change, snapshots told and what each has to hold, and state folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.accounts = [folder / "alpha", folder / "beta"]
        self.told: dict[str, Content] = {}
        self.spools = folder / "spools"
        self.state = folder / "state"
        # What the first account's feed makes, where it has one.
        self.made: Content = {}
        for number, account in enumerate(self.accounts):
            for place in ("web/one", "web/two", "mail"):
                (account / place).mkdir(parents=True)
                (account / place / "same").write_bytes(b"the same everywhere" * 50)
                (account / place / "own").write_bytes(b"%d %s" % (number, place.encode()) * 200)
        (self.accounts[0] / "noise").write_bytes(os.urandom(200_000))

    def disk(self) -> Disk:
        """A new disk with an empty vault, all of it durable."""
        disk = Disk(str(self.spools))
        self.keys = quick_vault(disk.process())
        disk.begin()
        return disk

    def vault(self, disk: Disk, state: Path | None = None) -> Vault:
        """The vault as a new process opens it."""
        return opened(disk, state or self.state, self.keys)

    def backup(self, vault: Vault, level: str = "incremental", *, workers: int = 1) -> list[str]:
        """Back up all accounts; the snapshots told, each remembered with what it has to hold."""
        feed = feed_of(self.made) if self.made else None
        requests = [
            request(account, level, old=number == 1, feed=None if number else feed)
            for number, account in enumerate(self.accounts)
        ]
        told = []
        for outcome in run(vault, requests, workers=workers):
            assert isinstance(outcome, Outcome), outcome
            assert outcome.complete, outcome.remarks
            number = [account.name for account in self.accounts].index(outcome.request.series)
            made = {} if number else {b"databases/" + path: data for path, data in self.made.items()}
            self.told[outcome.id] = on_disk(self.accounts[number], old=number == 1) | made
            told.append(outcome.id)
        return told

    def change(self, night: int) -> None:
        """What two accounts do in a day: something new, something changed, something gone."""
        for account in self.accounts:
            (account / "web/one" / f"new{night}").write_bytes(b"night %d of %s" % (night, account.name.encode()) * 100)
            (account / "mail/own").write_bytes(b"changed in night %d" % night * 100)
            (account / f"web/two/gone{night}").write_bytes(os.urandom(30_000))
            (account / f"web/two/gone{night - 1}").unlink(missing_ok=True)
        (self.accounts[0] / "noise").write_bytes(os.urandom(200_000))

    def change_made(self, night: int) -> None:
        """Databases of a night: a large table of which a few rows were changed, and small ones that come and go."""
        table = changed(rows(3000), 100, seed=night) if night else rows(3000)
        self.made = {
            b"shop/tables/posts": b"".join(table),
            b"shop/before": b"CREATE",
            b"shop/tables/of night %d" % night: b"".join(rows(40, seed=night)),
        }

    def state_copy(self, name: str) -> Path:
        """The state folder as it is now, elsewhere."""
        copy = self.folder / "states" / name
        shutil.rmtree(copy, ignore_errors=True)
        if self.state.exists():
            shutil.copytree(self.state, copy)
        return copy


def run(vault: Vault, requests: Sequence[Request], *, workers: int = 1) -> Iterable[Outcome | SeriesFailure]:
    return vault.backup(requests, workers=workers, describe=lambda outcome: b"", progress=lambda progress: None)


def assert_safe(vault: Vault, told: dict[str, Content]) -> None:
    """Every snapshot that was told is there and holds, byte for byte, what it has to; and a check finds nothing wrong."""
    assert set(told) <= vault.ids()
    for id, content in told.items():
        assert in_vault(vault, id) == content
    checked = verify(vault, read_data=1)
    assert checked.damage == ()
    assert vault.storage.list("records/") == []
