"""Where a dump of what is replaced goes when its account has no home, and what a failing one leaves."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import ExportError
from strongroom.model import Account
from strongroom.restores.keeping import Keeper


def test_without_a_home_the_administrator_keeps_it(tmp_path: Path) -> None:
    kept = Path(Keeper(Account(name="site1"), os.fsencode(tmp_path))("mysql", "shop", iter([b"CREATE ", b"TABLE"])))
    assert kept.parent == tmp_path / "replaced"
    assert kept.name.startswith("mysql-shop-20") and gzip.decompress(kept.read_bytes()) == b"CREATE TABLE"
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_dump_that_fails_leaves_nothing_and_is_ended(tmp_path: Path) -> None:
    ended = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"CREATE "
            raise ExportError("the server went away")
        finally:
            ended.append(True)

    with pytest.raises(ExportError, match="went away"):
        Keeper(Account(name="site1"), os.fsencode(tmp_path))("mysql", "shop", pieces())
    assert list((tmp_path / "replaced").iterdir()) == [] and ended
