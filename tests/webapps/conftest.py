"""WordPress is installed once for all tests of a worker; each test that changes it gets a copy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.webapps.ground import SMALL_DATABASE, Apps, Press, folder_of_apps, press_site, small_site, wiki_site


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


@pytest.fixture
def small() -> Iterator[Apps]:
    """A server whose site3 has an app of a few files, without a database."""
    with folder_of_apps() as server:
        small_site(server)
        yield server


@pytest.fixture
def small_shop(mariadb: MariaDB) -> Iterator[Apps]:
    """A server whose site3 has an app of a few files, with a database of two tables."""
    with folder_of_apps(mariadb) as server:
        small_site(server, SMALL_DATABASE)
        mariadb.run(f"DROP DATABASE IF EXISTS {SMALL_DATABASE}", f"CREATE DATABASE {SMALL_DATABASE}")
        mariadb.run(
            "CREATE TABLE posts (id INT PRIMARY KEY, title TEXT)",
            "INSERT INTO posts VALUES (1, 'one'), (2, 'two')",
            "CREATE TABLE empty (id INT PRIMARY KEY)",
            database=SMALL_DATABASE,
        )
        yield server
        mariadb.run(f"DROP DATABASE IF EXISTS {SMALL_DATABASE}")
