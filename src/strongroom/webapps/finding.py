"""Which apps are where: below the folders that an account serves, as far down as people install them.

All that is looked at is a stranger's: folders are opened by descriptor and never through a link, and what is looked at in
one account is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from urllib.parse import quote, urlsplit

import msgspec

from strongroom.errors import StrongroomError, UnknownError
from strongroom.model import Account, DocumentRoot, text
from strongroom.panel.base import SERVER, Layout
from strongroom.panel.folder import Folder
from strongroom.webapps.base import App, Found, Inner, Kind
from strongroom.webapps.snapshots.place import data_of
from strongroom.webapps.snapshots.repository import MARK, tip
from strongroom.webapps.states import States

# An app is found so many folders below a served one; below an app it is one folder more, for a blog beside a shop.
_DEEPEST = 3
_MOST_FOLDERS = 2000
_MOST_NAMES = 2000
_PASSED_OVER = frozenset((b"node_modules", b"vendor", b"cgi-bin", b"cache", b"logs", b"tmp"))

_Where = tuple[bytes, ...]
_Apps = dict[_Where, tuple[Kind, Found]]


class Finder:
    """Finds apps of accounts; ``kinds`` in the order in which they are asked."""

    def __init__(self, layout: Layout, kinds: Sequence[Kind], states: States) -> None:
        self._layout, self._kinds, self._states = layout, kinds, states
        self._roots = {kind.document_root for kind in kinds if kind.document_root}

    def all(self) -> Iterator[App]:
        """The apps of all accounts, account by account."""
        for account in self._layout.accounts():
            yield from self.of(account)

    def of(self, account: Account) -> list[App]:
        """One account's apps, by path."""
        place = data_of(account)
        if place is None or account.name == SERVER:
            return []
        try:
            data = Folder.at(place)
        except OSError:
            return []
        roots = self._layout.document_roots(account)
        with data:
            found = _Search(data, self._kinds).run(self._starts(roots))
            found |= self._remembered(data, account, found)
            kept = {where for where in found if _has_snapshots(data, where)}
        return [
            msgspec.structs.replace(
                self._app(account, where, kind, what, roots, where in kept), inner=_inner(where, found, kept)
            )
            for where, (kind, what) in sorted(found.items())
        ]

    def in_point(self, account: str, has: Callable[[bytes], bool]) -> list[str]:
        """The ids of an account's apps whose snapshots a point holds; ``has`` says whether it has a stored path.

        Asked about are apps that are there now, and those that once had snapshots.
        """
        try:
            paths = {app.path for app in self.of(self._layout.account(account))}
        except StrongroomError:
            paths = set()
        paths |= self._states.known(account).keys()
        return [f"{account}:{text(path)}" for path in sorted(paths) if has(b"data" + path.rstrip(b"/") + b"/" + MARK)]

    def find(self, reference: str) -> App:
        """The app with this id, ``ACCOUNT:PATH``, where the account may be a domain; or an account's only app.

        Raise UnknownError.
        """
        name, colon, path = reference.partition(":")
        account = self._layout.account(name)
        apps = self.of(account)
        if not colon and len(apps) == 1:
            return apps[0]
        wanted = "/" + path.strip("/")
        for app in apps:
            if colon and text(app.path) == wanted:
                return app
        there = ", ".join(app.app for app in apps[:5]) + (" …" if len(apps) > 5 else "")
        raise UnknownError(f"no app {reference!r}; {account.name} has {there or 'none'}; see: strongroom apps list")

    def _remembered(self, data: Folder, account: Account, found: Collection[_Where]) -> _Apps:
        """Apps with snapshots that have lost what they are known by: an update may have taken it away."""
        remembered: _Apps = {}
        kinds = {kind.name: kind for kind in self._kinds}
        for path, state in self._states.known(account.name).items():
            where, kind = _names(path), kinds.get(state.kind)
            if kind is None or where in found or not _has_snapshots(data, where):
                continue
            folder = data.folder(*where)
            if folder is not None:
                with folder:
                    remembered[where] = (kind, kind.recognise(folder) or Found())
        return remembered

    def _starts(self, roots: Sequence[DocumentRoot]) -> Iterator[_Where]:
        """Where to look: the served folders, and those above them of apps that are served from a folder within."""
        for root in roots:
            where = _names(root.path)
            if where and where[-1] in self._roots and len(where) > 1:
                yield where[:-1]
            yield where

    def _app(
        self,
        account: Account,
        where: _Where,
        kind: Kind,
        found: Found,
        roots: Sequence[DocumentRoot],
        snapshots: bool,
    ) -> App:
        path = b"/" + b"/".join(where)
        served = b"/" + b"/".join((*where, *_names(kind.document_root)))
        return App(
            app=f"{account.name}:{text(path)}",
            account=account.name,
            kind=kind.name,
            version=found.version,
            path=path,
            stored=b"data" + path.rstrip(b"/"),
            place=(data_of(account) or b"") + path.rstrip(b"/"),
            document_root=served,
            url=_url(found.url, served, roots),
            login=found.login,
            title=found.title or kind.title,
            caches=kind.caches if found.caches is None else found.caches,
            uploads=kind.uploads if found.uploads is None else found.uploads,
            writable=kind.writable if found.writable is None else found.writable,
            upgrade=kind.upgrade if found.upgrade is None else found.upgrade,
            snapshots=snapshots,
            tried=kind.tried,
            state=self._states.get(account.name, path),
        )


