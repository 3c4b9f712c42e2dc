"""The apps that tests stand on are real ones."""

from __future__ import annotations

from tests.webapps.ground import DATABASE, Apps, Press


def test_wordpress_is_installed(shop: Apps, press: Press) -> None:
    assert (shop.docroot(1) / "wp-includes/version.php").is_file()
    assert press.mariadb.rows("SELECT post_title FROM wp_posts WHERE post_title LIKE 'Tulips%%'", database=DATABASE)


def test_dokuwiki_is_whole(wiki: Apps) -> None:
    for name in ("doku.php", "inc/init.php", "lib/tpl/dokuwiki/main.php", "conf/dokuwiki.php", "data/pages/start.txt"):
        assert (wiki.docroot(2) / name).is_file(), name
