"""What the whole suite needs of its process."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

# A shell starts its background jobs deaf to interrupts, and the programs that tests start and interrupt would be so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# One server of each kind for all tests of a worker.
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
