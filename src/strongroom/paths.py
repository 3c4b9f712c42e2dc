"""A path as the account's owner writes it, and as a point holds it: the one place where one becomes the other.

``/var/www`` is ``data/var/www``; ``info:/current`` is ``info/current``; ``/`` is ``data`` itself. What a point holds of
databases is ``databases:/mysql/shop``.
"""

from __future__ import annotations

import os

from strongroom.errors import UsageError

DATA = b"data"
INFO = b"info"
_OTHERS = (INFO, b"databases")


def stored(path: str) -> bytes:
    """What an owner wrote as a stored path. Raise UsageError for a relative path and for ``.`` and ``..``."""
    given = os.fsencode(path)
    tree, colon, below = given.partition(b":")
    if not colon or tree not in _OTHERS:
        tree, below = DATA, given
    if not below.startswith(b"/") and not (tree != DATA and not below):
        raise UsageError(f"path '{path}' is not absolute: write it as the account's owner sees it, such as /var/www")
    parts = [part for part in below.split(b"/") if part]
    if b".." in parts or b"." in parts:
        raise UsageError(f"path '{path}' has '.' or '..' in it: write it without")
    return b"/".join([tree, *parts])


def owners(path: bytes) -> str:
    """A stored path as its owner writes it; bytes that are no text become lone surrogates."""
    tree, _, below = path.partition(b"/")
    shown = "/" + below.decode("utf-8", "surrogateescape")
    return shown if tree == DATA else f"{tree.decode('utf-8', 'surrogateescape')}:{shown}"
