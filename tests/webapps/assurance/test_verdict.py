"""What two looks say of the change between them: what breaks an app fails it, what changes it does not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from strongroom.config.values import Webapps
from strongroom.webapps.assurance.document import read
from strongroom.webapps.assurance.look import Asset, Fault, Look, Page
from strongroom.webapps.assurance.verdict import Sort, compare, failed

URL = "http://shop.example/"
HTML = """<!doctype html><html><head><title>Shop</title><link rel="stylesheet" href="/a.css?ver=1">
<script src="/a.js"></script></head><body><header><nav><ul><li><a href="/b">B</a></li></ul></nav></header>
<main><article><h1>Tulips</h1><p>{text}</p><img src="/tulip.jpg"></article><article><h1>Roses</h1><p>Red.</p></article></main>
<form><input type="password"></form><footer><p>Version 1.0</p></footer></body></html>"""
LIMITS = Webapps()


def seen(html: str, **more: Any) -> Page:
    document = read(html, URL)
    page = Page(
        url=URL,
        role="home",
        status=200,
        lands="/",
        seconds=0.2,
        size=len(html),
        kind="text/html",
        content=document.content,
        title=document.title,
        structure=document.structure,
        landmarks=document.landmarks,
        whole=document.whole,
        faults=document.faults,
        assets=tuple(document.assets),
    )
    return replace(page, **more)


def look(page: Page, *assets: Asset, faults: tuple[Fault, ...] = ()) -> Look:
    return Look(started=0, finished=1, pages=(page,), assets=assets, faults=faults)


BEFORE = HTML.format(text="Many tulips. " * 100)
STYLE = Asset(url=URL + "a.css?ver=1", kind="stylesheet")
PICTURE = Asset(url=URL + "tulip.jpg", kind="image")


def sorts(before: Look, after: Look, limits: Webapps = LIMITS) -> set[Sort]:
    """What fails the change."""
    return {each.sort for each in compare(before, after, limits) if each.fails}


HARMLESS = {
    "nothing": BEFORE,
    "another text": HTML.format(text="Fewer tulips! " * 90),
    "a new version in the footer": BEFORE.replace("Version 1.0", "Version 2.0"),
    "another picture": BEFORE.replace("tulip.jpg", "tulip-2.jpg"),
    "a new hash of the stylesheet": BEFORE.replace("a.css?ver=1", "a.css?ver=2"),
    "another nonce": BEFORE.replace("<body>", '<body><input type="hidden" name="nonce" value="1f2e3d">'),
    "an hour later": BEFORE.replace("Red.", "Posted at 12:00"),
    "other order": BEFORE.replace("Tulips", "X").replace("Roses", "Tulips").replace("X", "Roses"),
    "one post more": BEFORE.replace("<main>", "<main><article><h1>New</h1><p>Very new.</p></article>"),
    "another title": BEFORE.replace("<title>Shop", "<title>The new shop"),
    "new elements": BEFORE.replace("<footer>", "<aside><dl><dt>a</dt><dd>b</dd></dl></aside><footer>"),
    "inline style and script": BEFORE.replace("<body>", "<body><style>" + "p {} " * 900 + "</style><script>1</script>"),
    "a code example that speaks of errors": BEFORE.replace(
        "Red.", "<code>Fatal error: Uncaught x in /a.php on line 1</code>"
    ),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_what_pages_say_may_change(change: str) -> None:
    after = look(seen(HARMLESS[change]), replace(STYLE, url=URL + "a.css?ver=2"), PICTURE)
    evidence = compare(look(seen(BEFORE), STYLE, PICTURE), after, LIMITS)
    assert not failed(evidence), evidence


BROKEN = {
    "an error": (seen(BEFORE, status=500), Sort.STATUS),
    "no answer": (seen(BEFORE, status=0, failure="Connection refused"), Sort.ANSWER),
    "a loop": (seen(BEFORE, status=0, failure="redirects lead in a circle"), Sort.REDIRECT),
    "leads elsewhere": (seen(BEFORE, lands="/wp-admin/install.php"), Sort.REDIRECT),
    "leads to another host": (seen(BEFORE, lands="//evil.example/"), Sort.REDIRECT),
    "no text": (seen("<html><body></body></html>"), Sort.EMPTY),
    "nothing at all": (seen(""), Sort.EMPTY),
    "cut": (seen(BEFORE[: BEFORE.index("<footer")]), Sort.CUT),
    "much less text": (seen(HTML.format(text="Tulips.")), Sort.DRIFT),
    "another page": (seen("<html><body><table><tr><td>hello</td></tr></table></body></html>"), Sort.STRUCTURE),
    "no login": (seen(BEFORE.replace('type="password"', 'type="text"')), Sort.LANDMARK),
    "no stylesheet": (seen(BEFORE.replace("stylesheet", "icon")), Sort.LANDMARK),
    "an alarming title": (seen(BEFORE.replace("<title>Shop", "<title>Database Error")), Sort.TITLE),
    "a fatal error": (
        seen(BEFORE.replace("Red.", "<b>Fatal error</b>: Uncaught Error: no in <b>/var/x.php</b> on line <b>3</b>")),
        Sort.FAULT,
    ),
    "a warning": (seen(BEFORE.replace("Red.", "Warning: Undefined variable $x in /var/x.php on line 3")), Sort.FAULT),
    "a database error": (seen(BEFORE.replace("Red.", "Table 'shop.wp_posts' doesn't exist")), Sort.FAULT),
    "slow": (seen(BEFORE, seconds=11.0), Sort.SLOW),
}


@pytest.mark.parametrize("change", BROKEN)
def test_what_pages_are_may_not(change: str) -> None:
    after, sort = BROKEN[change]
    assert sort in sorts(look(seen(BEFORE)), look(after))


@pytest.mark.parametrize("change", BROKEN)
def test_a_page_that_was_broken_before_cannot_fail_an_update(change: str) -> None:
    after, _ = BROKEN[change]
    evidence = compare(look(seen(BEFORE, status=503)), look(after), LIMITS)
    assert not failed(evidence)
    assert evidence, "it is told all the same"


def test_the_same_fault_as_before_is_no_new_one() -> None:
    page = BEFORE.replace("Red.", "Warning: Undefined variable $x in /var/x.php on line {}")
    assert not sorts(look(seen(page.format(3))), look(seen(page.format(17))))


def test_thresholds_are_settings() -> None:
    less = look(seen(HTML.format(text="Many tulips. " * 60)))
    assert not sorts(look(seen(BEFORE)), less)
    assert sorts(look(seen(BEFORE)), less, Webapps(assurance_drift=10)) == {Sort.DRIFT}
    slow = look(seen(BEFORE, seconds=3.0))
    assert not sorts(look(seen(BEFORE)), slow)
    assert sorts(look(seen(BEFORE)), slow, Webapps(slow_seconds=2)) == {Sort.SLOW}
    assert not sorts(look(seen(BEFORE)), slow, Webapps(slow_seconds=2, slow_factor=20))


@pytest.mark.parametrize(
    ("before", "after", "fails"),
    [
        (STYLE, replace(STYLE, failure="status 404"), True),
        (STYLE, replace(STYLE, url=URL + "a.css?ver=2", failure="status 404"), True),
        (PICTURE, replace(PICTURE, failure="status 404"), True),
        (STYLE, Asset(url=URL + "new.css", kind="stylesheet", failure="status 404"), True),
        (PICTURE, Asset(url=URL + "new.jpg", kind="image", failure="status 404"), False),
        (replace(STYLE, failure="status 404"), replace(STYLE, failure="status 404"), False),
        (STYLE, Asset(url=URL + "new.css", kind="stylesheet"), False),
    ],
)
def test_assets_that_stop_loading(before: Asset, after: Asset, fails: bool) -> None:
    evidence = compare(look(seen(BEFORE), before), look(seen(BEFORE), after), LIMITS)
    assert failed(evidence) is fails


def test_new_faults_in_logs() -> None:
    severe, mild = Fault(kind="php", text="Fatal error: x"), Fault(kind="php", text="Warning: x", severe=False)
    clean = look(seen(BEFORE))
    assert sorts(clean, look(seen(BEFORE), faults=(severe,))) == {Sort.LOG}
    assert not sorts(clean, look(seen(BEFORE), faults=(mild,)))
    assert not sorts(look(seen(BEFORE), faults=(severe,)), look(seen(BEFORE), faults=(severe,)))


def test_evidence_is_whole_sentences_with_what_was_compared() -> None:
    (found,) = compare(look(seen(BEFORE)), look(seen(BEFORE, status=502)), LIMITS)
    assert found.text == "the page is an error (status 200 before, status 502 now)"
    assert (found.page, found.before, found.after) == (URL, "status 200", "status 502")
