"""SQL text of PostgreSQL run as statements of a session, as far as they are a database's own: what a dump has of the client
program's commands, of roles and owners is left out, what it should not have is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from strongroom.errors import ExportError
from strongroom.exports.postgresql_connection import Connection, line
from strongroom.exports.postgresql_text import Statement, rows, statements
from strongroom.exports.stream import Stream

_SHOWN = 60
# Root does these by statements of its own, or they are not the database's.
_NOT_OURS = re.compile(
    rb"(?:CREATE|ALTER|DROP)\s+(?:DATABASE|ROLE|USER(?!\s+MAPPING\b)|GROUP|TABLESPACE)\b|SET\s+(?:SESSION\s+AUTHORIZATION|ROLE)\b|"
    rb"(?:COMMENT\s+ON|ALTER|DROP)\s+EXTENSION\b|GRANT\s|REVOKE\s|ALTER\s+DEFAULT\s+PRIVILEGES\b|"
    rb"ALTER\s.*\sOWNER\s+TO\s+\S+\s*\Z|COMMENT\s+ON\s+DATABASE\b|CREATE\s+SCHEMA\s+public\s*\Z|"
    rb"(?:SET|RESET)\s+(?:SESSION\s+|LOCAL\s+)?(?:default_tablespace|transaction_timeout)\b",
    re.IGNORECASE | re.DOTALL,
)
_ANOTHER = re.compile(rb"\\c(?:onnect)?\b")
_HARMLESS = re.compile(rb"\\(?:un)?restrict\b|\\\.\Z|\\encoding\s+\S*UTF-?8", re.IGNORECASE)
# What only a superuser may make, and no tenant could have made.
_SUPERUSERS = re.compile(rb"(?:CREATE|ALTER)\s+EVENT\s+TRIGGER\b|COMMENT\s+ON\s+EVENT\s+TRIGGER\b", re.IGNORECASE)

_EXTENSION = re.compile(rb"CREATE\s+EXTENSION\b", re.IGNORECASE)
# The schema of an extension is there before the text makes it.
_SCHEMA = re.compile(rb"\ACREATE SCHEMA ((?!IF )\S+)\Z")

# What runs functions, whose bodies find names as sessions of the database's do; all else in a dump names everything whole.
_RUNS = re.compile(
    rb"(?P<refresh>REFRESH\s)|CREATE\s+(?:UNIQUE\s+)?INDEX\b|ALTER\s+TABLE\b.*\b(?:ADD|ATTACH|VALIDATE)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAKES = re.compile(rb"CREATE\s+(?!DATABASE\b|ROLE\b|USER\b|GROUP\b|TABLESPACE\b)", re.IGNORECASE)
_PUBLIC = re.compile(rb"COMMENT\s+ON\s+SCHEMA\s+public\b", re.IGNORECASE)
# Without these there is no room for rows, or rows are wrong.
_NEEDED = re.compile(rb"CREATE (?:UNLOGGED )?TABLE |SELECT |SET ", re.IGNORECASE)
# Who loads may not, or what it is about was left out itself: insufficient_privilege, undefined_function, _table, _object,
# _column, invalid_schema_name.
_BEYOND = {"42501", "42883", "42P01", "42704", "42703", "3F000"}


class _Beyond(ExportError):
    """A statement that is beyond who loads, and without which the rows are all there."""


def run(session: Connection, stream: Stream, path: str, *, of_export: bool = False) -> list[str]:
    """Run a text; the first statement that fails is the last. Return what was left out.

    ``path`` is where sessions of the database look for names; dumps look nowhere, which is the end of some functions. In the text
    ``of_export``, what a superuser had made, and who loads may not, is left out with what stands on it.
    """
    said = []
    for number, found in enumerate(statements(stream), 1):
        if found.command:
            if problem := _command_fault(found.text):
                raise ExportError(problem)
        elif found.copies:
            with _usual(session, path):
                _copy(session, found, stream, number)
        elif of_export or not _PUBLIC.match(found.text):
            try:
                said += _definition(session, found.text, number, path)
            except _Beyond as error:
                if not of_export:
                    raise
                said.append(f"left out: {error}")
    return said


def fault(stream: Stream, is_a_dump: Callable[[], bool]) -> str:
    """Why a text could not take a database's place; empty where nothing is seen. ``is_a_dump`` says at the end whether the text
    calls itself one, which may be one of an empty database. Raise ExportError for what is no text.
    """
    makes = False
    for found in statements(stream):
        if found.command:
            if problem := _command_fault(found.text):
                return problem
        elif found.copies:
            for _ in rows(stream):
                pass
        else:
            makes = makes or _MAKES.match(found.text) is not None
    return "" if makes or is_a_dump() else "it makes no table and nothing else, so it is no dump of a database"


def _definition(session: Connection, text: bytes, number: int, path: str) -> list[str]:
    if _EXTENSION.match(text):
        return _own_extension(session, text)
    if _SUPERUSERS.match(text):
        return [f"left out, as only a superuser may make it: {_shown(text)}"]
    if runs := _RUNS.match(text):
        return _running(session, text, number, path, may_fail=bool(runs["refresh"]))
    if not _NOT_OURS.match(text):
        statement(session, _SCHEMA.sub(rb"CREATE SCHEMA IF NOT EXISTS \1", text), number)
    return []


def _own_extension(session: Connection, text: bytes) -> list[str]:
    """What is not there yet, the role may install itself where the administrator trusts the extension."""
    try:
        session.raw.execute(text)
    except psycopg.Error as error:
        return [f"left out: {_shown(text)}: {line(error)}"]
    return []


@contextmanager
def _usual(session: Connection, path: str) -> Iterator[None]:
    """Look for names in ``path`` for a while, where the text looks nowhere."""
    if session.value("SELECT current_setting('search_path')") not in ("", '""'):
        yield
        return
    session.rows("SELECT set_config('search_path', %s, false)", path)
    yield
    session.rows("SELECT set_config('search_path', '', false)")


def _running(session: Connection, text: bytes, number: int, path: str, *, may_fail: bool) -> list[str]:
    """A statement that runs functions: as the text means it, else with names found as usual."""
    try:
        session.raw.execute(text)
    except psycopg.Error:
        try:
            with _usual(session, path):
                statement(session, text, number)
        except ExportError as error:
            if not may_fail and not isinstance(error, _Beyond):
                raise
            session.rows("SELECT set_config('search_path', '', false)")
            if not may_fail:
                raise
            return [f"a materialized view has no rows: {error}"]
    return []


def statement(session: Connection, text: bytes, number: int) -> None:
    """Run one statement, the ``number``-th of its text. Raise ExportError."""
    try:
        session.raw.execute(text)
    except psycopg.Error as error:
        spared = error.sqlstate in _BEYOND and not _NEEDED.match(text)
        raise (_Beyond if spared else ExportError)(
            f"statement {number} was refused: {line(error)}: {_shown(text)}"
        ) from None


def _copy(session: Connection, found: Statement, stream: Stream, number: int) -> None:
    try:
        with session.raw.cursor() as cursor, cursor.copy(found.text) as copy:
            for piece in rows(stream):
                copy.write(piece)
    except psycopg.Error as error:
        raise ExportError(f"statement {number} was refused: {line(error)}: {_shown(found.text)}") from None


def _command_fault(command: bytes) -> str:
    if _ANOTHER.match(command):
        return f"the text holds several databases ({_shown(command)}); split it, and load each by itself"
    if not _HARMLESS.match(command):
        return f"the text has a command of the client program psql, which is not carried out: {_shown(command)}"
    return ""


def _shown(text: bytes) -> str:
    shown = " ".join(text[: _SHOWN + 1].decode("utf-8", "replace").split())
    return shown if len(text) <= _SHOWN else shown + " …"
