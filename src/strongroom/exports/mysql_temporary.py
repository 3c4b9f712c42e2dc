"""Users of a MariaDB server who live for one task and may touch one database alone, and what is set up for that task.

What a killed load leaves behind is put right by the next one, from the server itself: users of ours are made in a load
alone, and one of them, who may do nothing, has in his name what the server's settings were before.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from strongroom.config import Mysql
from strongroom.exports.mysql_connection import Connection, account, literal, pattern
from strongroom.model import Frozen

PREFIX = "strongroom_"
# What a load needs of the whole server: rows with large values, functions and triggers of users where there is a binary log, and
# that grants on routines stay, as those on tables do, while what they are about is dropped and made again.
_NEEDED = {"max_allowed_packet": 1 << 30, "log_bin_trust_function_creators": 1, "automatic_sp_privileges": 0}
_LOCK = "strongroom loads"
_PATIENCE = 86400
# What servers may ask of passwords.
_ALL_KINDS = "aA1!"
_WAS = re.compile(re.escape(PREFIX) + r"was((?:_[0-9]+)+)")
_WHO = re.compile(re.escape(PREFIX) + r"[0-9a-f]{12}")


@contextmanager
def ready_to_load(settings: Mysql) -> Iterator[Connection]:
    """A session of root's while the server is set up for loading; one load at a time, so that all is put back."""
    with Connection(settings) as root:
        root.rows("SELECT GET_LOCK(%s, %s)", _LOCK, _PATIENCE)
        _put_right(root)
        before = [int(root.value(f"SELECT @@GLOBAL.{name}")) for name in _NEEDED]
        memory = account("_".join([f"{PREFIX}was", *map(str, before)]), "localhost")
        root.run(f"CREATE USER {memory} IDENTIFIED BY {literal(_ALL_KINDS + secrets.token_hex(24))}")
        try:
            _set(root, _NEEDED.values())
            yield root
        finally:
            _set(root, before)
            root.run(f"DROP USER {memory}")
            _turn_log(root)


def _turn_log(root: Connection) -> None:
    """Begin a new binary log where what was loaded has made the old one unreadable: its events may be longer than the
    server's limit is again, and whoever asks for a position in it gets none.
    """
    if "MariaDB" not in root.value("SELECT VERSION()") or root.value("SELECT @@log_bin") != "1":
        return
    for file, position, *_ in root.rows("SHOW MASTER STATUS"):
        if root.rows("SELECT BINLOG_GTID_POS(%s, %s)", file, position) == [(None,)]:
            root.run("FLUSH BINARY LOGS")


def _put_right(root: Connection) -> None:
    """Undo what killed loads left. Nobody else's load is under way."""
    for user, host in root.rows(
        "SELECT User, Host FROM mysql.user WHERE User LIKE %s", PREFIX.replace("_", r"\_") + "%"
    ):
        if was := _WAS.fullmatch(user):
            _set(root, map(int, was[1].split("_")[1:]))
        if was or _WHO.fullmatch(user):
            root.run(f"DROP USER {account(user, host)}")


def _set(root: Connection, values: Iterable[int]) -> None:
    # An earlier version remembered fewer.
    for name, value in zip(_NEEDED, values, strict=False):
        root.run(f"SET GLOBAL {name} = {value}")


class Login(Frozen):
    """A user of the server who may touch one database alone."""

    name: str
    password: str
    host: str


@contextmanager
def temporary_user(
    settings: Mysql, database: str, *, sets_users: bool = False, reads_all: bool = False
) -> Iterator[tuple[Connection, str]]:
    """A session of such a user, in that database, and its name as ``user@host``. With ``sets_users`` it may name others as
    definers, with ``reads_all`` make views of other databases: nothing of a stranger's may ever do either.
    """
    with temporary_login(settings, database, sets_users=sets_users, reads_all=reads_all) as login:
        with Connection(settings, database=database, user=(login.name, login.password)) as session:
            yield session, f"{login.name}@{login.host}"


@contextmanager
def temporary_login(
    settings: Mysql, database: str, *, sets_users: bool = False, reads_all: bool = False
) -> Iterator[Login]:
    """Such a user, for as long as it is needed."""
    name, password = PREFIX + secrets.token_hex(6), _ALL_KINDS + secrets.token_hex(24)
    with Connection(settings) as root:
        host = root.value("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        user = account(name, host)
        root.run(f"CREATE USER {user} IDENTIFIED BY {literal(password)}")
        try:
            root.run(f"GRANT ALL PRIVILEGES ON {pattern(database)}.* TO {user}")
            if sets_users:
                root.run(f"GRANT SET USER ON *.* TO {user}")
            if reads_all:
                root.run(f"GRANT SELECT, SHOW VIEW ON *.* TO {user}")
            yield Login(name=name, password=password, host=host)
        finally:
            root.run(f"DROP USER IF EXISTS {user}")
