"""An account back: its files, then its databases between two looks at its users, each whatever became of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import msgspec

from strongroom.clients.base import Client, Monitor
from strongroom.errors import StrongroomError, UnknownError
from strongroom.model import DATABASES, Frozen, Point, Remark, Status
from strongroom.restores.databases import DatabaseRestorer, manifest_of
from strongroom.restores.request import (
    DatabaseBack,
    DatabaseWish,
    RestoreCounts,
    RestoreForecast,
    RestoreRequest,
    RestoreResult,
)
from strongroom.restores.restore import restore as restore_files

# Made when the files are back: only then may it be known whose the databases are.
Restorer = Callable[[], DatabaseRestorer]


class Order(Frozen):
    """What to bring back of a point: files (None: none), databases, and the users who go with all of them.

    ``named``: the databases were asked for by name, so that one that would be refused refuses everything beforehand.
    """

    id: str
    point: Point
    files: RestoreRequest | None
    databases: tuple[DatabaseWish, ...] = ()
    users: bool = False
    named: bool = False


def forecast(order: Order, client: Client, monitor: Monitor, restorer: Restorer) -> RestoreResult:
    """What an order would do. Raises what a restore of its files raises, and what refuses a database asked for by name."""
    files = msgspec.structs.replace(_nothing(order), forecast=RestoreForecast())
    if order.files is not None:
        files = restore_files(msgspec.structs.replace(order.files, dry_run=True), client, monitor)
    once = cache(restorer)
    databases = [_one(order, wish, lambda wish: _expected(order, client, once, wish)) for wish in order.databases]
    return _joined(files, databases, [])


def restore(order: Order, client: Client, monitor: Monitor, restorer: Restorer) -> RestoreResult:
    """Do it; a database that fails stops no other. Raises what `forecast` raises."""
    if order.named or order.files is None:
        # Without its files, an account that is gone is not there at the end either.
        before = restorer()
        for wish in order.databases if order.named else ():
            before.forecast(wish)
    files = restore_files(order.files, client, monitor) if order.files is not None else _nothing(order)
    if not order.databases and not order.users:
        return files
    once = cache(restorer)
    if order.users:
        # What the databases' tables belong to has to be there first. What cannot be said before the databases are there
        # is said below, where it counts.
        list(_users(once))
    databases = [_one(order, wish, lambda wish: once().bring_back(wish)) for wish in order.databases]
    said = [*_users(once), *_mail_rows(once)] if order.users else []
    return _joined(files, databases, said)


def _one(order: Order, wish: DatabaseWish, act: Callable[[DatabaseWish], DatabaseBack]) -> DatabaseBack:
    try:
        return act(wish)
    except StrongroomError as error:
        if order.named:
            raise
        return DatabaseBack(wish=wish, status=Status.FAILED, messages=(str(error),))


def _expected(order: Order, client: Client, restorer: Restorer, wish: DatabaseWish) -> DatabaseBack:
    try:
        found = restorer()
    except UnknownError:
        if order.files is None:
            raise
        # The account is gone: whose its databases are is known once its files are back.
        manifest = manifest_of(client, order.point, wish)
        return DatabaseBack(
            wish=wish, status=manifest.status, replaces=None, bytes=manifest.size, messages=manifest.reasons
        )
    return found.forecast(wish)


def _users(restorer: Restorer) -> Iterator[str]:
    try:
        yield from restorer().users()
    except StrongroomError as error:
        yield f"users were not made again: {error}"


def _mail_rows(restorer: Restorer) -> Iterator[str]:
    try:
        yield from restorer().mail_rows()
    except StrongroomError as error:
        yield f"the account's mail addresses were not put back: {error}"


def _nothing(order: Order) -> RestoreResult:
    return RestoreResult(
        id=order.id,
        status=Status.COMPLETE,
        account=order.point.account,
        point=order.point.id,
        files=RestoreCounts(),
    )


def _joined(files: RestoreResult, databases: list[DatabaseBack], users: list[str]) -> RestoreResult:
    """One result of all: complete where everything is."""
    whole = not users and all(back.status is Status.COMPLETE for back in databases)
    nothing = not files.files.written and not files.files.unchanged and not files.forecast
    failed = nothing and databases and all(back.status is Status.FAILED for back in databases)
    status = Status.FAILED if failed else files.status if whole else Status.INCOMPLETE
    warnings = tuple(Remark(path=DATABASES.encode(), message=message) for message in users)
    return msgspec.structs.replace(
        files, status=status, databases=tuple(databases), warnings=(*files.warnings, *warnings)
    )
