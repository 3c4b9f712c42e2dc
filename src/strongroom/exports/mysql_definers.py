"""As whom restored views, triggers, routines and events run.

They are made by a temporary user, who is then gone: each gets the definer it had, or a user of the database. Nothing that
a stranger wrote ever gets a definer who may more than the database's own users.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports import mysql_facts
from strongroom.exports.manifest import Definer
from strongroom.exports.mysql_connection import Connection, account, literal, quoted
from strongroom.exports.mysql_temporary import PREFIX, temporary_user


class Definers:
    """Chooses definers: those in ``known`` where they still exist, else the first of the database's own users."""

    def __init__(self, root: Connection, database: str, known: tuple[Definer, ...] = ()) -> None:
        self._known = {(definer.kind, definer.name): definer.user for definer in known}
        self._users = {f"{user}@{host}" for user, host in root.rows("SELECT User, Host FROM mysql.user")}
        grants = root.rows("SELECT User, Host, Db FROM mysql.db ORDER BY User, Host")
        # Roles have no host, and run nothing.
        own = (f"{user}@{host}" for user, host, pattern in grants if host and mysql_facts.unescaped(pattern) == database)
        self._own = [user for user in own if not user.startswith(PREFIX) and self._is_modest(root, user)]

    def choose(self, kind: str, name: str) -> str | None:
        """The definer of one thing; None where there is nobody it could be."""
        known = self._known.get((kind, name))
        return known if known in self._users else next(iter(self._own), None)

    def _is_modest(self, root: Connection, user: str) -> bool:
        """Whether a user has no rights on everything."""
        name, _, host = user.rpartition("@")
        grants = root.rows(f"SHOW GRANTS FOR {account(name, host)}")
        return not any(" ON *.* " in grant and not grant.startswith("GRANT USAGE ") for (grant,) in grants)


class _Program(NamedTuple):
    """A view or trigger as the server tells how to make it, with the session it was made in."""

    kind: str
    name: str
    statement: str
    session: tuple[str, ...]


def settle(settings: Mysql, database: str, maker: str, definers: Definers, *, reads_all: bool = False) -> Iterator[str]:
    """Give everything that ``maker`` made its definer; yield what had to be left out, and why. ``reads_all``: views may be of
    other databases.
    """
    with Connection(settings, database=database) as root:
        made = [definer for definer in mysql_facts.definers(root, database) if definer.user == maker]
        lost = [definer for definer in made if definers.choose(definer.kind, definer.name) is None]
        for definer in lost:
            root.drop(definer.kind.upper(), quoted(definer.name))
            yield f"{definer.kind} {definer.name} was left out: the database has no user of its own to run it as"
        kept = [definer for definer in made if definer not in lost]
        for definer in kept:
            user = definers.choose(definer.kind, definer.name) or ""
            if definer.kind == "event":
                _settle_event(root, database, definer.name, user)
            elif definer.kind not in ("view", "trigger"):
                _settle_routine(root, database, definer, user)
        users = {
            (definer.kind, definer.name): definers.choose(definer.kind, definer.name) or ""
            for definer in kept
            if definer.kind in ("view", "trigger")
        }
        if users:
            with temporary_user(settings, database, sets_users=True, reads_all=reads_all) as (session, _):
                yield from _make_again(session, root, database, maker, users)


def _settle_event(root: Connection, database: str, name: str, user: str) -> None:
    query = "SELECT EVENT_COMMENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s AND EVENT_NAME = %s"
    comment = root.value(query, database, name)
    root.comment(f"ALTER DEFINER = {_account(user)} EVENT {quoted(name)}", comment)


def _settle_routine(root: Connection, database: str, routine: Definer, user: str) -> None:
    # Routines of several kinds may have one name.
    update = "UPDATE mysql.proc SET definer = %s WHERE db = %s AND name = %s AND type = %s"
    root.rows(update, user, database, routine.name, routine.kind)
    query = "SELECT SECURITY_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s AND ROUTINE_NAME = %s"
    # Sessions that know the routine already look at it again after this.
    if routine.kind in ("procedure", "function"):
        security = root.value(query, database, routine.name)
        root.run(f"ALTER {routine.kind.upper()} {quoted(routine.name)} SQL SECURITY {security}")


def _make_again(
    session: Connection, root: Connection, database: str, maker: str, users: dict[tuple[str, str], str]
) -> Iterator[str]:
    """Views and triggers have their definer in their definition alone. Yield the views that the server cannot use."""
    views = [_view(root, name) for kind, name in users if kind == "view"]
    query = (
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s "
        "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
    )
    ordered = [name for (name,) in root.rows(query, database) if ("trigger", name) in users]
    triggers = [_trigger(root, name) for name in ordered]
    for trigger in triggers:
        session.drop("TRIGGER", quoted(trigger.name))
    for program in (*views, *triggers):
        for setting in program.session:
            session.run(setting)
        definer = f"DEFINER={_account(users[program.kind, program.name])}"
        replace = "CREATE OR REPLACE" if program.kind == "view" else "CREATE"
        statement = program.statement.replace(f"DEFINER={_account(maker)}", definer, 1)
        try:
            session.run(statement.replace("CREATE", replace, 1))
        except ExportError as error:
            if program.kind != "view":
                raise
            root.drop("VIEW", quoted(program.name))
            yield f"view {program.name} was left out: {error}"


def _view(root: Connection, name: str) -> _Program:
    ((_, statement, client, collation),) = root.rows(f"SHOW CREATE VIEW {quoted(name)}")
    return _Program("view", name, statement, _session(client, collation))


def _trigger(root: Connection, name: str) -> _Program:
    mode, statement, client, collation = root.rows(f"SHOW CREATE TRIGGER {quoted(name)}")[0][1:5]
    return _Program("trigger", name, statement, (f"SET sql_mode = {literal(mode)}", *_session(client, collation)))


def _session(client: str, collation: str) -> tuple[str, ...]:
    # The statement itself goes in what the driver speaks; only what the server notes beside it is set.
    return (f"SET collation_connection = {literal(collation)}",) if client.startswith("utf8") else ()


def _account(user: str) -> str:
    name, _, host = user.rpartition("@")
    return account(name, host)
