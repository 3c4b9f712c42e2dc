"""``python -m benchmarks.dumps``: what a large dump costs in the night after, when one row in a hundred was changed.

One table of rows of about 230 bytes is fed to a vault, and fed again changed: scattered (every hundredth row), clustered (one
stretch of it), appended (new rows at its end), moved (changed rows go to its end, as a heap does after updates). Printed are
the bytes stored, the share of the first night's (budget: below 5 %), how fast it went, and the memory of all processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from benchmarks.measure import Sampler
from strongroom.vault import vault as vaults
from strongroom.vault.folder import FolderStorage
from strongroom.vault.keys import CHEAP
from strongroom.vault.series import Outcome, Request
from strongroom.vault.vault import Vault

FOLDER = "/var/tmp/strongroom-dumps"
BUDGET = 0.05
_PASSPHRASE = b"in benchmarks nobody guesses"
_ROW = 230
_PIECE = 1 << 16
_WORDS = (
    b"the quick brown fox jumps over the lazy dog and runs away from",
    b"lorem ipsum dolor sit amet consectetur adipiscing elit sed",
    b"a comment that somebody left below an article about gardens in",
    b"thank you for your order number we have sent the goods on the",
    b"please find attached what you have asked for in your letter of",
    b"this product is out of stock until the end of the next month",
    b"how to bake bread without an oven in twenty minutes and a few",
    b"a review of the restaurant at the corner of the market square",
)


def row(number: int, version: int) -> bytes:
    """One row of the table: half of it words, half of it what no two rows share."""
    chance = blake3(struct.pack("<QQ", number, version)).digest(40)
    return b"(%d,'%s','%s','%s',%d,%d),\n" % (
        number, chance[:38].hex().encode(), _WORDS[chance[38] % 8], _WORDS[chance[39] % 8], chance[38] * chance[39], version,
    )  # fmt: skip


Table = Callable[[int, int], Iterator[bytes]]


def scattered(rows: int, night: int) -> Iterator[bytes]:
    """Every hundredth row is changed each night, another one each time."""
    for number in range(rows):
        yield row(number, night - (night - number) % 100 if night > (night - number) % 100 else 0)


def clustered(rows: int, night: int) -> Iterator[bytes]:
    """One stretch of a hundredth of the table is changed each night, another one each time."""
    stretch = rows // 100
    for number in range(rows):
        turn = (number // stretch) * 37 % 100
        yield row(number, turn + 1 if turn < night else 0)


def appended(rows: int, night: int) -> Iterator[bytes]:
    """A hundredth comes at the end each night."""
    for number in range(rows + rows // 100 * night):
        yield row(number, 0)


def moved(rows: int, night: int) -> Iterator[bytes]:
    """Every hundredth row is changed, and lies at the end then."""
    for number in range(rows):
        if number % 100 >= night:
            yield row(number, 0)
    for turn in range(night):
        for number in range(turn, rows, 100):
            yield row(number, turn + 1)


TABLES: Mapping[str, Table] = {"scattered": scattered, "clustered": clustered, "appended": appended, "moved": moved}


class _File:
    def __init__(self, rows: Iterator[bytes]) -> None:
        self.path, self.failure = b"mysql/shop/tables/posts.sql", ""
        self.pieces = _pieces(rows)


def _pieces(rows: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for item in rows:
        held.append(item)
        size += len(item)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


class _Feed:
    def __init__(self, rows: Iterator[bytes]) -> None:
        self.name = "databases"
        self.opened_ns: int | None = None
        self.roots: Mapping[str, bytes] = {}
        self._rows = rows

    def files(self) -> Iterator[_File]:
        yield _File(self._rows)

    def result(self) -> bytes:
        return b""

    def release(self) -> None:
        pass


def backup(folder: Path, rows: Iterator[bytes]) -> Outcome:
    """One night."""
    vault = Vault(FolderStorage(str(folder / "vault")), str(folder / "state"), _PASSPHRASE)
    request = Request(series="here/site1", level="incremental", sources=(), owners=frozenset(), feed=_Feed(rows))
    (outcome,) = vault.backup([request], workers=1, describe=lambda _: b"", progress=lambda _: None)
    if not isinstance(outcome, Outcome):
        raise SystemExit(f"dumps: {outcome.message}")
    return outcome


def nights(folder: Path, table: Table, rows: int, number: int) -> Iterator[tuple[int, int, float, int]]:
    """Of each night: bytes of the dump, bytes that the vault grew by, seconds, and memory in bytes."""
    for night in range(number):
        before = _occupied(folder / "vault")
        sampler = Sampler()
        began = time.perf_counter()
        outcome = backup(folder, table(rows, night))
        seconds = time.perf_counter() - began
        yield outcome.counts.size, _occupied(folder / "vault") - before, seconds, sampler.stop()


def _occupied(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: list[str] | None = None) -> int:
    """Runs as the command line asks; returns 1 when a second night is over the budget."""
    parser = argparse.ArgumentParser(prog="benchmarks.dumps", description="What a large dump costs in the night after.")
    parser.add_argument("--mib", type=int, default=256, help="size of the dump in MiB (256; try 1024)")
    parser.add_argument("--nights", type=int, default=2, help="how many nights (2); the budget is that of the second")
    parser.add_argument("--only", choices=list(TABLES), help="one way of changing alone")
    parser.add_argument("--folder", type=Path, default=Path(FOLDER), help=f"where the vaults lie ({FOLDER})")
    options = parser.parse_args(arguments)
    rows = (options.mib << 20) // _ROW
    over = False
    print(f"{'changed rows':14}{'night':>6}{'dump':>10}{'stored':>11}{'of first':>10}{'MB/s':>7}{'memory':>9}")
    for name in [options.only] if options.only else TABLES:
        folder = options.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        vaults.create(FolderStorage(str(folder / "vault")), _PASSPHRASE, cost=CHEAP)
        first = 0
        for night, (size, stored, seconds, memory) in enumerate(nights(folder, TABLES[name], rows, options.nights)):
            first = first or stored
            over = over or (night == 1 and stored > BUDGET * first)
            print(
                f"{name:14}{night + 1:6}{size / 1e6:7.0f} MB{stored / 1e6:8.2f} MB{100 * stored / first:8.2f} %"
                f"{size / 1e6 / seconds:7.0f}{memory / 1e6:6.0f} MB",
                flush=True,
            )
        shutil.rmtree(folder)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