class _Search:
    """One look through an account's data."""

    def __init__(self, data: Folder, kinds: Sequence[Kind]) -> None:
        self._data = data
        self._kinds = [(kind, kind.marks[0].split(b"/")[0]) for kind in kinds]
        self._found: _Apps = {}
        self._within: set[_Where] = set()
        self._depths: dict[_Where, int] = {}
        self._looked = 0

    def run(self, starts: Iterator[_Where]) -> _Apps:
        for where in starts:
            folder = self._data.folder(*where)
            if folder is not None:
                self._look(folder, where, _DEEPEST)
        return {where: found for where, found in self._found.items() if where not in self._within}

    def _look(self, folder: Folder, where: _Where, depth: int) -> None:
        """Look at a folder, which is closed, and at what is in it."""
        with folder:
            if self._depths.get(where, -1) >= depth or self._looked >= _MOST_FOLDERS:
                return
            first = where not in self._depths
            self._depths[where] = depth
            self._looked += 1
            listed = folder.listed(most=_MOST_NAMES)
            if first and (kind := self._recognised(folder, where, listed)) and kind.document_root:
                self._within.add((*where, *_names(kind.document_root)))
            deeper = min(depth, 1) if where in self._found else depth
            if not deeper:
                return
            for name, is_folder in listed.items():
                if is_folder and not name.startswith(b".") and name not in _PASSED_OVER:
                    below = folder.folder(name)
                    if below is not None:
                        self._look(below, (*where, name), deeper - 1)

    def _recognised(self, folder: Folder, where: _Where, listed: dict[bytes, bool]) -> Kind | None:
        for kind, begins in self._kinds:
            if begins in listed and all(folder.stat(*mark.split(b"/")) for mark in kind.marks):
                found = kind.recognise(folder)
                if found is not None:
                    self._found[where] = (kind, found)
                    return kind
        return None


def _has_snapshots(data: Folder, where: _Where) -> bool:
    folder = data.folder(*where)
    if folder is None:
        return False
    with folder:
        return tip(folder) is not None


def _inner(where: _Where, found: Collection[_Where], kept: Collection[_Where]) -> tuple[Inner, ...]:
    """The apps below a folder."""
    below = sorted(each for each in found if each != where and each[: len(where)] == where)
    return tuple(Inner(path=b"/".join(each[len(where) :]), snapshots=each in kept) for each in below)


def _names(path: bytes) -> _Where:
    return tuple(name for name in path.split(b"/") if name)


def _url(said: str, served: bytes, roots: Sequence[DocumentRoot]) -> str:
    """Where an app is seen: what its settings say, if that is a host of the account's, else by where it is served."""
    hosts = {host.removeprefix("*.") for root in roots for host in root.hosts}
    try:
        parts = urlsplit(said)
        named = (parts.hostname or "").lower()
    except ValueError:
        named = ""
    if named and any(named == host or named.endswith("." + host) for host in hosts):
        return said.rstrip("/") + "/"
    inside = [root for root in roots if root.hosts and (served + b"/").startswith(root.path.rstrip(b"/") + b"/")]
    if not inside:
        return ""
    root = max(inside, key=lambda each: len(each.path))
    below = quote(served[len(root.path.rstrip(b"/")) :].strip(b"/"))
    return f"http://{root.hosts[0]}/{below}{'/' if below else ''}"
