"""Users of a MariaDB server who live for one task and may touch one database alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.config import Mysql
from strongroom.exports.mysql_connection import Connection, account, literal, pattern
from strongroom.model import Frozen

PREFIX = "strongroom_"
# What a load needs of the whole server: rows with large values, and functions and triggers of users where there is a
# binary log.
_NEEDED = {"max_allowed_packet": 1 << 30, "log_bin_trust_function_creators": 1}
_LOCK = "strongroom loads"
_PATIENCE = 86400


@contextmanager
def ready_to_load(settings: Mysql) -> Iterator[Connection]:
    """A session of root's while the server is set up for loading; one load at a time, so that all is put back."""
    with Connection(settings) as root:
        root.rows("SELECT GET_LOCK(%s, %s)", _LOCK, _PATIENCE)
        before = {name: int(root.value(f"SELECT @@GLOBAL.{name}")) for name in _NEEDED}
        try:
            for name, value in _NEEDED.items():
                root.run(f"SET GLOBAL {name} = {value}")
            yield root
        finally:
            for name, value in before.items():
                root.run(f"SET GLOBAL {name} = {value}")


class Login(Frozen):
    """A user of the server who may touch one database alone."""

    name: str
    password: str
    host: str


@contextmanager
def temporary_user(settings: Mysql, database: str, *, set_user: bool = False) -> Iterator[tuple[Connection, str]]:
    """A session of such a user, in that database, and its name as ``user@host``. With ``set_user`` it may name others as
    definers, which nothing of a stranger's may ever do.
    """
    with temporary_login(settings, database, set_user=set_user) as login:
        with Connection(settings, database=database, user=(login.name, login.password)) as session:
            yield session, f"{login.name}@{login.host}"


@contextmanager
def temporary_login(settings: Mysql, database: str, *, set_user: bool = False) -> Iterator[Login]:
    """Such a user, for as long as it is needed."""
    name, password = PREFIX + secrets.token_hex(6), secrets.token_hex(24)
    with Connection(settings) as root:
        host = root.value("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        user = account(name, host)
        root.run(f"CREATE USER {user} IDENTIFIED BY {literal(password)}")
        try:
            root.run(f"GRANT ALL PRIVILEGES ON {pattern(database)}.* TO {user}")
            if set_user:
                root.run(f"GRANT SET USER ON *.* TO {user}")
            yield Login(name=name, password=password, host=host)
        finally:
            root.run(f"DROP USER IF EXISTS {user}")
