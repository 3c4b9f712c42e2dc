from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jetbackup.ground import Ground
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[Ground]:
    """A server that no test changes."""
    made = Ground(tmp_path_factory.mktemp("still"), mariadb, postgresql, prefix="jet_")
    yield made
    made.drop()


@pytest.fixture
def ground(tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL) -> Iterator[Ground]:
    made = Ground(tmp_path, mariadb, postgresql, prefix="own_")
    yield made
    made.drop()
