from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.errors import UnknownError, UsageError
from strongroom.model import Status
from strongroom.panel import Layout, load_layout
from strongroom.runs.catalog import Catalog, Identity
from strongroom.runs.choosing import Wanted, choose_point, find_account, named_point, with_points
from tests.fakes import FakeClient
from tests.panel.servers import configured, site

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def client() -> FakeClient:
    client = FakeClient()
    for _ in range(3):
        client.add("site1", server="here", domains=("example.com",))
    client.add("site9", server="here", domains=("gone.example",))
    return client


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    site(tmp_path, 1, "example.com", "alias.example")
    return load_layout(configured(tmp_path))


@pytest.fixture
def catalog(tmp_path: Path, client: FakeClient) -> Iterator[Catalog]:
    with Catalog.open(os.fsencode(tmp_path / "state"), print) as catalog:
        catalog.refresh(client)
        yield catalog


def choose(catalog: Catalog, layout: Layout, name: str = "site1", **wanted: object) -> str:
    subject = find_account(name, layout, catalog, "here")
    return choose_point(subject, Wanted(**wanted), catalog, NOW).id  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["site1", "example.com", "alias.example"])
def test_an_account_goes_by_name_and_domain(layout: Layout, catalog: Catalog, name: str) -> None:
    subject = find_account(name, layout, catalog, "here")
    assert subject.who == Identity(server="here", account="site1")
    assert subject.account is not None


@pytest.mark.parametrize("name", ["site9", "gone.example", "GONE.example"])
def test_an_account_that_is_gone_is_found_in_its_points(layout: Layout, catalog: Catalog, name: str) -> None:
    subject = find_account(name, layout, catalog, "here")
    assert (subject.who.account, subject.account) == ("site9", None)


def test_a_machine_without_the_panels_tree_still_finds_accounts(tmp_path: Path, catalog: Catalog) -> None:
    bare = load_layout(configured(tmp_path / "nothing"))
    assert find_account("example.com", bare, catalog, "another").who.account == "site1"


def test_a_domain_of_several_accounts_is_told_with_what_to_write_instead(
    tmp_path: Path, layout: Layout, catalog: Catalog
) -> None:
    site(tmp_path, 3, "example.com")
    with pytest.raises(UsageError, match="site1 and site3; name the account by its siteN"):
        find_account("example.com", layout, catalog, "here")


def test_nobodys_name_is_unknown(layout: Layout, catalog: Catalog) -> None:
    with pytest.raises(UnknownError, match="nobody.example"):
        find_account("nobody.example", layout, catalog, "here")


def test_latest_is_the_newest_and_complete_passes_over(layout: Layout, catalog: Catalog, client: FakeClient) -> None:
    ids = [point.id for point in client.points() if point.account == "site1"]
    broken = client.add("site1", server="here", status=Status.INCOMPLETE)
    catalog.refresh(client)
    assert choose(catalog, layout) == choose(catalog, layout, point="latest") == broken.id
    assert choose(catalog, layout, complete=True) == ids[-1]


def test_a_point_of_databases_alone_is_passed_over_where_more_is_wanted(
    layout: Layout, catalog: Catalog, client: FakeClient
) -> None:
    whole = [point.id for point in client.points() if point.account == "site1"]
    partial = client.add("site1", server="here", only="databases")
    catalog.refresh(client)
    assert choose(catalog, layout) == choose(catalog, layout, part="files") == whole[-1]
    assert choose(catalog, layout, at="2030-01-01") == whole[-1]
    assert choose(catalog, layout, part="databases") == choose(catalog, layout, point=partial.id) == partial.id


def test_a_point_of_a_part_is_better_than_none(layout: Layout, catalog: Catalog, client: FakeClient) -> None:
    for point in [point for point in client.points() if point.account == "site1"]:
        client.forget([point.id])
    partial = client.add("site1", server="here", only="databases")
    catalog.refresh(client)
    assert choose(catalog, layout) == partial.id


def test_at_takes_the_newest_point_not_after_it(layout: Layout, catalog: Catalog, client: FakeClient) -> None:
    points = [point for point in client.points() if point.account == "site1"]
    assert choose(catalog, layout, at=points[1].time) == points[1].id
    assert choose(catalog, layout, at=points[1].time[:19] + "Z") == points[1].id
    assert choose(catalog, layout, at="2026-11-01T04:30:00Z") == points[1].id
    assert choose(catalog, layout, at="now") == points[2].id


def test_a_time_before_the_first_point_names_the_first(layout: Layout, catalog: Catalog, client: FakeClient) -> None:
    first = min(point.time for point in client.points() if point.account == "site1")
    with pytest.raises(UnknownError) as caught:
        choose(catalog, layout, at="2020-01-01")
    assert first in str(caught.value)


def test_point_and_at_contradict_each_other(layout: Layout, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="contradict"):
        choose(catalog, layout, point="latest", at="yesterday")


def test_a_point_that_is_named_has_to_be_what_else_was_asked_for(
    layout: Layout, catalog: Catalog, client: FakeClient
) -> None:
    partly = client.add("site1", status=Status.INCOMPLETE)
    catalog.refresh(client)
    for more in ({"complete": True}, {"client": "elsewhere"}):
        with pytest.raises(UsageError, match=f"point {partly.id} is "):
            choose(catalog, layout, point=partly.id, **more)
    assert choose(catalog, layout, point=partly.id, client=client.name) == partly.id


def test_another_accounts_point_is_refused(layout: Layout, catalog: Catalog, client: FakeClient) -> None:
    other = next(point.id for point in client.points() if point.account == "site9")
    with pytest.raises(UsageError, match="of site9, not of site1"):
        choose(catalog, layout, point=other)


def test_an_account_without_points_says_how_to_make_one(tmp_path: Path, catalog: Catalog, layout: Layout) -> None:
    site(tmp_path, 3, "fresh.example")
    with pytest.raises(UnknownError, match="strongroom backup site3"):
        choose(catalog, layout, name="site3")


def test_a_rebuilt_server_finds_the_old_ones_points(layout: Layout, catalog: Catalog) -> None:
    subject = find_account("site1", layout, catalog, "rebuilt")
    assert with_points(subject, catalog) == Identity(server="here", account="site1")


def test_a_stranger_with_the_same_name_on_another_server_is_not_taken_for_it(tmp_path: Path, catalog: Catalog) -> None:
    site(tmp_path / "other", 1, "stranger.example")
    subject = find_account("site1", load_layout(configured(tmp_path / "other")), catalog, "other")
    assert with_points(subject, catalog) == subject.who


def test_latest_alone_is_clear_while_one_account_has_points(catalog: Catalog, client: FakeClient) -> None:
    with pytest.raises(UsageError, match="site1, site9"):
        named_point("latest", catalog)
    newest = max((point for point in client.points() if point.account == "site1"), key=lambda point: point.seq)
    assert named_point("site1:latest", catalog).id == newest.id
    assert named_point("example.com:latest", catalog).id == newest.id
    client.forget([point.id for point in client.points() if point.account == "site9"])
    catalog.refresh(client)
    assert named_point("latest", catalog).id == newest.id


def test_latest_of_nothing_says_so(catalog: Catalog, client: FakeClient) -> None:
    with pytest.raises(UnknownError, match="nobody"):
        named_point("nobody:latest", catalog)
    client.forget([point.id for point in client.points()])
    catalog.refresh(client)
    with pytest.raises(UnknownError, match="strongroom backup"):
        named_point("latest", catalog)
