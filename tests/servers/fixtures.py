"""One server of each kind for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    with server_folder() as folder:
        server = MariaDB(folder)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with server_folder() as folder:
        server = PostgreSQL(folder)
        yield server
        server.stop()
