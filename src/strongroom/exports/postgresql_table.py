"""One table of an export under another name: those of its definitions that belong to it alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from strongroom.errors import ExportError
from strongroom.exports.postgresql_text import statements
from strongroom.exports.stream import Stream

_NAME = rb'(?:"(?:[^"]|"")+"|[^\s"(]+)'
# The sequence of an identity column gets a new name with its new table.
_SEQUENCE_NAME = re.compile(rb"\n\s*SEQUENCE NAME [^\n]*")


def table_statements(pieces: Iterator[bytes], old: str, new: str) -> list[bytes]:
    """The statements of a file of definitions that make a table, its defaults, keys and indexes, for its new name.

    Names of keys and indexes are left to the server, as the old ones are taken; foreign keys, triggers and what else would
    tie it to others are left out. Raise ExportError for a table that is part of others.
    """
    name = re.escape(old.encode())
    forms = (
        re.compile(rb"(CREATE (?:UNLOGGED )?TABLE )" + name + rb"( \()", re.DOTALL),
        re.compile(rb"(ALTER TABLE (?:ONLY )?)" + name + rb"(\s+ALTER COLUMN )"),
        re.compile(rb"(ALTER TABLE (?:ONLY )?)" + name + rb"(\s+ADD )CONSTRAINT " + _NAME + rb" (?!FOREIGN KEY|CHECK)"),
        re.compile(rb"(CREATE (?:UNIQUE )?INDEX )" + _NAME + rb" (ON )(?:ONLY )?" + name + rb"(?= )"),
    )
    found = []
    for statement in statements(Stream(pieces)):
        for form in forms:
            match = form.match(statement.text)
            if match:
                begins, then = match.groups()
                middle = new.encode() + then if form is not forms[3] else then + new.encode()
                found.append(_SEQUENCE_NAME.sub(b"", begins + middle + statement.text[match.end() :]))
                if form is forms[0] and re.search(rb"\n\)\s*INHERITS \(", statement.text):
                    raise ExportError(
                        f"table {old} inherits from another and cannot stand alone; restore the database beside"
                    )
    return found
