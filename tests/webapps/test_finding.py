"""Apps are found where people install them, by files alone, and nothing of a stranger's leads out of his account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import UnknownError
from strongroom.panel import load_layout
from strongroom.panel.folder import Folder
from strongroom.webapps.base import App, Found, Kind
from strongroom.webapps.finding import Finder
from strongroom.webapps.kinds import SHIPPED, all_kinds
from strongroom.webapps.states import States
from tests.panel.servers import configured, site, write
from tests.webapps import packages
from tests.webapps.kinds import SHAPES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/home/virtual").mkdir(parents=True)
    return tmp_path / "root"


def finder(root: Path, **server: Any) -> Finder:
    return Finder(load_layout(configured(root, **server)), all_kinds(), States(os.fsencode(root.parent / "state")))


def plant(folder: Path, kind: str) -> None:
    for name, content in SHAPES[kind].files.items():
        write(folder / name, content)


def ids(root: Path) -> list[str]:
    return [app.app for app in finder(root).all()]


@pytest.mark.parametrize("kind", SHAPES)
def test_a_kind_is_known_by_its_files_and_its_settings_are_read(root: Path, kind: str) -> None:
    shape = SHAPES[kind]
    data = site(root, 1, "one.com") / "shadow"
    plant(data / "var/www/html", kind)
    app: App
    (app,) = finder(root).all()
    assert (app.app, app.account, app.kind, app.path) == ("site1:/var/www/html", "site1", kind, b"/var/www/html")
    assert (app.version, app.database) == (shape.version, shape.database)
    login = app.login
    assert ((login.user, login.password, login.host, login.prefix) if login else ("", "", "", "")) == shape.login
    served = {"laravel": "public/", "magento": "pub/"}.get(kind, "")
    assert app.url == (shape.url or f"http://one.com/{served}")
    assert (app.snapshots, app.assurance, app.state.locked, app.state.failed) == (False, False, "none", "")
    assert "pw" not in repr(app)


def test_an_app_that_says_what_it_is_says_what_of_it_is_written(root: Path) -> None:
    data = site(root, 1, "one.com") / "shadow"
    plant(data / "var/www/html", "adhoc")
    (app,) = finder(root).all()
    assert (app.title, app.writable) == ("Our own", {"max": (b"storage",), "min": (b".",)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b"a: [" * 5000,
        b"a: &a [x]\nb: [*a, *a]\n",
        b"!!python/object/apply:os.system [ls]",
        b"x" * 70000,
    ],
)
def test_a_manifest_that_cannot_be_read_is_an_app_of_which_nothing_is_known(root: Path, content: bytes) -> None:
    write(site(root, 1, "one.com") / "shadow/var/www/html/.webapp.yml", content)
    (app,) = finder(root).all()
    assert (app.kind, app.version, app.login) == ("adhoc", "", None)


def test_real_applications_are_known(root: Path) -> None:
    data = site(root, 1, "one.com") / "shadow"
    for name, package in (("html", "wordpress"), ("wiki", "dokuwiki")):
        (data / "var/www").mkdir(parents=True, exist_ok=True)
        os.symlink("../../" * 9, data / "var/www/.up")
        (data / "var/www/.up").unlink()
        source = Path(os.fsdecode(packages.app(package))) / "usr/share" / package
        # Only what is looked at, so that nothing is copied: marks and settings are files, not links.
        for mark in ("wp-includes/version.php", "doku.php", "inc/init.php", "VERSION"):
            if (source / mark).is_file():
                write(data / "var/www" / name / mark, (source / mark).read_bytes())
    assert [(app.kind, app.version, app.tried) for app in finder(root).all()] == [
        ("wordpress", "6.1.9", True),
        ("dokuwiki", "2022-07-31b", True),
    ]


def test_apps_are_found_beside_and_below_each_other_and_no_deeper_than_people_install_them(root: Path) -> None:
    www = site(root, 1, "one.com") / "shadow/var/www"
    plant(www / "html", "wordpress")
    plant(www / "html/blog", "wordpress")
    plant(www / "html/wp-content/plugins/deep", "joomla")
    plant(www / "sub/a/b/forum", "phpbb")
    plant(www / "sub/a/b/c/forum", "phpbb")
    plant(www / "app", "laravel")
    plant(www / "sub/node_modules", "joomla")
    assert ids(root) == [
        "site1:/var/www/app",
        "site1:/var/www/html",
        "site1:/var/www/html/blog",
        "site1:/var/www/sub/a/b/forum",
    ]


def test_an_app_is_the_folder_above_the_one_that_is_served(root: Path) -> None:
    folder = site(root, 1, "one.com", "two.com")
    data = folder / "shadow"
    write(folder / "info/domain_map", "two.com /home/virtual/site1/fst/home/admin/shop/public\n")
    plant(data / "home/admin/shop", "laravel")
    (data / "home/admin/shop/.env").unlink()
    plant(data / "var/www/project/web", "drupal")
    write(data / "var/www/project/composer.json", "{}")
    found = {app.app: (app.document_root, app.url) for app in finder(root).all()}
    assert found == {
        "site1:/home/admin/shop": (b"/home/admin/shop/public", "http://two.com/"),
        "site1:/var/www/project": (b"/var/www/project/web", ""),
    }


def test_links_and_what_is_behind_them_are_no_apps(root: Path, tmp_path: Path) -> None:
    plant(tmp_path / "outside", "wordpress")
    plant(site(root, 2, "two.com") / "shadow/var/www/html", "wordpress")
    data = site(root, 1, "one.com") / "shadow"
    (data / "var/www/inner").mkdir(parents=True)
    (data / "var/www/html").symlink_to(tmp_path / "outside")
    (data / "var/www/other").symlink_to("../../../../site2/shadow/var/www/html")
    (data / "var/www/inner/wp-includes").symlink_to(tmp_path / "outside/wp-includes")
    (data / "var/subdomain/x").mkdir(parents=True)
    (data / "var/subdomain/x/html").symlink_to("../../../../../site2/shadow/var/www/html")
    plant(data / "var/www/real", "wordpress")
    (data / "var/www/real/wp-config.php").unlink()
    (data / "var/www/real/wp-config.php").symlink_to(tmp_path / "outside/wp-config.php")
    os.mkfifo(data / "var/www/real/.webapp.yml")
    assert [(app.app, app.kind, app.login) for app in finder(root).all() if app.account == "site1"] == [
        ("site1:/var/www/real", "adhoc", None)
    ]


def test_what_settings_say_of_a_url_counts_only_for_hosts_of_the_account(root: Path) -> None:
    html = site(root, 1, "one.com") / "shadow/var/www/html"
    for said, url in (
        ("https://www.one.com", "https://www.one.com/"),
        ("https://evil.example/", "http://one.com/"),
        ("http://[", "http://one.com/"),
        ("http://one.com.evil.example", "http://one.com/"),
    ):
        plant(html, "wordpress")
        write(html / "wp-config.php", f"<?php define('WP_HOME', '{said}');")
        (app,) = finder(root).all()
        assert app.url == url


def test_an_app_is_asked_for_by_its_id_by_a_domain_or_by_its_account_alone(root: Path) -> None:
    plant(site(root, 1, "one.com") / "shadow/var/www/html", "wordpress")
    two = site(root, 2, "two.com") / "shadow/var/www"
    plant(two / "html", "dokuwiki")
    plant(two / "html/shop", "magento")
    for reference in ("site1:/var/www/html", "one.com:/var/www/html/", "site1", "one.com"):
        assert finder(root).find(reference).app == "site1:/var/www/html"
    assert finder(root).find("two.com:/var/www/html/shop").kind == "magento"
    for reference in ("site2", "site2:", "site1:/var/www", "site3"):
        with pytest.raises(UnknownError):
            finder(root).find(reference)


def test_a_plain_account_is_looked_through_as_a_whole(root: Path) -> None:
    plant(root / "srv/anna/public_html/wiki", "mediawiki")
    write(
        root / "srv/anna/public_html/wiki/LocalSettings.php",
        '<?php $wgDBtype = "sqlite"; $wgSQLiteDataDir = "/d"; $wgDBname = "w";',
    )
    (app,) = finder(root, layout="plain", accounts=(b"/srv/*",)).all()
    assert (app.app, app.url, app.database) == ("anna:/public_html/wiki", "", "sqlite:/d/w.sqlite")


def test_names_that_are_no_text_are_found_again_by_their_id(root: Path) -> None:
    www = os.fsencode(site(root, 1, "one.com") / "shadow/var/www")
    plant(Path(os.fsdecode(www + b"/w\xff")), "dokuwiki")
    (app,) = finder(root).all()
    assert app.app == "site1:/var/www/w\udcff"
    assert finder(root).find(app.app) == app


def test_a_folder_with_too_much_in_it_ends_the_look(root: Path) -> None:
    www = site(root, 1, "one.com") / "shadow/var/www"
    for number in range(60):
        for inner in range(60):
            (www / f"html/{number}/{inner}").mkdir(parents=True)
    asked = []

    class Counting(Kind):
        name = title = "counting"
        marks = (b".",)

        def recognise(self, folder: Folder) -> Found | None:
            asked.append(1)
            return None

    one = Finder(load_layout(configured(root)), [Counting()], States(b"/nowhere"))
    assert list(one.all()) == []
    assert len(asked) <= 2000


def test_every_shipped_kind_is_an_entry_point() -> None:
    import tomllib
    from importlib import import_module

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    named = []
    for target in project["project"]["entry-points"]["strongroom.webapps"].values():
        module, _, kind = target.partition(":")
        named.append(getattr(import_module(module), kind))
    assert sorted(type(kind).__name__ for kind in SHIPPED) == sorted(kind.__name__ for kind in named)


def test_states_are_kept_for_each_app(root: Path) -> None:
    plant(site(root, 1, "one.com") / "shadow/var/www/html", "dokuwiki")
    states = States(os.fsencode(root.parent / "state"))
    app = finder(root).find("site1")
    states.change(app, locked="minor", failed="it broke")
    assert finder(root).find("site1").state.failed == "it broke"
    assert finder(root).find("site1").state.locked == "minor"
    states.forget(app)
    assert finder(root).find("site1").state == App.__struct_defaults__[-1]
