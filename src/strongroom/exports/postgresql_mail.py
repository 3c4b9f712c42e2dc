"""The panel's map of mail in a PostgreSQL server: of the whole server for a rebuild, and one account's rows of it.

An account's rows are statements of one form that we write, ``INSERT INTO public.TABLE (columns) VALUES (texts)``, and that
alone is read back: values go to the server as values, never as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier, Placeholder

from strongroom.errors import ExportError
from strongroom.exports.postgresql_connection import Connection, line, literal, quoted
from strongroom.exports.postgresql_text import statements
from strongroom.exports.stream import Stream
from strongroom.model import Account

DATABASE = "appldb"
TABLES = ("siteinfo", "uids", "gids", "domain_lookup", "email_lookup")

_DOMAINS, _ADDRESSES = "domain_lookup", "email_lookup"
_HEADER = b"-- Mail domains and addresses of one account\n"
_END = b"-- End of the mail domains and addresses\n"
_SITE = re.compile(r"site([1-9][0-9]{0,8})")

_NAME = r'"(?:[^"]|"")*"'
_VALUE = r"(?:NULL|E?'(?:[^']|'')*')"
_ROW = re.compile(
    rf"INSERT INTO public\.({_DOMAINS}|{_ADDRESSES}) \(({_NAME}(?:, {_NAME})*)\) VALUES \(({_VALUE}(?:, {_VALUE})*)\)"  # noqa: S608  (a pattern)
)


class Row(NamedTuple):
    """A row of one of the two tables, its values as text by column."""

    table: str
    values: dict[str, str | None]

    @property
    def domain(self) -> str:
        """The domain it is about."""
        return self.values.get("domain") or ""


def site_of(account: Account) -> int | None:
    """The number by which the panel's map knows an account; None for one that is no panel's."""
    found = _SITE.fullmatch(account.name)
    return int(found[1]) if found else None


def is_there(connection: Connection) -> bool:
    """Whether a server has the panel's own database."""
    return bool(connection.rows("SELECT FROM pg_database WHERE datname = %s AND datallowconn", DATABASE))


def missing(connection: Connection) -> list[str]:
    """Which of the tables the panel's database does not have."""
    there = {name for (name,) in connection.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    return [table for table in TABLES if table not in there]


def rows(connection: Connection, site: int) -> Iterator[bytes]:
    """The rows of one account, of one moment, in an order of their own; the end mark is last."""
    connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    yield _HEADER
    yield from _statements(connection, _DOMAINS, "site_id = %s", site)
    own = "domain IN (SELECT domain FROM public.domain_lookup WHERE site_id = %s)"
    yield from _statements(connection, _ADDRESSES, own, site)
    yield _END


def _statements(connection: Connection, table: str, condition: str, site: int) -> Iterator[bytes]:
    columns = _columns(connection, table)
    if not columns:
        raise ExportError(f"database {DATABASE} has no table {table}")
    texts = ", ".join(f"{quoted(name)}::text" for name in columns)
    # Tables and conditions are ours, columns are quoted.
    begins = f"INSERT INTO public.{table} ({', '.join(map(quoted, columns))}) VALUES ("  # noqa: S608
    order = ", ".join(str(number) for number in range(1, len(columns) + 1))
    # Names of columns may have a percent sign, which would be a place for a value.
    query = f"SELECT {texts.replace('%', '%%')} FROM public.{table} WHERE {condition} ORDER BY {order}"  # noqa: S608
    for row in connection.rows(query, site):
        values = ", ".join("NULL" if value is None else literal(value) for value in row)
        yield f"{begins}{values});\n".encode()


def _columns(connection: Connection, table: str) -> list[str]:
    """The columns that a row can be given, in their order."""
    found = connection.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped "
        "AND attgenerated = '' ORDER BY attnum",
        f"public.{table}",
    )
    return [name for (name,) in found]


def load_rows(connection: Connection, site: int, text: Iterator[bytes]) -> list[str]:
    """Put an account's rows back, all or none; return what was left out, and why.

    Of the domains in the text, the account has then the addresses in the text. Its other domains stay as they are, and a
    domain that is another account's by now stays that one's, with its addresses.
    """
    found, said = _read(text)
    domains = {row.domain: row for row in found if row.table == _DOMAINS}
    taken = dict(
        connection.rows("SELECT domain, site_id FROM public.domain_lookup WHERE domain = ANY (%s)", list(domains))
    )
    foreign = {domain for domain, owner in taken.items() if owner != site}
    said += [f"{domain} was left out: it is site{taken[domain]}'s by now" for domain in sorted(foreign)]
    own = set(domains) - foreign
    addresses = [row for row in found if row.table == _ADDRESSES and row.domain not in foreign]
    said += [
        f"an address of {row.domain!r} was left out: no domain of the account's"
        for row in addresses
        if row.domain not in own
    ]
    try:
        with connection.raw.transaction():
            for domain in sorted(own - set(taken)):
                _insert(connection, _DOMAINS, domains[domain].values | {"site_id": str(site)})
            connection.raw.execute("DELETE FROM public.email_lookup WHERE domain = ANY (%s)", [list(own)])
            for row in addresses:
                if row.domain in own:
                    _insert(connection, _ADDRESSES, row.values)
    except psycopg.Error as error:
        raise ExportError(f"mail domains and addresses of site{site} stay as they are: {line(error)}") from None
    return said


def _insert(connection: Connection, table: str, values: dict[str, str | None]) -> None:
    columns = SQL(", ").join(map(Identifier, values))
    places = SQL(", ").join([Placeholder()] * len(values))
    query = SQL("INSERT INTO public.{} ({}) VALUES ({})").format(Identifier(table), columns, places)
    connection.raw.execute(query, list(values.values()))


def _read(text: Iterator[bytes]) -> tuple[list[Row], list[str]]:
    """The rows of a text, and what is none. Raise ExportError for one that was cut short."""
    end = _End(text)
    found, said = [], []
    for statement in statements(Stream(iter(end))):
        wanted = statement.text.decode("utf-8", "surrogateescape")
        row = _row(wanted)
        if row:
            found.append(row)
        else:
            said.append(f"left out, as it is no row of the mail map: {wanted[:60]}")
    if not end.reached:
        raise ExportError("the mail domains and addresses were cut short: their end mark is missing")
    return found, said


class _End:
    """Passes pieces on, and knows whether the end mark was last."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._last = pieces, b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._last = (self._last + piece)[-len(_END) :]
            yield piece

    @property
    def reached(self) -> bool:
        return self._last == _END


def _row(statement: str) -> Row | None:
    found = _ROW.fullmatch(statement)
    if not found:
        return None
    columns = [name[1:-1].replace('""', '"') for name in re.findall(_NAME, found[2])]
    values = [_plain(value) for value in re.findall(_VALUE, found[3])]
    return Row(found[1], dict(zip(columns, values, strict=True))) if len(columns) == len(values) else None


def _plain(value: str) -> str | None:
    if value == "NULL":
        return None
    plain = value.removeprefix("E")[1:-1].replace("''", "'")
    return plain.replace("\\\\", "\\") if value.startswith("E") else plain
