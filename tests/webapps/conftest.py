"""WordPress is installed once for all tests of a worker; each test that changes it gets a copy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.webapps.ground import Apps, Press, folder_of_apps, press_site, wiki_site


@pytest.fixture(scope="session")
def press(mariadb: MariaDB) -> Iterator[Press]:
    with server_folder() as folder:
        yield Press(folder, mariadb)


@pytest.fixture
def shop(press: Press) -> Iterator[Apps]:
    """A server whose site1 has WordPress."""
    with folder_of_apps(press.mariadb) as server:
        press_site(server, press)
        yield server
        press.remove()


@pytest.fixture
def wiki() -> Iterator[Apps]:
    """A server whose site2 has DokuWiki."""
    with folder_of_apps() as server:
        wiki_site(server)
        yield server
