"""The apiscp layout, on real trees, honest ones and hostile ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from strongroom.config import Config, Server
from strongroom.errors import SourceError, UnknownError, UsageError
from strongroom.model import Account, DatabaseClaim, DocumentRoot, Location
from strongroom.panel.apiscp import Apiscp
from tests.panel.servers import configured, site, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "home" / "virtual").mkdir(parents=True)
    return tmp_path


def layout(root: Path) -> Apiscp:
    return Apiscp(configured(root))


def only(root: Path, *, details: bool = False) -> Account:
    (account,) = layout(root).accounts(details=details)
    return account


def trees(account: Account) -> dict[str, Location]:
    return {location.tree: location for location in account.locations}


def test_accounts_come_in_the_order_of_their_numbers(root: Path) -> None:
    for number in (10, 2, 1, 33):
        site(root, number, f"example{number}.com")
    assert [account.name for account in layout(root).accounts()] == ["site1", "site2", "site10", "site33"]


def test_an_account_is_what_its_info_says(root: Path) -> None:
    site(root, 1, "Example.com", "www2.example.net", "addon.org", user="anna", uid=10001)
    account = only(root)
    assert account.domains == ("example.com", "addon.org", "www2.example.net")
    assert (account.owner, account.suspended) == ("anna", None)
    assert account.users == {10001}


def test_only_shadow_and_info_are_backed_up_and_never_fst(root: Path) -> None:
    folder = site(root, 1, "example.com")
    write(folder / "fst/etc/motd", "composed")
    locations = trees(only(root))
    assert {tree: os.fsdecode(location.path) for tree, location in locations.items()} == {
        "data": f"{folder}/shadow",
        "info": f"{folder}/info",
    }
    assert [item.pattern for item in locations["data"].exclude] == [b"/var/lib/mysql", b"/var/lib/pgsql"]
    assert [item.pattern for item in locations["info"].exclude] == [b"/work"]
    assert all(item.reason for location in locations.values() for item in location.exclude)


def test_links_in_the_folder_of_sites_are_not_followed(root: Path) -> None:
    folder = site(root, 1, "example.com")
    (folder / "fst").mkdir()
    virtual = folder.parent
    (virtual / "example.com").symlink_to("site1/fst")
    (virtual / "admin1").symlink_to("site1/fst")
    (virtual / "site2").symlink_to("site1")
    (virtual / "FILESYSTEMTEMPLATE" / "siteinfo").mkdir(parents=True)
    (virtual / "site3").mkdir()
    write(virtual / "site4", "a file")
    (virtual / "site5x" / "shadow").mkdir(parents=True)
    assert [account.name for account in layout(root).accounts()] == ["site1"]
    with pytest.raises(UnknownError):
        layout(root).account("site2")


def test_an_account_that_lost_its_home_or_its_info_still_shows(root: Path) -> None:
    shutil.rmtree(site(root, 1, "one.com") / "shadow")
    shutil.rmtree(site(root, 2, "two.com") / "info")
    one, two = layout(root).accounts(details=True)
    assert (one.domains, list(trees(one)), one.users) == (("one.com",), ["info"], frozenset())
    assert (two.domains, list(trees(two)), two.users) == ((), ["data"], frozenset({10000}))


def test_an_account_that_lost_both_still_shows_as_long_as_its_folder_holds_something(root: Path) -> None:
    folder = site(root, 1, "one.com")
    for below in ("shadow", "info"):
        shutil.rmtree(folder / below)
    assert layout(root).accounts() == []
    (folder / "fst").mkdir()
    account = only(root)
    assert (account.name, account.locations, [tree for tree, _ in account.absent]) == ("site1", (), ["data", "info"])


def test_a_shadow_that_is_a_link_is_no_location(root: Path, tmp_path: Path) -> None:
    folder = site(root, 1, "one.com")
    shutil.rmtree(folder / "shadow")
    (folder / "shadow").symlink_to("/etc")
    assert list(trees(only(root, details=True))) == ["info"]


@pytest.mark.parametrize("name", ["site2", "SITE2", "two.com", "TWO.com", "addon.net"])
def test_an_account_is_found_by_each_of_its_names(root: Path, name: str) -> None:
    site(root, 1, "one.com")
    site(root, 2, "two.com", "Addon.net")
    assert layout(root).account(name).name == "site2"


@pytest.mark.parametrize("name", ["site3", "three.com", "", "..", "site1/../site2", "caf\udce9.com", "site1\n"])
def test_a_name_that_is_not_there_is_told_with_where_to_look(root: Path, name: str) -> None:
    site(root, 1, "one.com")
    site(root, 2, "two.com")
    with pytest.raises(UnknownError, match="strongroom accounts") as caught:
        layout(root).account(name)
    assert repr(name) in str(caught.value)
    assert str(caught.value).encode().isascii()


def test_a_primary_domain_goes_before_the_same_name_as_an_addon(root: Path) -> None:
    site(root, 1, "one.com", "two.com")
    site(root, 2, "two.com")
    assert layout(root).account("two.com").name == "site2"


def test_a_domain_of_two_accounts_names_both(root: Path) -> None:
    site(root, 1, "one.com", "both.com")
    site(root, 2, "two.com", "both.com")
    with pytest.raises(UsageError, match="site1 and site2"):
        layout(root).account("both.com")


def test_the_reason_of_a_suspension_is_shown_without_its_comments(root: Path) -> None:
    write(site(root, 1, "one.com") / "info/disabled", "# internal: ticket 5\n; hidden\nbill not paid\nsince May\n")
    write(site(root, 2, "two.com") / "info/disabled", "")
    assert [account.suspended for account in layout(root).accounts()] == ["bill not paid since May", "no reason given"]


def test_details_show_databases_and_mailboxes(root: Path) -> None:
    shadow = site(root, 1, "one.com", user="anna") / "shadow"
    (shadow / "var/lib/mysql/anna_wp").mkdir(parents=True)
    (shadow / "var/lib/mysql/anna_my@002dshop").mkdir()
    write(shadow / "var/lib/mysql/ib_logfile0")
    (shadow / "home/anna/Mail/cur").mkdir(parents=True)
    (shadow / "home/bob/Mail").mkdir(parents=True)
    (shadow / "home/carl").mkdir()
    account = only(root, details=True)
    assert account.databases == ("mysql:anna_my-shop", "mysql:anna_wp")
    assert account.mailboxes == ("anna@one.com", "bob@one.com")
    assert only(root).databases == ()


def test_root_is_never_an_accounts_own_user(root: Path) -> None:
    folder = site(root, 1, "one.com", uid=10001)
    write(
        folder / "shadow/etc/passwd",
        b"root:x:0:0\nanna:x:10001:1\nb\xffb:x:10002:1\nx:x:-5:1\ny:x:99999999999:1\nz\n:::\n",
    )
    assert only(root).users == {10001, 10002}


def test_links_planted_in_an_account_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "passwd", "mallory:x:4242:4242\n")
    write(outside / "Mail/cur/1")
    (outside / "stolen").mkdir()
    shadow = site(root, 1, "one.com") / "shadow"
    shutil.rmtree(shadow / "etc")
    (shadow / "etc").symlink_to(outside)
    shutil.rmtree(shadow / "home")
    (shadow / "home").symlink_to(tmp_path)
    (shadow / "var/www").mkdir(parents=True)
    (shadow / "var/www/html").symlink_to(outside)
    (shadow / "var/lib").symlink_to(outside)
    account = only(root, details=True)
    assert (account.users, account.databases, account.mailboxes) == (frozenset(), (), ())
    assert layout(root).document_roots(account) == (DocumentRoot(path=b"/var/www/html", hosts=("one.com",)),)


def test_a_passwd_that_is_a_link_names_nobody(root: Path, tmp_path: Path) -> None:
    passwd = site(root, 1, "one.com", uid=10001) / "shadow/etc/passwd"
    passwd.unlink()
    passwd.symlink_to(write(tmp_path / "other", "mallory:x:4242:4242\n"))
    assert only(root).users == frozenset()


def test_without_a_passwd_the_owners_of_its_homes_are_its_users(root: Path) -> None:
    shadow = site(root, 1, "one.com", uid=10001) / "shadow"
    (shadow / "etc/passwd").unlink()
    (shadow / "home/ftp").mkdir()
    mallory = write(shadow.parent / "elsewhere")
    os.chown(mallory, 4242, 4242)
    (shadow / "home/link").symlink_to(mallory)
    assert only(root).users == {10001}


def test_info_that_is_huge_a_pipe_or_junk_costs_only_what_it_would_have_said(root: Path) -> None:
    huge = site(root, 1, "one.com") / "info/current/siteinfo"
    os.truncate(huge, 1 << 30)
    pipe = site(root, 2, "two.com") / "info/current/siteinfo"
    pipe.unlink()
    os.mkfifo(pipe)
    junk = site(root, 3, "three.com", "addon.com") / "info/current/siteinfo"
    junk.write_bytes(bytes(range(256)) * 64)
    os.truncate(site(root, 4, "four.com") / "shadow/etc/passwd", 1 << 30)
    write(site(root, 5, "five.com") / "info/disabled", b"\xff\x00\x1b[31m\n")
    accounts = layout(root).accounts(details=True)
    assert [account.domains for account in accounts] == [(), (), ("addon.com",), ("four.com",), ("five.com",)]
    assert all(len(account.locations) == 2 for account in accounts)
    assert accounts[3].users == frozenset()


def test_names_that_are_not_utf8_are_shown_escaped_and_can_be_printed_as_json(root: Path) -> None:
    shadow = os.fsencode(site(root, 1, "one.com") / "shadow")
    os.makedirs(shadow + b"/home/caf\xe9/Mail")
    os.makedirs(shadow + b"/var/lib/mysql/@d800\xe9")
    account = only(root, details=True)
    assert "caf\\xe9@one.com" in account.mailboxes
    assert msgspec.json.encode([account.databases, account.mailboxes, account.domains])


def test_looking_changes_nothing(root: Path) -> None:
    folder = site(root, 1, "one.com")

    def inodes() -> dict[str, tuple[int, int]]:
        return {
            path: (status.st_mtime_ns, status.st_ctime_ns)
            for path, status in ((path, os.lstat(path)) for path, _, _ in os.walk(folder))
        }

    before = inodes()
    layout(root).accounts(details=True)
    assert inodes() == before


def test_no_descriptor_stays_open(root: Path) -> None:
    for number in range(1, 4):
        site(root, number, f"e{number}.com")
    before = len(os.listdir("/proc/self/fd"))
    layout(root).accounts(details=True)
    layout(root).account("e2.com", details=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_server_of_another_layout_is_refused_rather_than_empty(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"/home/virtual: No such file or directory; are server\.root"):
        layout(tmp_path).accounts()


def test_the_server_account_takes_what_a_rebuild_needs_each_with_its_reason(root: Path) -> None:
    server = layout(root).account("server")
    (location,) = server.locations
    assert (server.name, location.tree, location.path) == ("server", "data", os.fsencode(root))
    assert location.select is not None
    assert {b"/var/log/mailer_table*", b"/var/lib/mysql/mysql-grants*", b"/var/lib/pgsql/*/backups"} <= set(
        location.select
    )
    assert {b"/root/apnscp-vars.yml", b"/usr/local/apnscp/config/custom"} <= set(location.select)
    assert location.select == tuple(selection.pattern for selection in location.selections)
    assert all(selection.reason for selection in location.selections)
    assert [selection.pattern for selection in location.selections if not selection.required] == [
        b"/usr/local/apnscp/config/license.pem"
    ]


def test_the_configuration_is_part_of_its_server_and_no_secret_is(root: Path) -> None:
    root_bytes = os.fsencode(root)
    server = Server(root=root_bytes)
    outside = Apiscp(Config(path=b"/etc/strongroom/config.toml", server=server)).server().locations[0]
    inside = Apiscp(Config(path=root_bytes + b"/etc/strong[room]/config.toml", server=server)).server().locations[0]
    real = Apiscp(Config(path=b"/etc/strongroom/config.toml")).server().locations[0]
    assert not [pattern for pattern in outside.select or () if b"config.toml" in pattern]
    assert (inside.select or ())[-1] == b"/etc/strong[[]room]/config.toml"
    assert (real.select or ())[-1] == b"/etc/strongroom/config.toml"
    assert b"/etc/strongroom/passphrase" in [item.pattern for item in real.exclude]


def test_settings_are_part_of_their_server_once_there_are_any(root: Path) -> None:
    layout = Apiscp(configured(root, state=os.fsencode(root / "var/state")))
    before = layout.server().locations[0]
    (root / "var/state/settings").mkdir(parents=True)
    after = layout.server().locations[0]
    assert set(after.select or ()) - set(before.select or ()) == {b"/var/state/settings"}
    assert not [item for item in after.exclude if b"state" in item.pattern]


def test_a_vault_inside_an_account_does_not_hold_itself(root: Path) -> None:
    folder = site(root, 1, "one.com")
    config = configured(root, state=os.fsencode(folder / "shadow" / "my state"))
    (account,) = Apiscp(config).accounts()
    assert b"/my\\ state" in [item.pattern for item in trees(account)["data"].exclude]


def test_databases_are_claimed_by_prefix_and_administrator(root: Path) -> None:
    folder = site(root, 1, "example.com")
    write(folder / "info/current/mysql", "[DEFAULT]\nenabled = 1\ndbaseprefix = 'shop_'\ndbaseadmin = shopadmin\n")
    write(folder / "info/current/pgsql", "[DEFAULT]\nenabled = 1\ndbaseprefix = shop_\ndbaseadmin = None\n")
    assert only(root).claims == (
        DatabaseClaim(engine="mysql", prefix="shop_", user="shopadmin"),
        DatabaseClaim(engine="postgresql", prefix="shop_"),
    )


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        # Switched off, its data are kept as long as it has a prefix.
        ("enabled = 0\ndbaseprefix = shop_\n", (DatabaseClaim(engine="mysql", prefix="shop_"),)),
        ("enabled = 0\ndbaseprefix = None\ndbaseadmin = shopadmin\n", ()),
        ("enabled = 1\ndbaseadmin = shopadmin\n", (DatabaseClaim(engine="mysql", user="shopadmin"),)),
        ("enabled = 1\n", ()),
    ],
)
def test_a_service_that_is_off_keeps_what_it_has(root: Path, settings: str, claims: tuple[DatabaseClaim, ...]) -> None:
    write(site(root, 1, "example.com") / "info/current/mysql", f"[DEFAULT]\n{settings}")
    assert only(root).claims == claims


def test_what_is_served_of_an_account(root: Path) -> None:
    folder = site(root, 1, "one.com", "addon.com", "parked.com")
    shadow = folder / "shadow"
    for name in ("html", "shop", "forum", "cgi-bin", "addon"):
        (shadow / "var/www" / name).mkdir(parents=True)
    write(shadow / "var/www/a-file")
    write(folder / "info/domain_map", "addon.com\t/home/virtual/site1/fst/var/www/addon/\nbad line\nother.com :P:elsewhere\n")
    for name, target in (
        ("shop", "../../www/shop"),
        ("forum.addon.com", "/home/virtual/site9/fst/var/www/forum"),
        ("up", "../../../../../../etc"),
    ):
        (shadow / "var/subdomain" / name).mkdir(parents=True)
        (shadow / "var/subdomain" / name / "html").symlink_to(target)
    (shadow / "var/subdomain/plain/html").mkdir(parents=True)
    roots = {each.path: each.hosts for each in layout(root).document_roots(only(root))}
    assert roots == {
        b"/var/www/html": ("one.com", "parked.com"),
        b"/var/www/addon": ("addon.com",),
        b"/var/www/forum": ("forum.addon.com",),
        b"/var/subdomain/plain/html": ("plain.one.com",),
        b"/var/www/shop": ("shop.one.com",),
        b"/etc": ("up.one.com",),
    }
    assert layout(root).document_roots(Account(name="server")) == ()
