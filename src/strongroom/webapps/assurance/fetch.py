"""One page over HTTP, as a visitor who has no cookies and whom no cache knows; bounded in time and size.

Nothing of a page is run here. Redirects are followed within the app's own host: where another host is named, the visitor
would leave the app, and that is all there is to say. Certificates are not looked at: an update does not change them.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from msgspec.structs import replace

from strongroom.model import Frozen
from strongroom.webapps.assurance.document import same_origin

_MOST_HOPS = 8
_MOST_BODY = 4 << 20
_BLOCK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Strongroom Update Assurance)",
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding": "identity",
    "Accept-Language": "en",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Connection": "close",
}


class Answer(Frozen):
    """What came: ``status`` 0 and ``failure`` where nothing did; ``address`` is where redirects led."""

    address: str
    status: int = 0
    failure: str = ""
    seconds: float = 0.0
    kind: str = ""
    charset: str = "utf-8"
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


def fetch(
    address: str, seconds: float, *, most: int = _MOST_BODY, clock: Callable[[], float] = time.monotonic
) -> Answer:
    """Ask for an address and go where redirects lead, ``seconds`` in all, ``most`` bytes at most; raises nothing."""
    began = clock()
    until = began + seconds
    cookies: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    here = address
    while True:
        state = (here, str(sorted(cookies.items())))
        if state in seen or len(seen) > _MOST_HOPS:
            return Answer(address=here, failure="redirects lead in a circle", seconds=clock() - began)
        seen.add(state)
        try:
            answer, leads = _ask(here, cookies, until, most, clock)
            there = None if leads is None else urljoin(here, leads)
            stays = there is not None and urlsplit(there).scheme in ("http", "https") and same_origin(there, address)
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            return Answer(address=here, failure=_reason(error, seconds), seconds=clock() - began)
        answer = replace(answer, seconds=clock() - began)
        if there is None:
            return answer
        if not stays:
            return replace(answer, address=there)
        here = there


def _ask(
    address: str, cookies: dict[str, str], until: float, most: int, clock: Callable[[], float]
) -> tuple[Answer, str | None]:
    """One request: the answer, and where it redirects to."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no address of a web page")
    connection = _connection(parts.scheme, parts.hostname, parts.port, _left(until, clock))
    try:
        headers = _HEADERS | (
            {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        )
        connection.request("GET", _target(parts.path, parts.query), headers=headers)
        response = connection.getresponse()
        _keep_cookies(response, cookies)
        kind, _, rest = response.headers.get("Content-Type", "").partition(";")
        answer = Answer(
            address=urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, "")),
            status=response.status,
            kind=kind.strip().lower(),
            charset=rest.partition("charset=")[2].strip("\"' ") or "utf-8",
            body=_body(response, connection, until, most, clock),
        )
        return answer, response.headers.get("Location") if response.status in _REDIRECTS else None
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, seconds: float) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=unchecked)


def _target(path: str, query: str) -> str:
    safe = "/%:@!$&'()*+,;=~-._"
    return quote(path or "/", safe=safe) + (f"?{quote(query, safe=safe + '?[]')}" if query else "")


def _body(
    response: http.client.HTTPResponse,
    connection: http.client.HTTPConnection,
    until: float,
    most: int,
    clock: Callable[[], float],
) -> bytes:
    unpack = zlib.decompressobj(47) if response.headers.get("Content-Encoding", "") in ("gzip", "deflate") else None
    body = bytearray()
    while len(body) < most:
        if connection.sock is not None:
            connection.sock.settimeout(_left(until, clock))
        block = response.read1(_BLOCK)
        if not block:
            break
        body += unpack.decompress(block, most - len(body)) if unpack else block
    return bytes(body[:most])


def _left(until: float, clock: Callable[[], float]) -> float:
    left = until - clock()
    if left <= 0:
        raise TimeoutError
    return left


def _keep_cookies(response: http.client.HTTPResponse, cookies: dict[str, str]) -> None:
    for line in response.headers.get_all("Set-Cookie") or ():
        try:
            found: SimpleCookie = SimpleCookie(line)
        except CookieError:
            continue
        for name, morsel in list(found.items())[:20]:
            cookies[name] = morsel.coded_value[:4096]


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no whole answer within {seconds:g} seconds"
    if isinstance(error, socket.gaierror):
        return "its host name is not known here"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut short"
    if isinstance(error, http.client.HTTPException):
        return f"no answer of HTTP: {error or type(error).__name__}"
    return str(error) or type(error).__name__
