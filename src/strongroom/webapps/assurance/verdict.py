"""What two looks at an app say of the change between them.

Nothing here looks at anything: two values in, evidence out. What pages say may change; what they are may not. A page that
was broken before counts as it was, and cannot fail an update.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from urllib.parse import urlsplit

from strongroom.config.values import Webapps
from strongroom.model import Frozen
from strongroom.webapps.assurance.document import IMAGE
from strongroom.webapps.assurance.look import Asset, Look, Page

# Below so many characters or places a share says nothing.
_SMALL_TEXT = 500
_SMALL_STRUCTURE = 6
# What no page loses by a harmless change; of the others it is only told.
_NEEDED = ("password", "stylesheet")
_ALARMING = re.compile(
    r"\b(?:errors?|exception|not found|forbidden|maintenance|installation|setup|database update|internal server)\b",
    re.IGNORECASE,
)


class Sort(StrEnum):
    """What a piece of evidence is about."""

    ANSWER = "answer"
    STATUS = "status"
    REDIRECT = "redirect"
    EMPTY = "empty"
    CUT = "cut"
    DRIFT = "drift"
    STRUCTURE = "structure"
    LANDMARK = "landmark"
    TITLE = "title"
    FAULT = "fault"
    LOG = "log"
    ASSET = "asset"
    SLOW = "slow"
    COMMAND = "command"
    UPGRADE = "upgrade"
    SOURCE = "source"
    CONFIRM = "confirm"
    PROBE = "probe"
    VERSION = "version"
    MODES = "modes"
    STAYS = "stays"


class Evidence(Frozen):
    """One thing that was seen. ``fails`` says whether it alone fails an update; ``text`` is a whole sentence.

    ``page`` is the page's address, empty where it is about the app. ``before`` and ``after`` are what was compared.
    """

    sort: Sort
    text: str
    fails: bool = True
    page: str = ""
    before: str = ""
    after: str = ""


def compare(before: Look, after: Look, limits: Webapps) -> tuple[Evidence, ...]:
    """All that the second look shows against the first; the update failed when any of it ``fails``."""
    then = {page.url: page for page in before.pages}
    found: list[Evidence] = []
    for page in after.pages:
        if page.url in then:
            found += _page(then[page.url], page, limits)
    found += _assets(before.assets, after.assets)
    known = set(before.faults)
    for fault in after.faults:
        if fault not in known:
            found.append(
                Evidence(sort=Sort.LOG, text=f"new in the log: {fault.text}", fails=fault.severe, after=fault.text)
            )
    return tuple(found)


def failed(evidence: Iterable[Evidence]) -> bool:
    """Whether any of it fails the update."""
    return any(each.fails for each in evidence)


def _page(before: Page, after: Page, limits: Webapps) -> Iterator[Evidence]:
    if not before.answered:
        yield from _was_broken(before, after)
        return
    if not after.answered:
        yield _unanswered(before, after)
        # The faults in an error page say what happened.
        yield from _faults(before, after)
        return
    yield from _redirect(before, after)
    yield from _text(before, after, limits)
    yield from _structure(before, after, limits)
    yield from _title(before, after)
    yield from _faults(before, after)
    if after.seconds > limits.slow_seconds and after.seconds > limits.slow_factor * before.seconds:
        yield _of(Sort.SLOW, after, "the page is slow", f"{before.seconds:.1f} s", f"{after.seconds:.1f} s")


def _of(sort: Sort, page: Page, text: str, before: object, after: object, *, fails: bool = True) -> Evidence:
    said = f"{text} ({before} before, {after} now)"
    return Evidence(sort=sort, page=page.url, text=said, before=str(before), after=str(after), fails=fails)


def _shown(page: Page) -> str:
    return page.failure or f"status {page.status}"


def _was_broken(before: Page, after: Page) -> Iterator[Evidence]:
    text = "the page works now" if after.answered else "the page was broken before the update"
    yield _of(Sort.STATUS, after, text, _shown(before), _shown(after), fails=False)


def _unanswered(before: Page, after: Page) -> Evidence:
    if 300 <= after.status < 400:
        return _of(Sort.REDIRECT, after, "the page leads elsewhere", before.lands, after.lands)
    if after.status:
        return _of(Sort.STATUS, after, "the page is an error", _shown(before), _shown(after))
    sort = Sort.REDIRECT if "redirects" in after.failure else Sort.ANSWER
    return _of(sort, after, "the page does not come", _shown(before), _shown(after))


def _redirect(before: Page, after: Page) -> Iterator[Evidence]:
    if _place(before.lands) != _place(after.lands):
        yield _of(Sort.REDIRECT, after, "the page leads elsewhere", before.lands, after.lands)


def _place(lands: str) -> str:
    return lands.removesuffix("index.php").rstrip("/")


def _text(before: Page, after: Page, limits: Webapps) -> Iterator[Evidence]:
    if before.content and not after.content:
        yield _of(Sort.EMPTY, after, "the page is empty", f"{before.content:,} characters", "none")
        return
    if before.size and not after.size:
        yield _of(Sort.EMPTY, after, "the page is empty", f"{before.size:,} bytes", "none")
        return
    if before.whole and not after.whole:
        yield _of(Sort.CUT, after, "the page ends before its end", f"{before.size:,} bytes", f"{after.size:,} bytes")
    moved = abs(after.content - before.content)
    if moved > _SMALL_TEXT and moved * 100 > limits.assurance_drift * before.content:
        text = f"the page's text changed by more than {limits.assurance_drift} %"
        yield _of(Sort.DRIFT, after, text, f"{before.content:,} characters", f"{after.content:,} characters")


def _structure(before: Page, after: Page, limits: Webapps) -> Iterator[Evidence]:
    had, kept = set(before.structure), set(before.structure) & set(after.structure)
    if len(had) >= _SMALL_STRUCTURE and len(kept) * 100 < limits.assurance_structure * len(had):
        share = f"{100 * len(kept) // len(had)} %"
        yield _of(Sort.STRUCTURE, after, "the page is built differently", "100 %", share)
    for landmark, count in before.landmarks.items():
        if count and not after.landmarks.get(landmark):
            name = {"password": "field for a password"}.get(landmark, landmark)
            yield _of(Sort.LANDMARK, after, f"the page has no {name} any more", count, 0, fails=landmark in _NEEDED)


def _title(before: Page, after: Page) -> Iterator[Evidence]:
    if before.title != after.title:
        alarming = bool(_ALARMING.search(after.title)) and not _ALARMING.search(before.title)
        yield _of(Sort.TITLE, after, "the title changed", repr(before.title), repr(after.title), fails=alarming)


def _faults(before: Page, after: Page) -> Iterator[Evidence]:
    for fault in after.faults:
        if fault not in before.faults:
            text = f"new on the page: {fault.text}"
            yield Evidence(sort=Sort.FAULT, page=after.url, text=text, after=fault.text, fails=fault.severe)


def _assets(before: Iterable[Asset], after: Iterable[Asset]) -> Iterator[Evidence]:
    then = {_path(asset): asset for asset in before}
    for asset in after:
        was = then.get(_path(asset))
        if not asset.failure or (was is not None and was.failure):
            continue
        # A picture that was not there before is content; what a page needs to look as it should is not.
        fails = was is not None or asset.kind != IMAGE
        earlier = "loaded" if was else "not there"
        text = f"the {asset.kind} {asset.url} does not load: {asset.failure} ({earlier} before)"
        yield Evidence(sort=Sort.ASSET, page="", text=text, before=earlier, after=asset.failure, fails=fails)


def _path(asset: Asset) -> str:
    """What stays of an asset's address when its version changes."""
    return urlsplit(asset.url).path
