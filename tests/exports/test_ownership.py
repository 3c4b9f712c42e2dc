"""Whose a database is: the longest prefix, the owner, or the name; and never two accounts'."""

from __future__ import annotations

import pytest

from strongroom.exports.base import Owned
from strongroom.exports.ownership import is_servers, known, of_each, own_user, owned
from strongroom.model import Account, DatabaseClaim


def account(name: str, **claim: object) -> Account:
    return Account(name=name, claims=(DatabaseClaim(engine="mysql", **claim),))  # type: ignore[arg-type]


SHOP = account("site1", prefix="shop_", user="shopadmin")
LONGER = account("site2", prefix="shop_eu_", user="euadmin")
OTHER = account("site3", prefix="blog_", user="bloguser")
NAMED = account("named", names=("shop", "wiki"))
ALL = [SHOP, LONGER, OTHER, NAMED]


@pytest.mark.parametrize(
    ("database", "users", "owner"),
    [
        ("shop_wp", (), "site1"),
        ("shop_eu", (), "site1"),
        ("shop_eu_wp", (), "site2"),
        ("shop_", ("stranger",), "site1"),
        ("shop", (), "named"),
        ("forum", ("bloguser", "stranger"), "site3"),
        ("forum", (), None),
        ("SHOP_wp", (), None),
    ],
)
def test_a_database_has_one_owner(database: str, users: tuple[str, ...], owner: str | None) -> None:
    found = {one.name: owned("mysql", one, ALL, {database: users}).names for one in ALL}
    assert {name for name, names in found.items() if names} == ({owner} if owner else set())


@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_the_servers_own_are_nobodys_to_make(engine: str) -> None:
    claims = (DatabaseClaim(engine=engine, prefix="shop_", names=("mysql", "template1")),)
    asked = ["mysql", "MySQL", "sys", "information_schema", "performance_schema", "shop_new", "new"]
    asked += ["postgres", "template0", "template1"]
    free = owned(engine, Account(name="site1", claims=claims), [], {}, asked).free
    assert not [name for name in free if is_servers(engine, name)]
    assert {"shop_new", "new"} <= set(free) and len(free) == (5 if engine == "mysql" else 7)


def test_two_owners_are_named_and_neither_has_it() -> None:
    databases = {"shop_wp": ("bloguser",), "shop_x": ()}
    contested = {"shop_wp": "belongs to site1 and site3; make it one account's"}
    assert owned("mysql", SHOP, ALL, databases) == Owned(names=("shop_x",), contested=contested)
    assert owned("mysql", OTHER, ALL, databases) == Owned(contested=contested)
    twin = account("site9", prefix="shop_")
    assert (
        owned("mysql", twin, [*ALL, twin], {"shop_x": ()}).contested["shop_x"].startswith("belongs to site1 and site9;")
    )


def test_all_accounts_at_once_have_what_each_has() -> None:
    databases = {
        "shop_wp": ("bloguser",),
        "shop_x": (),
        "shop_eu_wp": (),
        "wiki": (),
        "forum": ("bloguser",),
        "nobodys": (),
    }
    assert of_each("mysql", ALL, databases) == {one.name: owned("mysql", one, ALL, databases) for one in ALL}


def test_another_engines_claims_count_for_nothing() -> None:
    assert owned("postgresql", SHOP, ALL, {"shop_wp": ()}) == Owned()


def test_an_account_without_claims_has_nothing() -> None:
    assert owned("mysql", Account(name="server"), ALL, {"shop_wp": (), "": ()}) == Owned()


def test_users_are_an_accounts_by_the_same_rules() -> None:
    assert own_user("mysql", SHOP, ALL, "shopadmin")
    assert own_user("mysql", SHOP, ALL, "shop_wp")
    assert not own_user("mysql", SHOP, ALL, "shop_eu_wp")
    assert not own_user("mysql", SHOP, ALL, "root")


def test_some_databases_are_known_without_their_server() -> None:
    assert known("mysql", NAMED) == ("shop", "wiki")
    assert known("mysql", Account(name="site1", databases=("mysql:shop_wp", "postgresql:x"), claims=SHOP.claims)) == (
        "shop_wp",
    )
    assert known("mysql", SHOP) == ()
