"""What reading an SQL text of MariaDB already shows of why it could not be loaded: before anything is dropped for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from strongroom.exports.mysql_after import shown
from strongroom.exports.mysql_names import DATABASE, USE, listed
from strongroom.exports.mysql_split import END
from strongroom.exports.mysql_text import statements
from strongroom.exports.stream import Stream

# How statements begin that a dump, or somebody who wrote one by hand, may have; conditional comments are the server's to judge.
_SQL = re.compile(
    rb"/\*M?!|\(|(?:ALTER|ANALYZE|BEGIN|CALL|CHANGE|CHECK|COMMIT|CREATE|DEALLOCATE|DELETE|DO|DROP|EXECUTE|FLUSH|GRANT|INSERT|LOAD|"
    rb"LOCK|OPTIMIZE|PREPARE|RELEASE|RENAME|REPLACE|REVOKE|ROLLBACK|SAVEPOINT|SELECT|SET|SHOW|START|TABLE|TRUNCATE|UNLOCK|UPDATE|"
    rb"USE|VALUES|WITH)\b",
    re.IGNORECASE,
)
# The server's own files, which no user of a database has anything to do with.
_FILES = re.compile(rb"LOAD\s+(?:DATA|XML)\b|SELECT\b(?:[^'\"]|'[^']*'|\"[^\"]*\")*\bINTO\s+(?:OUT|DUMP)FILE\b", re.IGNORECASE)
_MAKES = re.compile(rb"(?:/\*M?!\d*\s*)?CREATE\b(?!\s+(?:USER|ROLE)\b)", re.IGNORECASE)
# Who says so of a database that is empty says it honestly.
_HEADS = (END, b"-- phpMyAdmin SQL Dump")


def fault(sql: Iterator[bytes]) -> str:
    """Why a text could not take a database's place; empty where nothing is seen. Raise ExportError for what is no text."""
    names: set[bytes] = set()
    makes = False

    def hear(comment: bytes) -> None:
        nonlocal makes
        makes = makes or any(head in comment for head in _HEADS)

    for number, statement in enumerate(statements(Stream(sql), hear), 1):
        text = statement.text
        named = USE.match(text) or DATABASE.match(text)
        if named:
            names.add(named.group(1).strip(b"`'\""))
            if len(names) > 1:
                return f"the text holds several databases ({listed(names)}); split it, and load each by itself"
        elif not _SQL.match(text):
            return f"statement {number} is no SQL: {shown(text)}"
        elif _FILES.match(text):
            return f"statement {number} is about files of the server, which is not allowed: {shown(text)}"
        else:
            makes = makes or _MAKES.match(text) is not None
    return "" if makes else "it makes no table and nothing else, so it is no dump of a database"
