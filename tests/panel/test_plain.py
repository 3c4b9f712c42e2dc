"""The plain layout, on real trees, honest ones and hostile ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strongroom.config import AccountSettings, Config, Server, Vault
from strongroom.errors import ConfigError, SourceError, UnknownError
from strongroom.model import DatabaseClaim
from strongroom.panel.plain import Plain
from tests.panel.servers import configured, write


def layout(root: Path, *globs: str) -> Plain:
    return Plain(configured(root, layout="plain", accounts=tuple(map(os.fsencode, globs or ("/srv/*",)))))


def names(root: Path, *globs: str) -> list[str]:
    return [account.name for account in layout(root, *globs).accounts()]


def test_each_folder_is_an_account_with_one_location(tmp_path: Path) -> None:
    write(tmp_path / "srv/shop10/index.html")
    write(tmp_path / "srv/shop2/index.html")
    write(tmp_path / "srv/file")
    os.chown(tmp_path / "srv/shop2", 10002, 10002)
    two, ten = layout(tmp_path).accounts()
    assert (two.name, ten.name, set(two.users)) == ("shop2", "shop10", {10002})
    (location,) = two.locations
    assert (location.tree, location.path, location.select) == ("data", os.fsencode(tmp_path / "srv/shop2"), None)


def test_links_and_hidden_folders_are_no_accounts(tmp_path: Path) -> None:
    (tmp_path / "srv/real").mkdir(parents=True)
    (tmp_path / "srv/.trash").mkdir()
    (tmp_path / "srv/link").symlink_to("real")
    (tmp_path / "srv/etc").symlink_to("/etc")
    assert names(tmp_path) == ["real"]
    assert names(tmp_path, "/srv/.*", "/srv/r[e]al", "/srv/link") == [".trash", "real"]


def test_a_link_before_the_first_wildcard_is_the_administrators_own(tmp_path: Path) -> None:
    (tmp_path / "disk/shop").mkdir(parents=True)
    (tmp_path / "srv").symlink_to("disk")
    assert names(tmp_path) == ["shop"]


def test_a_link_planted_below_a_wildcard_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "home/anna/www").mkdir(parents=True)
    (tmp_path / "home/mallory").mkdir()
    (tmp_path / "home/mallory/www").symlink_to(tmp_path / "home/anna/www")
    (tmp_path / "home/mallory/sites").symlink_to(tmp_path / "home")
    assert [account.locations[0].path for account in layout(tmp_path, "/home/*/www").accounts()] == [
        os.fsencode(tmp_path / "home/anna/www")
    ]
    with pytest.raises(SourceError):
        names(tmp_path, "/home/*/sites/*")


def test_one_folder_by_two_globs_is_one_account(tmp_path: Path) -> None:
    (tmp_path / "srv/shop").mkdir(parents=True)
    assert names(tmp_path, "/srv/*", "/srv/shop") == ["shop"]


def test_two_folders_of_one_name_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "srv/shop").mkdir(parents=True)
    (tmp_path / "www/shop").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"server\.accounts: .*/srv/shop and .*/www/shop have the same name"):
        names(tmp_path, "/srv/*", "/www/*")


def test_a_folder_may_not_be_called_server(tmp_path: Path) -> None:
    (tmp_path / "srv/server").mkdir(parents=True)
    with pytest.raises(ConfigError, match="means the server itself"):
        names(tmp_path)


def test_globs_that_match_nothing_are_refused_rather_than_empty(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"matches server\.accounts \(/srv/\*\)"):
        names(tmp_path)


def test_a_root_with_the_characters_of_globs_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a[b]*/srv/shop").mkdir(parents=True)
    assert names(tmp_path / "a[b]*") == ["shop"]


def test_the_vault_and_the_state_are_no_accounts_and_in_none(tmp_path: Path) -> None:
    for folder in ("srv/shop/vault", "srv/state", "srv/other"):
        (tmp_path / folder).mkdir(parents=True)
    config = Config(
        path=b"/etc/strongroom/config.toml",
        server=Server(
            layout="plain", root=os.fsencode(tmp_path), accounts=(b"/srv/*",), state=os.fsencode(tmp_path / "srv/state")
        ),
        vault=Vault(url=str(tmp_path / "srv/shop/vault"), passphrase_file=os.fsencode(tmp_path / "srv/other/key")),
    )
    other, shop = Plain(config).accounts()
    assert [item.pattern for item in other.locations[0].exclude] == [b"/key"]
    assert [item.pattern for item in shop.locations[0].exclude] == [b"/vault"]


def test_the_data_of_a_database_server_below_an_account_is_left_out_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "var/lib/mysql").mkdir(parents=True)
    (account,) = layout(tmp_path, "/var").accounts()
    left_out = {item.pattern: item.reason for item in account.locations[0].exclude}
    assert "corrupt" in left_out[b"/lib/mysql"]


def test_a_name_that_is_not_utf8_is_an_account_under_its_escaped_name(tmp_path: Path) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/srv/caf\xe9")
    account = layout(tmp_path).account("caf\\xe9")
    assert account.locations[0].path.endswith(b"/srv/caf\xe9")


def test_databases_come_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "srv/shop").mkdir(parents=True)
    config = Config(
        path=b"/c.toml",
        server=Server(layout="plain", root=os.fsencode(tmp_path), accounts=(b"/srv/*",)),
        accounts={"shop": AccountSettings(databases=("mysql:shop",))},
    )
    assert Plain(config).account("shop").databases == ("mysql:shop",)


def test_a_list_of_users_counts_only_when_root_wrote_it(tmp_path: Path) -> None:
    for name in ("honest", "forged", "linked"):
        write(tmp_path / f"srv/{name}/etc/passwd", "a:x:20001:1\n")
        os.chown(tmp_path / f"srv/{name}", 10001, 10001)
    os.chown(tmp_path / "srv/forged/etc/passwd", 10001, 10001)
    os.link(tmp_path / "srv/linked/etc/passwd", tmp_path / "elsewhere")
    users = {account.name: account.users for account in layout(tmp_path).accounts()}
    assert users == {"honest": {10001, 20001}, "forged": {10001}, "linked": {10001}}


def test_an_account_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "srv/shop").mkdir(parents=True)
    for name in ("SHOP", "server", "../srv/shop"):
        with pytest.raises(UnknownError, match="strongroom accounts"):
            layout(tmp_path).account(name)


def test_the_server_account_holds_the_configuration_where_that_is_in_its_tree(tmp_path: Path) -> None:
    assert layout(tmp_path).server() is None
    config = Config(path=b"/etc/strongroom/config.toml", server=Server(layout="plain", accounts=(b"/srv/*",)))
    server = Plain(config).account("server")
    assert server.locations[0].select == (b"/etc/strongroom/config.toml",)


def test_databases_are_claimed_by_the_names_in_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / "srv/shop/index.html")
    settings = AccountSettings(databases=("mysql:shop", "postgresql:shop", "mysql:wiki:2"))
    server = Server(layout="plain", root=os.fsencode(tmp_path), accounts=(b"/srv/*",))
    (account,) = Plain(Config(path=b"/x.toml", server=server, accounts={"shop": settings})).accounts()
    assert account.claims == (
        DatabaseClaim(engine="mysql", names=("shop", "wiki:2")),
        DatabaseClaim(engine="postgresql", names=("shop",)),
    )
