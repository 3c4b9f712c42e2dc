"""One page as a visitor gets it, from a real server, bounded in everything."""

from __future__ import annotations

import gzip
import socket

from strongroom.webapps.assurance.fetch import fetch
from tests.webapps.assurance.serving import Answers, html, site, to

PATIENCE = 60.0


def test_redirects_are_followed_to_the_page() -> None:
    with site({"/": to("/a"), "/a": to("b", 301), "/b": html("here")}) as server:
        answer = fetch(server.url, PATIENCE)
    assert (answer.status, answer.address, answer.failure) == (200, server.url + "b", "")
    assert "here" in answer.text


def test_a_circle_of_redirects_is_told() -> None:
    with site({"/": to("/a"), "/a": to("/")}) as server:
        answer = fetch(server.url, PATIENCE)
        assert len(server.asked) == 2
    assert (answer.status, answer.failure) == (0, "redirects lead in a circle")


def test_redirects_without_end_are_a_circle_too() -> None:
    answers: Answers = {f"/{number}": to(f"/{number + 1}") for number in range(100)}
    with site(answers) as server:
        assert fetch(server.url + "0", PATIENCE).failure == "redirects lead in a circle"
        assert len(server.asked) < 20


def test_a_page_that_first_sets_a_cookie_is_no_circle() -> None:
    def page(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (
            html("welcome") if "seen=yes" in headers.get("Cookie", "") else to("/", 302, **{"Set-Cookie": "seen=yes"})
        )

    with site({"/": page}) as server:
        assert "welcome" in fetch(server.url, PATIENCE).text


def test_other_hosts_are_not_gone_to() -> None:
    with site({"/": to("http://other.example/x")}) as server:
        answer = fetch(server.url, PATIENCE)
    assert (answer.status, answer.address) == (302, "http://other.example/x")


def test_other_schemes_are_not_gone_to() -> None:
    for address in ("file:///etc/passwd", "javascript:alert(1)", "http://[bad", ""):
        with site({"/": to(address)}) as server:
            answer = fetch(server.url, PATIENCE)
        assert "root:" not in answer.text


def test_a_body_is_bounded() -> None:
    with site({"/": (200, {}, b"x" * 100_000)}) as server:
        assert len(fetch(server.url, PATIENCE, most=1000).body) == 1000


def test_a_packed_body_is_bounded_unpacked() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    packed = {"Content-Encoding": "gzip"}
    with site({"/": (200, packed, bomb), "/small": (200, packed, gzip.compress(b"hi"))}) as server:
        assert len(fetch(server.url, PATIENCE, most=1000).body) == 1000
        assert fetch(server.url + "small", PATIENCE).body == b"hi"


def test_what_is_cut_short_or_no_http_is_a_failure() -> None:
    answers: Answers = {
        "/": (200, {"Content-Length": "1000"}, b"short"),
        "/packed": (200, {"Content-Encoding": "gzip"}, b"no"),
    }
    with site(answers) as server:
        assert fetch(server.url + "packed", PATIENCE).failure
        cut = fetch(server.url, PATIENCE)
        assert cut.failure or len(cut.body) == 5


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_allowed() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        answer = fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.2)
    assert (answer.status, answer.failure) == (0, "no whole answer within 0.2 seconds")


def test_nobody_there_is_a_failure_in_words() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert fetch(f"http://127.0.0.1:{port}/", PATIENCE).failure == "Connection refused"
    assert fetch("http://no-such-host.invalid/", PATIENCE).failure
    assert fetch("http://", PATIENCE).failure
