"""A page's HTML, reduced to what an update must not change: what it is made of, and not what it says."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from strongroom.model import Frozen
from strongroom.webapps.assurance.faults import in_text
from strongroom.webapps.assurance.look import Fault

STYLESHEET, SCRIPT, IMAGE = "stylesheet", "script", "image"

_DEPTH = 3
_MOST_PLACES = 2000
_MOST_OPEN = 400
_MOST_LINKS = 400
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# What writers use within a sentence, and what nobody sees: whether it is there says nothing of the page.
_INLINE = {
    *("a", "abbr", "b", "br", "cite", "code", "em", "i", "img", "kbd", "mark", "picture", "q", "s", "small", "source"),
    *("span", "strong", "sub", "sup", "svg", "path", "g", "time", "u", "wbr", "meta", "link", "title", "noscript"),
}
_UNSEEN = {"script", "style", "template"}
_QUOTED = {"pre", "code", "textarea"}
_LANDMARKS = {"header", "nav", "main", "footer", "form", "article", "h1"}


class Document(Frozen):
    """What was read of a page; ``links`` are those within its content, in order, ``assets`` kinds by address."""

    title: str
    content: int
    structure: tuple[str, ...]
    landmarks: dict[str, int]
    whole: bool
    faults: tuple[Fault, ...]
    assets: dict[str, str]
    links: tuple[str, ...]


def read(html: str, address: str) -> Document:
    """Read a page that came from ``address``; whatever it holds, something comes of it."""
    reader = _Reader(address)
    reader.feed(html)
    reader.close()
    text = " ".join(" ".join(reader.seen).split())
    return Document(
        title=" ".join("".join(reader.title).split())[:200],
        content=len(text),
        structure=tuple(sorted(reader.places)),
        landmarks=reader.landmarks,
        whole=reader.ended,
        faults=in_text(text),
        assets=reader.assets,
        links=tuple(dict.fromkeys(reader.links)),
    )


def same_origin(address: str, other: str) -> bool:
    """Whether two addresses are of one host; scheme and port may differ, as between http and https."""
    return urlsplit(address).hostname == urlsplit(other).hostname


class _Reader(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__(convert_charrefs=True)
        self._address = address
        self._open: list[str] = []
        self.title: list[str] = []
        self.seen: list[str] = []
        self.places: set[str] = set()
        self.landmarks: dict[str, int] = {}
        self.ended = False
        self.assets: dict[str, str] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._note(tag, given)
        if tag not in _INLINE and tag not in _UNSEEN and len(self.places) < _MOST_PLACES:
            above = [name for name in self._open if name not in _INLINE][-_DEPTH:]
            self.places.add(">".join([*above, tag]))
        if tag not in _VOID and len(self._open) < _MOST_OPEN:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        self.ended = self.ended or tag == "html"
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title.append(data)
        elif _UNSEEN.isdisjoint(self._open[-1:]):
            # What is quoted may speak of errors without being one; it counts by its length alone.
            self.seen.append("·" * len(data) if not _QUOTED.isdisjoint(self._open) else data)

    def _note(self, tag: str, given: dict[str, str]) -> None:
        if tag in _LANDMARKS:
            self._count(tag)
        elif tag == "input" and given.get("type", "").lower() == "password":
            self._count("password")
        elif tag == "link" and "stylesheet" in given.get("rel", "").lower().split():
            self._asset(given.get("href"), STYLESHEET)
        elif tag == "script":
            self._asset(given.get("src"), SCRIPT)
        elif tag == "img":
            self._asset(given.get("src"), IMAGE)
        elif tag == "a" and not {"main", "article"}.isdisjoint(self._open) and len(self.links) < _MOST_LINKS:
            self._link(given.get("href"))

    def _count(self, landmark: str) -> None:
        self.landmarks[landmark] = self.landmarks.get(landmark, 0) + 1

    def _asset(self, address: str | None, kind: str) -> None:
        if kind == STYLESHEET and address:
            self._count(STYLESHEET)
        if (whole := self._own(address)) and len(self.assets) < _MOST_LINKS:
            self.assets.setdefault(whole, kind)

    def _link(self, address: str | None) -> None:
        whole = self._own(address)
        if whole and "#" not in (address or ""):
            self.links.append(whole)

    def _own(self, address: str | None) -> str | None:
        """An address of the app's own host, whole; None for those of others, and for what is no address."""
        try:
            whole = urljoin(self._address, (address or "").strip()) if address else ""
            if urlsplit(whole).scheme in ("http", "https") and same_origin(whole, self._address):
                return whole
        except ValueError:
            pass
        return None
