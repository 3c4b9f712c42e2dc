"""What the PHP classes ask, as typed values; whatever does not fit is refused before anything is done."""

from __future__ import annotations

from typing import Any

import msgspec

from strongroom.errors import UsageError
from strongroom.exports.base import MYSQL, POSTGRESQL
from strongroom.jetbackup import wire
from strongroom.model import Frozen

# JetBackup's numbers of engines; it knows a third kind, which no server here is.
ENGINES = {1: MYSQL, 3: POSTGRESQL}


class About(Frozen, tag_field="question", tag="about"):
    """Which version this is."""


class Count(Frozen, tag_field="question", tag="count"):
    """How many accounts there are."""


class List(Frozen, tag_field="question", tag="list"):
    """The accounts: ``limit`` of them (0: all) on a ``page``, which count from 1."""

    limit: int = 0
    page: int = 0


class One(Frozen, tag_field="question", tag="account"):
    """One account, by its name alone; null where there is none."""

    account: str


class Doors(Frozen, tag_field="question", tag="door"):
    """How to come to a database server; null where there is none of that engine."""

    engine: int


class Held(Frozen, tag_field="question", tag="databases"):
    """An account's databases of an engine."""

    account: str
    engine: int


class People(Frozen, tag_field="question", tag="users"):
    """An account's users of an engine."""

    account: str
    engine: int


class AddDatabase(Frozen, tag_field="question", tag="add-database"):
    """Make a database where it is not there yet."""

    account: str
    engine: int
    name: str


class Privileges(Frozen):
    """The words of a user on one database."""

    database: str
    grants: tuple[str, ...] = ()


class AddUser(Frozen, tag_field="question", tag="add-user"):
    """Make or change a user: by our own ``statements`` where there are any, else by what every panel says of one."""

    account: str
    engine: int
    name: str
    password: str | None = None
    privileges: tuple[Privileges, ...] = ()
    statements: str = ""


class MakeConfig(Frozen, tag_field="question", tag="config"):
    """Make the folder of what an account consists of beside its files and databases."""

    account: str


class DropConfig(Frozen, tag_field="question", tag="drop-config"):
    """Take such a folder away."""

    folder: str


class Before(Frozen, tag_field="question", tag="before-restore"):
    """Refuse what could not be restored."""

    account: str


class After(Frozen, tag_field="question", tag="after-restore"):
    """Do what is to be done after a restore, of ``files`` or not; ``config`` is such a folder as it came back, or empty."""

    account: str
    files: bool
    config: str = ""


Question = (
    About
    | Count
    | List
    | One
    | Doors
    | Held
    | People
    | AddDatabase
    | AddUser
    | MakeConfig
    | DropConfig
    | Before
    | After
)


def read(document: bytes) -> Question:
    """The question in a document. Raise UsageError."""
    found: Any = wire.readable(document)
    try:
        return msgspec.convert(found, Question)  # type: ignore[no-any-return,call-overload,unused-ignore]
    except msgspec.ValidationError as error:
        raise UsageError(f"no question that JetBackup's classes ask: {error}") from None
