"""The contract of a layout: how one panel lays accounts out on a server. It only looks; nothing here ever writes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from strongroom.errors import UnknownError
from strongroom.model import Account, DocumentRoot
from strongroom.panel.folder import Folder

SERVER = "server"

_MOST_PASSWD_BYTES = 1 << 20
_MOST_ID = 2**32 - 2
_DIGITS = re.compile(r"(\d+)", re.ASCII)


class Layout(Protocol):
    """One panel's layout, made from a `Config`.

    ``details`` asks for what is shown only (databases, mailboxes), which takes looks into each account's folders;
    a backup does without. Raise SourceError when the server's tree is not of this layout.
    """

    def accounts(self, *, details: bool = False) -> list[Account]:
        """All accounts, in natural order (site2 before site10), without the pseudo-account."""

    def account(self, name: str, *, details: bool = False) -> Account:
        """The account with this name or domain, or the pseudo-account ``server``.

        Raise UnknownError where there is none, UsageError where several have the domain.
        """

    def server(self) -> Account | None:
        """The pseudo-account ``server``: what belongs to no account; None when there is nothing of that kind."""

    def folders(self, name: str) -> dict[str, bytes]:
        """Where the trees of the account with this name belong, as server paths, whether or not anything is there.

        A restore asks, also for an account that is gone. A tree whose place nobody knows is left out.
        """

    def document_roots(self, account: Account) -> tuple[DocumentRoot, ...]:
        """The folders below an account's data where web apps are looked for, whether or not anything is there."""

    def after_restore(self, name: str) -> str | None:
        """What is left for the administrator to do once an account's data were changed in place; None: nothing."""


def unknown(name: str) -> UnknownError:
    """The error for an account that is not there."""
    return UnknownError(f"no account {name!r} on this server; see: strongroom accounts")


def shown(name: bytes) -> str:
    """A name from the file system as text that is always valid; what is not UTF-8 is escaped."""
    return name.decode("utf-8", "backslashreplace")


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts the numbers in names by what they count, and all else as text."""
    return tuple((int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in _DIGITS.split(name))


def user_ids(root: Folder, *below: bytes) -> Iterable[int]:
    """The user ids in an account's ``etc/passwd``, without root's: what root owns is never a stranger's own."""
    content = root.read(*below, b"etc", b"passwd", limit=_MOST_PASSWD_BYTES) or b""
    for line in content.split(b"\n"):
        fields = line.split(b":")
        # Longer numbers are no ids, and converting them could take long.
        if len(fields) >= 4 and fields[2].isdigit() and len(fields[2]) <= 10 and 0 < int(fields[2]) <= _MOST_ID:
            yield int(fields[2])
