"""The probe's own process: it is the app's owner before it reads anything that the owner could have made.

What an app answers, says of its addresses or writes into its logs is a stranger's: read by root it could lead root to
addresses and files that the owner may not see. So this program takes a `Task` from standard input, becomes the owner, and
writes a `Look` to standard output. It imports all it needs before: the owner need not be able to read this program.
"""

from __future__ import annotations

import os
import random
import stat
import sys
import time
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

from strongroom.webapps.assurance import becoming, browser, choosing, document, faults
from strongroom.webapps.assurance.document import Document
from strongroom.webapps.assurance.fetch import Answer, fetch
from strongroom.webapps.assurance.look import Asset, Fault, Look, Page, Task, Wanted

_MOST_LOG = 1 << 20
_MOST_SITEMAP = 1 << 20
# A first answer after a change fills caches; what stays slow is slow.
_TRIES = 3
_FRESH = "strongroom"
# All assets together may take as long as so many pages.
_PAGES_FOR_ASSETS = 4
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def main() -> int:
    """Read the task, become the owner, look, tell."""
    task = becoming.task(Task)
    becoming.become(task.uid, task.gid)
    sys.stdout.buffer.write(msgspec.json.encode(look(task)))
    return 0


def look(task: Task) -> Look:
    """Look at every page once, and at what the pages are made of."""
    started = time.time()
    remarks: list[str] = []
    documents: dict[str, Document] = {}
    sizes = {path: _size(path) for path in task.logs}
    wanted = task.pages or _choose(task, documents, remarks)
    pages = [_page(each, task, documents) for each in wanted]
    if task.browser:
        pages = _opened(pages, task, remarks)
    assets = _assets(documents, task)
    return Look(
        started=started,
        finished=time.time(),
        pages=tuple(pages),
        assets=assets,
        faults=_logs(sizes, remarks),
        remarks=tuple(remarks),
    )


def _choose(task: Task, documents: dict[str, Document], remarks: list[str]) -> tuple[Wanted, ...]:
    home = _page(Wanted(url=task.url, role=choosing.HOME), task, documents)
    links = documents[home.url].links if home.url in documents else ()
    candidates: list[tuple[str, Iterable[str]]] = [
        (choosing.LOGIN, task.login),
        (choosing.POST, [*task.posts, *links]),
        (choosing.VISITED, _visited(task, remarks)),
    ]
    found = choosing.chosen(task.url, candidates, task.most_pages)
    if len(found) < task.most_pages:
        candidates.append((choosing.SITEMAP, _sitemap(task)))
        found = choosing.chosen(task.url, candidates, task.most_pages)
    return found


def _visited(task: Task, remarks: list[str]) -> list[str]:
    text = "".join(_read(path, None, remarks) for path in task.visits)
    return choosing.visited(text)


def _sitemap(task: Task) -> list[str]:
    for name in ("sitemap.xml", "wp-sitemap.xml"):
        answer = fetch(urljoin(task.url, name), task.page_seconds, most=_MOST_SITEMAP)
        found = choosing.locations(answer.text) if answer.status == 200 else []
        if found and urlsplit(found[0]).path.endswith(".xml"):
            below = fetch(urljoin(task.url, found[0]), task.page_seconds, most=_MOST_SITEMAP)
            own = document.same_origin(found[0], task.url) and below.status == 200
            found = choosing.locations(below.text) if own else []
        if found:
            return found
    return []


