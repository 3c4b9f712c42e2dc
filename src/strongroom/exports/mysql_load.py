"""The way back into MariaDB: SQL text as statements of a temporary user, never through a client program.

A client program has commands of its own (``\\!``, ``source``); here such a line is merely no SQL. The user may touch one
database alone: what the text tries beyond it, the server refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from strongroom.config import Mysql
from strongroom.errors import ExportError
from strongroom.exports import mysql_after, ownership
from strongroom.exports.base import MYSQL
from strongroom.exports.manifest import Manifest, Reader, Table, checked
from strongroom.exports.mysql_after import Before, Refused, is_view, root_cause, shown, views_again, without_standins
from strongroom.exports.mysql_connection import Connection, quoted
from strongroom.exports.mysql_definers import Definers, settle
from strongroom.exports.mysql_names import DATABASE, NAME, OPEN, USE, listed
from strongroom.exports.mysql_split import MODE
from strongroom.exports.mysql_temporary import ready_to_load, temporary_user
from strongroom.exports.mysql_text import statements
from strongroom.exports.stream import Stream

# Rows are sent so many bytes at a time.
_GROUP = 1 << 20
_ROW_END = b");\n"

_INSERT = re.compile(rb"INSERT INTO (`(?:[^`]|``)+`) (?:\((?:`(?:[^`]|``)+`(?:, )?)+\) )?VALUES \(")

_SESSION = (
    "SET time_zone = '+00:00'",
    # What a table was allowed to be, and its rows to hold, when they were made.
    "SET unique_checks = 0, foreign_key_checks = 0 /*M!, check_constraint_checks = 0, innodb_strict_mode = 0 */",
    f"SET sql_mode = {MODE.decode()}",
)
_DEFINER = re.compile(
    rb"\A("
    + OPEN
    + rb"CREATE\s*(?:\*/\s*)?"
    + OPEN
    + rb"(?:OR\s+REPLACE\s*)?(?:ALGORITHM\s*=\s*\w+\s*)?(?:\*/\s*)?"
    + OPEN
    + rb")DEFINER\s*=\s*(?:CURRENT_(?:USER|ROLE)(?:\s*\(\s*\))?|"
    + NAME
    + rb"(?:\s*@\s*"
    + NAME
    + rb")?)",
    re.IGNORECASE,
)
# What dumps of replicated servers set for the whole server, and is not the database's.
_REPLICATION = re.compile(
    rb"\ASET\s+@(?:@(?:SESSION|GLOBAL)\.(?:SQL_LOG_BIN|GTID_PURGED)|MYSQLDUMP_TEMP_LOG_BIN)", re.IGNORECASE
)
_FOREIGN_KEY = re.compile(rb",\n\s*CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY [^\n]*?(?=,?\n)")
_KEY_ELSEWHERE = re.compile(
    rb",\n\s*CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY [^\n]* REFERENCES `(?:[^`\n]|``)+`\.`[^\n]*?(?=,?\n)"
)


def load(
    settings: Mysql, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
) -> list[str]:
    """Replace what a database holds by a text that a stranger may have written; return what had to be left out. Where it fails,
    what ``before`` gives is put back.
    """
    with ready_to_load(settings) as root:
        try:
            return _loaded(settings, root, database, sql)
        except ExportError as error:
            if before is None:
                raise
            problem = error
        try:
            missing = _loaded(settings, root, database, before())
        except ExportError as error:
            raise ExportError(f"{problem}; nor could what it held be put back: {error}") from None
    but = f", but {'; '.join(missing)}" if missing else ""
    raise ExportError(f"{problem}; what it held was put back{but}")


def _loaded(settings: Mysql, root: Connection, database: str, sql: Iterator[bytes]) -> list[str]:
    _empty(root, database, {})
    with temporary_user(settings, database) as (session, maker):
        later: list[Refused] = []
        _run(session, without_standins(_permitted(sql)), later=later)
        if left := views_again(session, later):
            raise ExportError(root_cause(left))
        return list(settle(settings, database, maker, Definers(root, database)))


def load_export(settings: Mysql, database: str, manifest: Manifest, read: Reader) -> list[str]:
    """Replace what a database holds by an export; return what had to be left out."""
    found = checked(manifest, read)

    said: list[str] = []
    with ready_to_load(settings) as root:
        _empty(root, database, manifest.attributes)
        with temporary_user(settings, database) as (session, maker):
            _run(session, without_standins(_definitions(found("before.sql"))), said)
            for table in manifest.tables:
                _run(session, _grouped(found(table.file), table.identity.encode(), table.identity.encode()))
            refused = mysql_after.make(session, _definitions(found("after.sql")))
            definers = Definers(root, database, manifest.definers)
            refused = mysql_after.make_views(settings, database, definers, refused)
            return [*said, *map(str, refused), *settle(settings, database, maker, definers, reads_all=True)]


def load_table(settings: Mysql, database: str, manifest: Manifest, read: Reader, table: Table, into: str) -> list[str]:
    """Make one table of an export beside the live ones, under a new name; return the foreign keys that it comes without."""
    found = checked(manifest, read)
    with Connection(settings, database=database) as root:
        if root.rows("SHOW TABLES LIKE %s", into.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")):
            raise ExportError(f"mysql:{database} has a table {into!r} already; take another name")
    old, new = table.identity.encode(), quoted(into).encode()
    begins = b"CREATE TABLE " + old + b" ("
    created = [text for text in _definitions(found("before.sql")) if text.startswith(begins)]
    if len(created) != 1:
        raise ExportError(f"the export of mysql:{manifest.database} has no definition of table {table.name!r}")
    definition = _FOREIGN_KEY.sub(b"", b"CREATE TABLE " + new + created[0][len(begins) - 2 :])
    with ready_to_load(settings), temporary_user(settings, database) as (session, _):
        _run(session, [definition])
        try:
            _run(session, _grouped(found(table.file), old, new))
        except ExportError:
            session.run(f"DROP TABLE {quoted(into)}")
            raise
    return [f"without foreign key {key}" for key in manifest.foreign_keys if key.table == table.name]


def _empty(root: Connection, database: str, attributes: dict[str, str]) -> None:
    """Make the database, or drop all it holds. It stays itself: its folder may be a link to somewhere else."""
    if ownership.is_servers(MYSQL, database):
        raise ExportError(f"{MYSQL}:{database} is the server's own; nothing is loaded into it")
    name = quoted(database)
    root.run(f"CREATE DATABASE IF NOT EXISTS {name}")
    if attributes:
        wanted = (attributes["character_set"], attributes["collation"])
        root.run(f"ALTER DATABASE {name} CHARACTER SET {quoted(wanted[0])} COLLATE {quoted(wanted[1])}")
    root.run("SET foreign_key_checks = 0")
    things = root.rows("SELECT TABLE_TYPE, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", database)
    things += root.rows(
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s", database
    )
    things += root.rows("SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s", database)
    for kind, thing in things:
        word = (
            kind
            if kind in ("VIEW", "SEQUENCE", "PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY", "EVENT")
            else "TABLE"
        )
        root.drop(word, f"{name}.{quoted(thing)}")


def _run(
    session: Connection, work: Iterable[bytes], said: list[str] | None = None, later: list[Refused] | None = None
) -> None:
    """Run statements, the first that fails is the last. With ``said``, a table that is refused for keys to other databases is
    made without them, and that is told there. With ``later``, views that are refused go there.
    """
    before = Before()
    for setting in _SESSION:
        session.run(setting)
    for number, statement in enumerate(work, 1):
        try:
            session.run(statement)
        except ExportError as error:
            if later is not None and is_view(statement):
                later.append(before.refused(statement, error))
            elif said is not None and _KEY_ELSEWHERE.search(statement):
                session.run(_KEY_ELSEWHERE.sub(b"", statement))
                for key in _KEY_ELSEWHERE.findall(statement):
                    told = " ".join(key[1:].decode("utf-8", "replace").split())
                    said.append(f"a key to another database was left out: {told}")
            else:
                raise ExportError(f"statement {number} was refused: {error}: {shown(statement)}") from None
        before.ran(statement)


def _definitions(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The statements of a file of definitions, without definers: they are set when all is there."""
    for statement in statements(Stream(pieces)):
        yield _DEFINER.sub(rb"\1", statement.text, count=1)


