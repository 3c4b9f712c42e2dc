"""SQL text as statements, in pieces that cut it anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ExportError
from strongroom.exports import mysql_text, postgresql_text, stream
from strongroom.exports.stream import Stream

MYSQL = rb"""-- it's a comment; 'never closed
# nor "this;
/* nor ' this; */ SELECT 1;
SELECT 'a;b\';c''d', "e;\"f", `g;``h`; -- it's
/*!50001 SELECT ';' */ ; SELECT 1 - -1, 4 / 2 ;
DELIMITER //
CREATE TRIGGER x BEGIN SELECT 1; SELECT '//'; -- it's //
 SELECT 8 / 2; END //
delimiter ;
/*!50003 SET sql_mode              = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES' */ ;
SELECT 'a\', "b\"; SELECT 'it''s\';
SET @@SESSION.sql_mode = "ansi", @a = ';';
SELECT "a\", 'b\';';
SET @OLD_SQL_MODE = @@SQL_MODE, SQL_MODE = @saved_sql_mode;
SELECT "\";";
SELECT 2"""
MYSQL_STATEMENTS = [
    b"SELECT 1",
    rb"""SELECT 'a;b\';c''d', "e;\"f", `g;``h`""",
    b"/*!50001 SELECT ';' */",
    b"SELECT 1 - -1, 4 / 2",
    b"CREATE TRIGGER x BEGIN SELECT 1; SELECT '//'; -- it's //\n SELECT 8 / 2; END",
    b"/*!50003 SET sql_mode              = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES' */",
    rb"""SELECT 'a\', "b\"""",
    rb"SELECT 'it''s\'",
    b"""SET @@SESSION.sql_mode = "ansi", @a = ';' """.rstrip(),
    rb"""SELECT "a\", 'b\';'""",
    b"SET @OLD_SQL_MODE = @@SQL_MODE, SQL_MODE = @saved_sql_mode",
    rb'''SELECT "\";"''',
    b"SELECT 2",
]

POSTGRESQL = rb"""-- it's; "x
/* it's; */ SELECT 'a\' , E'b\';', "c;""d" ; SELECT $$ ; ' $$, $tag$ ; $$ $tag$, 'x'$1; \! ls
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; BEGIN; COMMIT;
COPY t (a) FROM stdin;
1;'
\\.
\.
COPY e FROM stdin;
\.
SELECT a$b, 1-1, 4/2, "end" ;"""
POSTGRESQL_STATEMENTS = [
    rb"""SELECT 'a\' , E'b\';', "c;""d" """.rstrip(),
    b"SELECT $$ ; ' $$, $tag$ ; $$ $tag$, 'x'$1",
    rb"\! ls",
    b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
    b"BEGIN",
    b"COMMIT",
    b"COPY t (a) FROM stdin",
    b"rows:1;'\n\\\\.\n",
    b"COPY e FROM stdin",
    b"rows:",
    b'SELECT a$b, 1-1, 4/2, "end"',
]


def pieces(content: bytes, cuts: set[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
    yield from (content[start:end] for start, end in zip(places, places[1:], strict=False))


@given(st.sets(st.integers(1, len(MYSQL))))
def test_statements_of_mariadb_end_where_its_client_ends_them(cuts: set[int]) -> None:
    found = [statement.text for statement in mysql_text.statements(Stream(pieces(MYSQL, cuts)))]
    assert found == MYSQL_STATEMENTS


@given(st.sets(st.integers(1, len(POSTGRESQL))))
def test_statements_of_postgresql_end_where_its_client_ends_them(cuts: set[int]) -> None:
    text = Stream(pieces(POSTGRESQL, cuts))
    found = []
    for statement in postgresql_text.statements(text):
        found.append(statement.text)
        if statement.copies:
            found.append(b"rows:" + b"".join(postgresql_text.rows(text)))
    assert found == POSTGRESQL_STATEMENTS


@pytest.mark.parametrize("text", ["'", '"', "`", "/*", "$$", "a" * 10])
def test_what_never_ends_does_not_fill_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_STATEMENT", 1 << 20)
    for read in (mysql_text.statements, postgresql_text.statements):
        endless = iter(lambda: b"y" * 65536, b"")
        with pytest.raises(ExportError, match="a statement without an end"):
            for _ in read(Stream(_first(b"SELECT " + text.encode(), endless))):
                pass


def _first(block: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield block
    yield from rest
