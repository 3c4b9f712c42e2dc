from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from strongroom.model import Account, Remark, Status
from strongroom.runs.catalog import Catalog
from strongroom.runs.status import Report, report
from tests.fakes import START, FakeClient

ACCOUNTS = (Account(name="site1"), Account(name="site2"))


@pytest.fixture
def client() -> FakeClient:
    client = FakeClient()
    client.add("site1")
    client.add("site2")
    return client


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(os.fsencode(tmp_path), print) as catalog:
        yield catalog


def judged(catalog: Catalog, client: FakeClient, hours: float = 10, limit: float = 26) -> Report:
    catalog.refresh(client)
    return report(ACCOUNTS, catalog, "", START + timedelta(hours=hours), limit)


def test_all_covered_is_ok(catalog: Catalog, client: FakeClient) -> None:
    found = judged(catalog, client)
    assert not found.attention
    assert [coverage.age_seconds for coverage in found.accounts] == [9 * 3600, 8 * 3600]


def test_an_account_without_a_point_needs_attention(catalog: Catalog, client: FakeClient) -> None:
    client.forget([point.id for point in client.points() if point.account == "site2"])
    found = judged(catalog, client)
    assert found.attention
    assert found.accounts[1].problems == ("no point",)


def test_a_newest_point_that_is_incomplete_says_why_and_shows_the_last_good_one(
    catalog: Catalog, client: FakeClient
) -> None:
    good = client.points()[0]
    client.add(
        "site1",
        status=Status.INCOMPLETE,
        warnings=(Remark(path=b"data/x", message="cannot be read"), Remark(path=b"", message="y")),
    )
    found = judged(catalog, client)
    assert found.attention
    assert found.accounts[0].point == good.id
    assert "cannot be read (and 1 more)" in found.accounts[0].problems[0]


def test_an_account_that_was_never_complete_is_not_covered(catalog: Catalog, client: FakeClient) -> None:
    client.forget([point.id for point in client.points()])
    client.add("site1", status=Status.INCOMPLETE)
    found = judged(catalog, client)
    assert found.accounts[0].last_complete is None
    assert "no complete point" in found.accounts[0].problems


def test_a_point_that_is_too_old_needs_attention(catalog: Catalog, client: FakeClient) -> None:
    assert not judged(catalog, client, hours=27).attention
    found = judged(catalog, client, hours=27.5)
    assert found.accounts[0].problems == ("last complete point is 26 hours old",)
    assert not judged(catalog, client, hours=27.5, limit=48).attention


def test_a_point_from_the_future_needs_attention(catalog: Catalog, client: FakeClient) -> None:
    assert "future" in judged(catalog, client, hours=0).accounts[0].problems[0]


def test_an_account_that_is_gone_is_no_failure(catalog: Catalog, client: FakeClient) -> None:
    client.add("site7")
    found = judged(catalog, client)
    assert not found.attention
    assert found.gone == ("site7",)


def test_a_server_without_accounts_needs_attention(catalog: Catalog) -> None:
    assert report((), catalog, "", START).attention
