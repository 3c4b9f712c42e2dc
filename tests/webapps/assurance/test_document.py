"""Pages reduced to what they are made of, whatever they hold."""

from __future__ import annotations

import pytest

from strongroom.webapps.assurance import choosing
from strongroom.webapps.assurance.document import read
from strongroom.webapps.assurance.faults import in_log, in_text

URL = "http://shop.example/a/"


def test_assets_are_the_apps_own_and_whole() -> None:
    page = read(
        '<link rel="preload stylesheet" href="../s.css"><script src="//shop.example/x.js"></script><img src="i.png">'
        '<script src="https://cdn.example/y.js"></script><img src="data:image/png;base64,AA"><img src="http://[bad">',
        URL,
    )
    assert page.assets == {
        "http://shop.example/s.css": "stylesheet",
        "http://shop.example/x.js": "script",
        "http://shop.example/a/i.png": "image",
    }


def test_links_are_those_of_the_content() -> None:
    html = '<nav><a href="/n">n</a></nav><main><a href="/m">m</a><a href="/m#x">m</a><a href="mailto:a@b">a</a></main>'
    assert read(html, URL).links == ("http://shop.example/m",)


def test_the_structure_knows_no_text_and_no_sentences() -> None:
    one = read("<html><body><main><p>One <b>bold</b> word.</p></main></body></html>", URL)
    other = read("<html><body><main><p>Other</p><p><a href='/x'>words</a></p></main></body></html>", URL)
    assert one.structure == other.structure
    assert "html>body>main>p" in one.structure


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<",
        "<html",
        "</p></p>",
        "<p>" * 5000,
        "<!--" * 5000,
        "\0<b\0>",
        "<title>" + "x" * 100_000,
        "<script>" + "<" * 10_000,
        "&#1114112;&#xD800;",
        "<a href='http://[::1/'>x</a>",
    ],
    ids=range(11),
)
def test_whatever_a_page_holds_something_comes_of_it(html: str) -> None:
    assert read(html, URL).content >= 0


@pytest.mark.parametrize(
    ("text", "kind", "severe"),
    [
        ("Fatal error: Uncaught Error: Call to undefined function f() in /srv/a.php:12 Stack trace:", "php", True),
        ("Parse error: syntax error, unexpected end of file in /srv/a.php on line 9", "php", True),
        ("Deprecated: Function x() is deprecated in /srv/a.php on line 9", "php", False),
        ("Error establishing a database connection", "database", True),
        ("SQLSTATE[42S02]: Base table or view not found", "database", True),
        ('ERROR: relation "page" does not exist', "database", True),
        ("There has been a critical error on this website.", "app", True),
    ],
)
def test_faults_in_pages(text: str, kind: str, severe: bool) -> None:
    found = in_text(f"before {text} after")
    assert (found[0].kind, found[0].severe) == (kind, severe)


def test_pages_that_speak_of_errors_have_none() -> None:
    assert in_text("How to fix a fatal error: restart. A warning in time saves nine. Notice: closed on Monday.") == ()


def test_faults_in_logs_are_one_another_time() -> None:
    line = "[25-Nov-2026 10:0{} UTC] PHP Fatal error:  Uncaught Error: x in /srv/a.php:{}\n"
    assert in_log(line.format(1, 2)) == in_log(line.format(3, 4))
    assert [fault.severe for fault in in_log("PHP Warning:  Undefined variable $x in /srv/a.php on line 2\n")] == [
        False
    ]


def test_pages_come_from_logs_and_sitemaps_once_each() -> None:
    log = "".join(
        f'1.2.3.4 - - [25/Nov/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} 12 "-" "-"\n'
        for path, status in [("/b", 200), ("/a", 200), ("/a", 200), ("/x.css", 200), ("/gone", 404), ("/logout", 200)]
    )
    assert choosing.visited(log) == ["/a", "/b"]
    assert choosing.locations("<urlset><url><loc> http://shop.example/c?a=1&amp;b=2 </loc></url></urlset>") == [
        "http://shop.example/c?a=1&b=2"
    ]
    found = choosing.chosen(
        "http://shop.example/",
        [
            ("login", ["wp-login.php"]),
            ("post", ["/a/", "http://other.example/x", "/feed/"]),
            ("visited", ["/a", "/b", "/c", "/d"]),
            ("sitemap", ["/e"]),
        ],
        6,
    )
    assert [(page.role, page.url.removeprefix("http://shop.example")) for page in found] == [
        ("home", "/"),
        ("login", "/wp-login.php"),
        ("post", "/a/"),
        ("visited", "/b"),
        ("visited", "/c"),
        ("sitemap", "/e"),
    ]