def _grouped(pieces: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    """A file of rows as few long INSERTs. In values a line break is never one: see `mysql_split`."""
    stream = Stream(pieces)
    for _ in stream.until(b"INSERT INTO "):
        pass
    begun = stream.match(_INSERT)
    if begun is None or begun.group(1) != old:
        if stream.ended:
            return
        raise ExportError(_not_rows(old))
    begins = begun.group()
    instead = b"INSERT INTO " + new + begins[len(b"INSERT INTO " + old) :]
    while not stream.ended:
        rows = stream.skip(_GROUP) + b"".join(stream.until(_ROW_END)) + stream.skip(len(_ROW_END))
        if not rows.startswith(begins) or not rows.endswith(_ROW_END):
            raise ExportError(_not_rows(old))
        yield instead + rows[len(begins) : -2].replace(_ROW_END + begins, b"),\n(")


def _not_rows(table: bytes) -> str:
    return f"the file of rows of table {table.decode()} is not as it was written; take another point"


def _permitted(sql: Iterator[bytes]) -> Iterator[bytes]:
    """The statements of a stranger's text that belong into one database. Raise ExportError for a text of several."""
    names: set[bytes] = set()
    for statement in statements(Stream(sql)):
        named = USE.match(statement.text) or DATABASE.match(statement.text)
        if named:
            names.add(named.group(1).strip(b"`'\""))
            if len(names) > 1:
                raise ExportError(
                    f"the text holds several databases ({listed(names)}); split it, and load each by itself"
                )
        elif not _REPLICATION.match(statement.text):
            yield _DEFINER.sub(rb"\1", statement.text, count=1)
