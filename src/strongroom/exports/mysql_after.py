"""What an export has after its rows: views, triggers, routines and events. One that is refused stops no other.

A view may read other databases, which the user who loads may not touch: it is made a second time by one who may read
everything, in a statement that can be nothing but a view's. What it may show later is its definer's to decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
        shown = " ".join(self.statement[:_SHOWN].decode("utf-8", "replace").split())
        return f"left out, as it was refused: {self.why}: {shown} …"


def make(session: Connection, work: Iterable[bytes]) -> list[Refused]:
    """Run each statement; return those that were refused."""
    refused, settings = [], list[bytes]()
    for statement in work:
        if not _SET.match(statement):
            settings, before = [], settings
        else:
            settings, before = [*settings, statement], []
        try:
            session.run(statement)
        except ExportError as error:
            refused.append(Refused(statement, tuple(before), str(error)))
    return refused


def make_views(settings: Mysql, database: str, definers: Definers, refused: list[Refused]) -> list[Refused]:
    """Make refused views with their definers, each as soon as those are there that it rests on; return what stays refused."""
    if not any(_VIEW.match(each.statement) for each in refused):
        return refused
    with temporary_user(settings, database, sets_users=True, reads_all=True) as (session, _):
        while True:
            left = [again for each in refused if (again := _again(session, each, definers)) is not None]
            if len(left) == len(refused):
                return left
            refused = left


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
