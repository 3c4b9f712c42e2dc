"""A small web server for tests: each path has an answer, and what was asked for is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Status, headers, body, for the headers of the request.
Answer = tuple[int, dict[str, str], bytes]
Answers = dict[str, Answer | Callable[[dict[str, str]], Answer]]


class Site:
    """``url`` is where it is; ``answers`` may be changed at any time; what is not in it is not found."""

    def __init__(self, url: str, answers: Answers) -> None:
        self.url, self.answers = url, answers
        self.asked: list[str] = []


def html(body: str, title: str = "A page") -> Answer:
    text = f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return 200, {"Content-Type": "text/html; charset=utf-8"}, text.encode()


def to(where: str, status: int = 302, **headers: str) -> Answer:
    return status, {"Location": where} | headers, b""


@contextmanager
def site(answers: Answers) -> Iterator[Site]:
    """Serve until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found.asked.append(self.path)
            answer = found.answers.get(parts.path, (404, {"Content-Type": "text/html"}, b"<html>not found</html>"))
            status, headers, body = answer(dict(self.headers)) if callable(answer) else answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Site(f"http://127.0.0.1:{server.server_address[1]}/", answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
