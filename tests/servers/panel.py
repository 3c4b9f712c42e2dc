"""The panel's own database in a PostgreSQL, with the tables that say whose domains, addresses and ids are whose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.postgresql import PostgreSQL

_SCHEMA = r"""
CREATE TABLE siteinfo (
    site_id INTEGER PRIMARY KEY, domain VARCHAR(255) UNIQUE NOT NULL, email VARCHAR(255), admin_user VARCHAR(32)
);
CREATE TABLE gids (site_id INTEGER REFERENCES siteinfo ON DELETE CASCADE, gid INTEGER PRIMARY KEY);
CREATE TABLE uids (site_id INTEGER REFERENCES siteinfo ON DELETE CASCADE, uid INTEGER PRIMARY KEY, "user" VARCHAR(32));
CREATE TABLE domain_lookup (domain VARCHAR(255) PRIMARY KEY, site_id INTEGER NOT NULL REFERENCES siteinfo ON DELETE CASCADE);
CREATE TABLE email_lookup (
    "user" VARCHAR(64), domain VARCHAR(255) REFERENCES domain_lookup ON DELETE CASCADE, fs_destination TEXT,
    alias_destination TEXT, type CHAR(1) NOT NULL, uid INTEGER, enabled BIT(1) DEFAULT B'1', PRIMARY KEY ("user", domain)
);
CREATE TABLE diskquota (uid INTEGER, quota INTEGER);
INSERT INTO siteinfo VALUES
    (1, 'example.com', 'a@example.com', 'admin'), (2, 'example.org', NULL, 'other'), (11, 'example.net', NULL, 'x');
INSERT INTO gids VALUES (1, 1001), (2, 1002);
INSERT INTO uids VALUES (1, 10000, 'admin'), (2, 20000, 'other');
INSERT INTO domain_lookup VALUES ('example.com', 1), ('shop.example.com', 1), ('example.org', 2), ('example.net', 11);
INSERT INTO email_lookup VALUES
    ('me', 'example.com', '/home/me/Mail', NULL, 'v', 10000, B'1'),
    ('', 'example.com', NULL, E'all@elsewhere, "o\'brien; \\"@x.y\n', 'a', NULL, B'0'),
    ('info', 'shop.example.com', NULL, 'me@example.com', 'a', NULL, B'1'),
    ('me', 'example.org', '/home/me/Mail', NULL, 'v', 20000, B'1');
"""


class Panel:
    """Its tables, each asked as one list of rows."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server

    def run(self, *statements: str) -> None:
        self._server.run(*statements, database="appldb")

    def domains(self) -> list[tuple[Any, ...]]:
        return self._server.rows("SELECT * FROM domain_lookup ORDER BY domain", database="appldb")

    def addresses(self, *domains: str) -> list[tuple[Any, ...]]:
        query = 'SELECT * FROM email_lookup WHERE domain = ANY (%s) ORDER BY domain, "user"'
        return self._server.rows(query, (list(domains),), database="appldb")


@contextmanager
def panel(server: PostgreSQL) -> Iterator[Panel]:
    """Make the panel's database on a server; gone at the end."""
    server.run("CREATE DATABASE appldb")
    try:
        server.run(_SCHEMA, database="appldb")
        yield Panel(server)
    finally:
        server.run("DROP DATABASE IF EXISTS appldb WITH (FORCE)")
