"""The probe's process: it becomes the owner, chooses pages, looks at what they refer to, and reads logs as him."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from strongroom.webapps.assurance import browser
from strongroom.webapps.assurance.look import Task
from strongroom.webapps.assurance.probe import look
from tests.webapps.assurance.serving import Answers, html, site, to

OWNER = 12345
TASK = Task(url="", uid=OWNER, gid=OWNER, page_seconds=60)


def test_pages_assets_and_faults() -> None:
    answers: Answers = {
        "/": html(
            '<link rel="stylesheet" href="/a.css"><script src="/gone.js"></script><main><a href="/post">p</a></main>'
        ),
        "/post": html("<img src=\"/picture.png\"><p>Table 'shop.posts' doesn't exist</p>", "A post"),
        "/login": html('<form><input type="password"></form>'),
        "/a.css": (200, {"Content-Type": "text/css"}, b"a {}"),
        "/picture.png": (200, {"Content-Type": "image/png"}, b"png"),
        "/sitemap.xml": (200, {"Content-Type": "text/xml"}, b"<urlset><url><loc>/deep</loc></url></urlset>"),
        "/deep": to("/post"),
    }
    with site(answers) as server:
        seen = look(replace(TASK, url=server.url, login=("login",)))
        again = look(replace(TASK, url=server.url, pages=()))
    assert [(page.role, page.url.removeprefix(server.url), page.lands, page.status) for page in seen.pages] == [
        ("home", "", "/", 200),
        ("login", "login", "/login", 200),
        ("post", "post", "/post", 200),
        ("sitemap", "deep", "/post", 200),
    ]
    assert seen.pages[1].landmarks == {"form": 1, "password": 1}
    assert [fault.kind for fault in seen.pages[2].faults] == ["database"]
    loaded = {asset.url.removeprefix(server.url): asset.failure for asset in seen.assets}
    assert loaded == {"a.css": "", "gone.js": "status 404", "picture.png": ""}
    assert seen.finished >= seen.started
    assert [page.role for page in again.pages] == ["home", "post", "sitemap"]


def test_a_page_for_what_is_not_there_is_no_stylesheet() -> None:
    with site({"/": html('<link rel="stylesheet" href="/a.css">'), "/a.css": html("not found")}) as server:
        (asset,) = look(replace(TASK, url=server.url)).assets
    assert asset.failure == "it is text/html"


def test_caches_are_passed_by() -> None:
    with site({"/": html("x")}) as server:
        look(replace(TASK, url=server.url))
        look(replace(TASK, url=server.url))
        asked = [path for path in server.asked if path.startswith("/?strongroom=")]
        assert len(set(asked)) >= 2


def test_logs_are_read_as_the_owner_and_only_what_is_new(passable: Path) -> None:
    own, hidden, link, pipe = (passable / name for name in ("error_log", "hidden", "link", "pipe"))
    own.write_text("PHP Fatal error:  old in /a.php on line 1\n")
    own.chmod(0o644)
    hidden.write_text("")
    hidden.chmod(0o600)
    link.symlink_to(own)
    os.mkfifo(pipe, 0o666)

    def page(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        with own.open("a") as file:
            file.write("PHP Fatal error:  new in /b.php on line 2\n")
        return html("x")

    with site({"/": page}) as server:
        logs = tuple(str(path) for path in (own, hidden, link, pipe, passable / "none"))
        seen = look(replace(TASK, url=server.url, logs=logs))
    assert [fault.text for fault in seen.faults] == ["Fatal error: new in /b.php"]
    assert any("hidden: Permission denied" in remark for remark in seen.remarks) or os.geteuid() != 0
    assert any("link" in remark for remark in seen.remarks)


def test_pages_come_from_the_access_log(passable: Path) -> None:
    log = passable / "access_log"
    log.write_text('1.2.3.4 - - [25/Nov/2026:10:00:00 +0000] "GET /visited HTTP/1.1" 200 12 "-" "-"\n' * 3)
    log.chmod(0o644)
    with site({"/": html("x"), "/visited": html("y")}) as server:
        seen = look(replace(TASK, url=server.url, visits=(str(log),)))
    assert [page.role for page in seen.pages] == ["home", "visited"]


@pytest.mark.skipif(not browser.found(), reason="no Chromium here; install it with: tools/setup browser")
def test_a_browser_sees_pictures_and_errors_of_scripts() -> None:
    with site({"/": html("<h1>x</h1><script>nowhere(1)</script>"), "/fine": html("y")}) as server:
        seen = look(replace(TASK, url=server.url, browser=browser.found()))
    (page,) = seen.pages
    assert page.picture, seen.remarks
    assert [(fault.kind, fault.text) for fault in page.faults] == [
        ("javascript", "ReferenceError: nowhere is not defined")
    ]


def test_a_browser_that_does_not_work_is_told_and_stops_nothing() -> None:
    with site({"/": html("x")}) as server:
        seen = look(replace(TASK, url=server.url, browser=str(shutil.which("false"))))
    assert seen.pages[0].status == 200
    assert any(remark.startswith("no pictures and no errors of scripts: it ended") for remark in seen.remarks)
