"""What an export has after its rows: views, triggers, routines and events. One that is refused stops no other.

A view is made once what it rests on is there: dumps have stand-ins until then, but one that is made over a stand-in stays
what that was, which nobody can write through. So stand-ins are left out, and a view that comes too early is tried again.

A view may read other databases, which the user who loads may not touch: it is made a second time by one who may read
everything, in a statement that can be nothing but a view's. What it may show later is its definer's to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports.mysql_connection import Connection, account
from strongroom.exports.mysql_definers import Definers
from strongroom.exports.mysql_temporary import temporary_user

_SET = re.compile(rb"(?:/\*!\d+ )?SET ", re.IGNORECASE)
_VIEW = re.compile(
    rb"(/\*!50001 CREATE ALGORITHM=\w+ \*/\s*/\*!50013\s+)(SQL SECURITY \w+ \*/\s*/\*!50001 VIEW `((?:[^`]|``)+)` AS )"
)
_STANDIN = re.compile(rb"/\*!50001 CREATE (?:VIEW|TABLE) ")
_SHOWN = 60


class Refused(NamedTuple):
    """A statement that the server refused, what was set for it, and why."""

    statement: bytes
    session: tuple[bytes, ...]
    why: str

    def __str__(self) -> str:
        view = _VIEW.match(self.statement)
        if view:
            return f"view {_name(view)} was left out: {self.why}"
        return f"left out, as it was refused: {self.why}: {shown(self.statement)}"


def shown(statement: bytes) -> str:
    """How a statement begins, as one line."""
    return " ".join(statement[:_SHOWN].decode("utf-8", "replace").split()) + " …"


def without_standins(work: Iterable[bytes]) -> Iterator[bytes]:
    """The statements but those that stand in for views."""
    return (statement for statement in work if not _STANDIN.match(statement))


def make(session: Connection, work: Iterable[bytes]) -> list[Refused]:
    """Run each statement; return those that were refused."""
    refused, before = [], Before()
    for statement in work:
        try:
            session.run(statement)
        except ExportError as error:
            refused.append(before.refused(statement, error))
        before.ran(statement)
    return views_again(session, refused)


class Before:
    """What was set just before a statement, which it may need."""

    def __init__(self) -> None:
        self._settings: tuple[bytes, ...] = ()

    def ran(self, statement: bytes) -> None:
        """This was run."""
        self._settings = (*self._settings, statement) if _SET.match(statement) else ()

    def refused(self, statement: bytes, error: ExportError) -> Refused:
        """This was refused."""
        return Refused(statement, self._settings, str(error))


def views_again(session: Connection, refused: list[Refused]) -> list[Refused]:
    """Make refused views as soon as those are there that they rest on; return what stays refused."""
    return _while_it_helps(refused, lambda each: _retried(session, each))


def root_cause(views: list[Refused]) -> str:
    """What to say of refused views: not that one misses another of them, where one misses something else."""
    why = {_name(view): each.why for each in views if (view := _VIEW.match(each.statement))}
    of_others = {name for name in why for other in why if f".{other}'" in why[name]}
    name = min(why.keys() - of_others or why)
    return f"view {name} was refused: {why[name]}"


def is_view(statement: bytes) -> bool:
    """Whether this makes a view as dumps do, in the place of a stand-in."""
    return _VIEW.match(statement) is not None


def _while_it_helps(refused: list[Refused], again: Callable[[Refused], Refused | None]) -> list[Refused]:
    while True:
        left = [still for each in refused if (still := again(each)) is not None]
        if len(left) == len(refused):
            return left
        refused = left


def _retried(session: Connection, refused: Refused) -> Refused | None:
    if not is_view(refused.statement):
        return refused
    try:
        for statement in (*refused.session, refused.statement):
            session.run(statement)
    except ExportError as error:
        return refused._replace(why=str(error))
    return None


def make_views(settings: Mysql, database: str, definers: Definers, refused: list[Refused]) -> list[Refused]:
    """Make refused views with their definers, each as soon as those are there that it rests on; return what stays refused."""
    if not any(is_view(each.statement) for each in refused):
        return refused
    with temporary_user(settings, database, sets_users=True, reads_all=True) as (session, _):
        return _while_it_helps(refused, lambda each: _again(session, each, definers))


def _again(session: Connection, refused: Refused, definers: Definers) -> Refused | None:
    view = _VIEW.match(refused.statement)
    user = definers.choose("view", _name(view)) if view else None
    if view is None or user is None:
        return refused
    name, _, host = user.rpartition("@")
    definer = f"DEFINER={account(name, host)} ".encode()
    try:
        for setting in refused.session:
            session.run(setting)
        session.run(view[1] + definer + view[2] + refused.statement[view.end() :])
    except ExportError as error:
        return refused._replace(why=str(error))
    return None


def _name(view: re.Match[bytes]) -> str:
    return view[3].replace(b"``", b"`").decode("utf-8", "replace")
