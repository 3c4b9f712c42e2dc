"""An account's rows of the panel's mail map: its own and nobody else's, out and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from strongroom.config import Postgresql
from strongroom.errors import ExportError
from strongroom.exports.base import DatabaseServer
from strongroom.exports.feed import AccountExports, no_previous
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import MAIL_ROWS, Account, Exported
from tests.servers.mariadb import MariaDB
from tests.servers.panel import Panel, panel
from tests.servers.postgresql import PostgreSQL

# Without databases of its own: it has mail in any case.
SITE = Account(name="site1")
MINE = ("example.com", "shop.example.com")


@pytest.fixture
def mail(postgresql: PostgreSQL) -> Iterator[Panel]:
    with panel(postgresql) as found:
        yield found


@pytest.fixture
def server(postgresql: PostgreSQL) -> PostgresqlServer:
    return PostgresqlServer(postgresql.settings)


def drawn(account: Account, *servers: DatabaseServer) -> tuple[dict[bytes, bytes], Exported]:
    exports = AccountExports(account, [account], servers, no_previous)
    files = {file.path: b"".join(file.pieces) for file in exports.files()}
    return files, exports.result()


def pieces(text: bytes) -> Iterator[bytes]:
    return iter([text[at : at + 7] for at in range(0, len(text), 7)])


def test_an_account_exports_its_rows_and_nobody_elses(mail: Panel, server: PostgresqlServer, mariadb: MariaDB) -> None:
    files, result = drawn(SITE, MysqlServer(mariadb.settings), server)
    assert list(files) == [MAIL_ROWS]
    assert (result.databases, result.incomplete, result.remarks) == ((), False, ())
    text = files[MAIL_ROWS]
    assert text.count(b"INSERT INTO public.domain_lookup") == 2
    assert text.count(b"INSERT INTO public.email_lookup") == 3
    for other in (b"example.org", b"example.net", b"20000"):
        assert other not in text
    assert drawn(SITE, server)[0] == files


def test_where_there_is_no_map_there_are_no_rows(server: PostgresqlServer) -> None:
    files, result = drawn(SITE, server)
    assert (files, result.incomplete, result.remarks) == ({}, False, ())
    with pytest.raises(ExportError, match="no panel's map of mail"):
        server.load_mail_rows(SITE, iter([b""]))


def test_an_account_that_is_no_panels_has_none(mail: Panel, server: PostgresqlServer) -> None:
    for name in ("shop", "site", "site01", "site1x", "xsite1"):
        assert not server.may_map_mail(Account(name=name))
        assert drawn(Account(name=name), server)[0] == {}


def test_a_map_that_cannot_be_read_makes_the_point_incomplete(mail: Panel, server: PostgresqlServer) -> None:
    mail.run("DROP TABLE email_lookup")
    _, result = drawn(SITE, server)
    assert result.incomplete
    assert [remark.message for remark in result.remarks] == [
        "the account's domains and addresses in the panel's map of mail are not whole: database appldb has no table email_lookup"
    ]


def test_a_server_that_is_down_makes_the_point_incomplete(mail: Panel, postgresql: PostgreSQL) -> None:
    _, result = drawn(SITE, PostgresqlServer(Postgresql(host="/nowhere", user="postgres")))
    assert result.incomplete
    assert [remark.path for remark in result.remarks] == [MAIL_ROWS]
    assert "cannot be reached" in result.remarks[0].message


@pytest.mark.parametrize(
    "loss",
    [
        ["DELETE FROM domain_lookup WHERE site_id = 1"],
        [
            "DELETE FROM email_lookup WHERE domain = 'example.com'",
            "UPDATE email_lookup SET alias_destination = 'x@y.z'",
        ],
        ["INSERT INTO email_lookup VALUES ('new', 'example.com', NULL, 'x@y.z', 'a', NULL, B'1')"],
        [],
    ],
)
def test_the_rows_come_back_as_they_were_and_others_stay(
    mail: Panel, server: PostgresqlServer, loss: list[str]
) -> None:
    before = mail.domains(), mail.addresses(*MINE)
    text = drawn(SITE, server)[0][MAIL_ROWS]
    mail.run(*loss)
    others = mail.addresses("example.org")
    assert server.load_mail_rows(SITE, pieces(text)) == []
    assert (mail.domains(), mail.addresses(*MINE)) == before
    assert mail.addresses("example.org") == others
    assert drawn(SITE, server)[0][MAIL_ROWS] == text


def test_the_plain_client_of_the_server_loads_them_too(mail: Panel, server: PostgresqlServer) -> None:
    before = mail.domains(), mail.addresses(*MINE)
    text = drawn(SITE, server)[0][MAIL_ROWS]
    mail.run("DELETE FROM domain_lookup WHERE site_id = 1", text.decode())
    assert (mail.domains(), mail.addresses(*MINE)) == before


def test_domains_that_came_since_stay_and_those_that_went_to_others_stay_theirs(
    mail: Panel, server: PostgresqlServer
) -> None:
    text = drawn(SITE, server)[0][MAIL_ROWS]
    mail.run(
        "UPDATE domain_lookup SET site_id = 2 WHERE domain = 'shop.example.com'",
        "UPDATE email_lookup SET alias_destination = 'theirs@example.org' WHERE domain = 'shop.example.com'",
        "INSERT INTO domain_lookup VALUES ('new.example.com', 1)",
        "INSERT INTO email_lookup VALUES ('new', 'new.example.com', NULL, 'x@y.z', 'a', NULL, B'1')",
    )
    before = mail.domains(), mail.addresses("shop.example.com", "new.example.com")
    assert server.load_mail_rows(SITE, pieces(text)) == ["shop.example.com was left out: it is site2's by now"]
    assert (mail.domains(), mail.addresses("shop.example.com", "new.example.com")) == before


def test_an_account_with_another_number_gets_the_rows_of_its_point(mail: Panel, server: PostgresqlServer) -> None:
    text = drawn(SITE, server)[0][MAIL_ROWS]
    before = mail.addresses(*MINE)
    mail.run("DELETE FROM domain_lookup WHERE site_id = 1")
    assert server.load_mail_rows(Account(name="site11"), pieces(text)) == []
    assert [row for row in mail.domains() if row[1] == 11] == [(name, 11) for name in sorted(("example.net", *MINE))]
    assert mail.addresses(*MINE) == before


@pytest.mark.parametrize("cut", [0, 1, 30, 200])
def test_what_was_cut_short_changes_nothing(mail: Panel, server: PostgresqlServer, cut: int) -> None:
    text = drawn(SITE, server)[0][MAIL_ROWS]
    mail.run("DELETE FROM email_lookup WHERE domain = 'example.com'")
    before = mail.domains(), mail.addresses(*MINE)
    with pytest.raises(ExportError, match="cut short"):
        server.load_mail_rows(SITE, pieces(text[:-cut] if cut else b""))
    assert (mail.domains(), mail.addresses(*MINE)) == before


def test_what_the_server_refuses_changes_nothing(mail: Panel, server: PostgresqlServer) -> None:
    text = drawn(SITE, server)[0][MAIL_ROWS]
    mail.run("ALTER TABLE email_lookup ADD CHECK (\"user\" <> 'info') NOT VALID")
    before = mail.domains(), mail.addresses(*MINE)
    with pytest.raises(ExportError, match="stay as they are"):
        server.load_mail_rows(SITE, pieces(text))
    assert (mail.domains(), mail.addresses(*MINE)) == before


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE public.email_lookup",
        "DELETE FROM public.domain_lookup",
        "INSERT INTO public.siteinfo (\"site_id\", \"domain\") VALUES ('3', 'x.y')",
        'INSERT INTO public.domain_lookup ("domain", "site_id") VALUES (\'x.y\', (SELECT 1))',
        'INSERT INTO public.domain_lookup ("domain", "site_id") VALUES (\'x.y\')',
        "INSERT INTO public.domain_lookup (domain) SELECT 'x.y'",
        "INSERT INTO public.email_lookup (\"user\", \"domain\", \"type\") VALUES ('evil', 'example.org', 'a')",
        'INSERT INTO public.email_lookup ("user", "domain", "type") VALUES (\'evil\', NULL, \'a\')',
        "INSERT INTO public.domain_lookup (\"domain\", \"site_id\") VALUES ('example.org', '1')",
    ],
)
def test_what_is_no_row_of_the_accounts_is_left_out(mail: Panel, server: PostgresqlServer, statement: str) -> None:
    text = drawn(SITE, server)[0][MAIL_ROWS]
    before = mail.domains(), mail.addresses(*MINE, "example.org", "example.net")
    lines = text.decode().splitlines(keepends=True)
    hostile = "".join([*lines[:-1], statement + ";\n", lines[-1]]).encode()
    said = server.load_mail_rows(SITE, pieces(hostile))
    assert len(said) == 1 and "left out" in said[0]
    assert (mail.domains(), mail.addresses(*MINE, "example.org", "example.net")) == before


def test_mysql_has_no_map(mariadb: MariaDB) -> None:
    with pytest.raises(ExportError, match="not in MySQL"):
        MysqlServer(mariadb.settings).load_mail_rows(SITE, iter([b""]))