def _page(wanted: Wanted, task: Task, documents: dict[str, Document]) -> Page:
    answer = fetch(_uncached(wanted.url), task.page_seconds)
    tries = 1
    while answer.seconds > task.slow_seconds and answer.status and tries < _TRIES:
        again = fetch(_uncached(wanted.url), task.page_seconds)
        answer = again if again.seconds < answer.seconds else answer
        tries += 1
    page = Page(
        url=wanted.url,
        role=wanted.role,
        status=answer.status,
        failure=answer.failure,
        lands=_landed(answer, task.url),
        seconds=round(answer.seconds, 3),
        size=len(answer.body),
        kind=answer.kind,
    )
    if answer.kind not in ("text/html", "application/xhtml+xml", "") or not answer.body:
        return page
    found = documents[wanted.url] = document.read(answer.text, answer.address)
    return msgspec.structs.replace(
        page,
        content=found.content,
        title=found.title,
        structure=found.structure,
        landmarks=found.landmarks,
        whole=found.whole,
        faults=found.faults,
        assets=tuple(found.assets),
    )


def _uncached(address: str) -> str:
    """An address that no cache knows."""
    parts = urlsplit(address)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit((*parts[:3], f"{query}{_FRESH}={random.getrandbits(48):x}", ""))  # noqa: S311  (no secret)


def _landed(answer: Answer, home: str) -> str:
    """Where redirects led, without what differs from time to time; the host only where it is another's."""
    parts = urlsplit(answer.address)
    host = "" if document.same_origin(answer.address, home) else f"//{parts.netloc}"
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&")} - {_FRESH, ""})
    return f"{host}{parts.path or '/'}{'?' + '&'.join(names) if names else ''}"


def _assets(documents: dict[str, Document], task: Task) -> tuple[Asset, ...]:
    """Whether what the pages refer to loads; stylesheets and scripts first, each once."""
    found: dict[str, str] = {}
    for kind in (document.STYLESHEET, document.SCRIPT, document.IMAGE):
        for each in documents.values():
            found |= {address: what for address, what in each.assets.items() if what == kind}
    until = time.monotonic() + task.page_seconds * _PAGES_FOR_ASSETS
    loaded = []
    for address, kind in list(found.items())[: task.most_assets]:
        if time.monotonic() > until:
            break
        loaded.append(Asset(url=address, kind=kind, failure=_load(address, kind, task)))
    return tuple(loaded)


def _load(address: str, kind: str, task: Task) -> str:
    answer = fetch(address, task.page_seconds, most=1 << 16)
    if answer.failure:
        return answer.failure
    if not 200 <= answer.status < 300:
        return f"status {answer.status}"
    # Apps answer what they do not have with a page of theirs.
    if answer.kind == "text/html" or (kind == document.STYLESHEET and answer.kind not in ("text/css", "")):
        return f"it is {answer.kind}"
    return ""


def _opened(pages: list[Page], task: Task, remarks: list[str]) -> list[Page]:
    """The pages again, the first few with what the browser saw of them."""
    first = [page.url for page in pages if page.answered][: task.picture_of]
    try:
        views = browser.views(task.browser, first, task.page_seconds)
    except browser.BrowserError as error:
        remarks.append(f"no pictures and no errors of scripts: {error}")
        return pages
    return [_viewed(page, views.get(page.url)) for page in pages]


def _viewed(page: Page, view: browser.View | None) -> Page:
    if view is None:
        return page
    errors = tuple(Fault(kind="javascript", text=text) for text in view.errors)
    return msgspec.structs.replace(page, faults=(*page.faults, *errors), picture=view.picture)


def _logs(sizes: dict[str, int], remarks: list[str]) -> tuple[Fault, ...]:
    """What was written into logs since they had these sizes."""
    found: list[Fault] = []
    for path, size in sizes.items():
        found += faults.in_log(_read(path, size, remarks))
    return tuple(dict.fromkeys(found))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _read(path: str, begin: int | None, remarks: list[str]) -> str:
    """A log from a place on (None: its last part); a remark where it cannot be read."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return ""
    except OSError as error:
        remarks.append(f"{path}: {error.strerror}")
        return ""
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        known = begin if begin is not None and begin <= status.st_size else 0
        file.seek(max(known, status.st_size - _MOST_LOG))
        return file.read(_MOST_LOG).decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
