"""Which pages to look at: the home page, the login, a post, what visitors asked for, what the sitemap names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html import unescape
from urllib.parse import urljoin, urlsplit

from strongroom.webapps.assurance.document import same_origin
from strongroom.webapps.assurance.look import Wanted

HOME, LOGIN, POST, VISITED, SITEMAP = "home", "login", "post", "visited", "sitemap"
# What a kind of page may take of the places there are; the rest is for the others.
_MOST_OF_A_KIND = 2

# The request and the status in a line of a log as Apache and nginx write it.
_REQUEST = re.compile(r'"GET (/[^ "?]*) HTTP/[\d.]+" 200 ')
_LOCATION = re.compile(r"<loc>\s*([^<\s]{1,2000})\s*</loc>")
_NO_PAGE = re.compile(
    r"\.(?:css|js|mjs|map|png|jpe?g|gif|webp|svg|ico|woff2?|ttf|txt|xml|json|pdf|zip|gz|mp4)$|/(?:feed|wp-json|wp-admin)\b"
    r"|/wp-cron\.php$|logout|delete|unsubscribe|add-to-cart",
    re.IGNORECASE,
)


def visited(log: str) -> list[str]:
    """The paths that visitors asked for and got, the most frequent first; equal ones by name."""
    counted = Counter(path for path in _REQUEST.findall(log) if not _NO_PAGE.search(path) and path != "/")
    return [path for path, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def locations(sitemap: str) -> list[str]:
    """The addresses a sitemap, or an index of sitemaps, names."""
    return [unescape(found) for found in _LOCATION.findall(sitemap)]


def chosen(address: str, candidates: Iterable[tuple[str, Iterable[str]]], most: int) -> tuple[Wanted, ...]:
    """The home page, and of each kind in order a few that are the app's own and no other kind's; ``most`` in all."""
    home = Wanted(url=address, role=HOME)
    found = [home]
    known = {_key(address)}
    for role, addresses in candidates:
        taken = 0
        for each in addresses:
            if len(found) >= most or taken >= _MOST_OF_A_KIND:
                break
            whole = _whole(address, each)
            if whole and _key(whole) not in known and not _NO_PAGE.search(urlsplit(whole).path):
                known.add(_key(whole))
                found.append(Wanted(url=whole, role=role))
                taken += 1
    return tuple(found)


def _whole(address: str, each: str) -> str | None:
    try:
        whole = urljoin(address, each)
        return whole if urlsplit(whole).scheme in ("http", "https") and same_origin(whole, address) else None
    except ValueError:
        return None


def _key(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path.rstrip('/')}?{parts.query}"
