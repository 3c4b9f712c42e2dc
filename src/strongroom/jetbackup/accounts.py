"""The accounts of a server as JetBackup wants to know them. Nothing here walks files: it is asked often."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from strongroom.config import Config
from strongroom.errors import UnknownError
from strongroom.jetbackup.questions import List
from strongroom.jetbackup.seen import Register, Seen
from strongroom.model import Account, text
from strongroom.panel import Layout

Document = dict[str, Any]

ROOT = "root"
_DATA = "data"
# What the web server shows of a panel's account, below its home.
_PUBLIC = {"apiscp": "var/www/html"}
_MAIN_DOMAIN, _ALIAS = 1, 4
_WILDCARD = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]")


class Accounts:
    """The accounts of a layout. ``root``, to whom all of them belong, is the first: an account that only logs in."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config, self._layout = config, layout

    @cached_property
    def all(self) -> list[Account]:
        """All accounts."""
        return self._layout.accounts()

    def named(self, name: str) -> Account:
        """The account that has this very name; a domain names none. Raise UnknownError."""
        found = next((account for account in self.all if account.name == name), None)
        if found is None:
            raise UnknownError(f"there is no account {name!r} on this server: make it with the panel first")
        return found

    def home(self, account: Account) -> bytes:
        """The folder of an account's files, whether or not it is there."""
        path = next((each.path for each in account.locations if each.tree == _DATA), None)
        return path or self._layout.folders(account.name)[_DATA]

    def count(self) -> int:
        """How many there are, ``root`` among them."""
        return 1 + len(self.all)

    def listed(self, wanted: List) -> list[Document]:
        """A page of them, or all."""
        seen, register = self._seen
        page: list[Account | None] = [None, *self.all]
        if wanted.limit > 0:
            begin = (max(wanted.page, 1) - 1) * wanted.limit
            page = page[begin : begin + wanted.limit]
        return [self._described(each, seen[each.name], register) if each else self._root() for each in page]

    def one(self, name: str) -> Document | None:
        """One of them, or None."""
        if name == ROOT:
            return self._root()
        account = next((account for account in self.all if account.name == name), None)
        seen, register = self._seen
        return None if account is None else self._described(account, seen[name], register)

    @cached_property
    def _seen(self) -> tuple[dict[str, Seen], Register]:
        register = Register(self._config)
        return register.of(self.all), register

    def _root(self) -> Document:
        return {
            "username": ROOT,
            "nickname": "",
            "domains": [],
            "email": None,
            "owner": None,
            "created": 0,
            "unique_id": Register(self._config).mark(ROOT, Seen(since=0)),
            "suspended": False,
            "root": True,
            "virtual": False,
            "home": "/root",
            "home_owner": ROOT,
            "home_group": ROOT,
            "home_mode": 0o700,
            "excludes": [],
            "plan": "",
            "custom_data": "",
        }

    def _described(self, account: Account, seen: Seen, register: Register) -> Document:
        home = self.home(account)
        return {
            "username": account.name,
            "nickname": account.owner,
            "domains": list(self._domains(account)),
            "email": account.email or None,
            "owner": ROOT,
            "created": seen.since,
            "unique_id": register.mark(account.name, seen),
            "suspended": account.suspended is not None,
            "root": False,
            "virtual": True,
            "home": text(home),
            **_rights(home),
            "excludes": list(_excludes(account)),
            "plan": account.plan,
            "custom_data": json.dumps(self._known(account), sort_keys=True),
        }

    def _domains(self, account: Account) -> Iterator[Document]:
        """The primary domain; the others show what the panel says, which may be the same site."""
        public = _PUBLIC.get(self._config.server.layout, "")
        for number, domain in enumerate(account.domains):
            yield {"name": domain, "type": _ALIAS if number else _MAIN_DOMAIN, "public": public}

    def _known(self, account: Account) -> Document:
        """What tells another server whose ids and names these were."""
        return {
            "format": 1,
            "layout": self._config.server.layout,
            "account": account.name,
            "users": sorted(account.users),
            "prefixes": {claim.engine: claim.prefix for claim in account.claims if claim.prefix},
        }


def _rights(home: bytes) -> Document:
    """Owner, group and mode of a home; where it is gone, what a panel would make it with."""
    try:
        status = os.lstat(home)
    except OSError:
        return {"home_owner": ROOT, "home_group": ROOT, "home_mode": 0o711}
    return {
        "home_owner": _name(pwd.getpwuid, status.st_uid),
        "home_group": _name(grp.getgrgid, status.st_gid),
        "home_mode": stat.S_IMODE(status.st_mode),
    }


def _name(find: Callable[[int], Sequence[Any]], number: int) -> str:
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)


def _excludes(account: Account) -> Iterator[str]:
    """What is left out of a home, as rsync's patterns: a folder with all that is in it ends in ``/***``."""
    for location in account.locations:
        if location.tree == _DATA:
            for exclusion in location.exclude:
                yield _pattern(location.path, exclusion.pattern)


def _pattern(home: bytes, pattern: bytes) -> str:
    # Ours are gitignore's, where a space may be escaped; rsync's backslashes count where there is a wildcard alone.
    shown = text(pattern).replace("\\ ", " ").rstrip("/")
    if _WILDCARD.search(shown):
        return shown
    plain = re.sub(r"\\(.)", r"\1", shown)
    is_file = os.path.isfile(os.path.join(home, os.fsencode(plain.lstrip("/")))) if plain.startswith("/") else False
    return plain if is_file else f"{shown}/***"
