"""The conformance suite against Bacula: its director, storage and file daemon, started for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conformance import Conformance
from tests.clients.kit import Driver
from tests.servers.bacula import Bacula

_RUNNING: list[Bacula] = []


def started(folder: Path, storage: Path) -> str:
    """The table of a client whose Bacula is started for it, and ended with the test."""
    bacula = Bacula(folder / "bacula", storage)
    _RUNNING.append(bacula)
    return bacula.table()


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    while _RUNNING:
        _RUNNING.pop().stop()


BACULA = Driver(
    "bacula", ("full", "differential", "incremental"), started, alone=False, encrypted=False, program="bconsole"
)


class TestBacula(Conformance):
    driver = BACULA
