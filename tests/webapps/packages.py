"""Real web apps from Debian's packages, unpacked once for all tests; ``python -m tests.webapps.packages`` fetches them."""

from __future__ import annotations

import fcntl
from pathlib import Path

from strongroom.demo.packages import WORDPRESS, unpacked

_CACHE = Path(__file__).parents[2] / ".venv" / "packages"
_APPS = {"wordpress": WORDPRESS, "dokuwiki": ("dokuwiki",), "mediawiki": ("mediawiki", "mediawiki-classes")}


def app(name: str) -> bytes:
    """The folder into which an app's packages are unpacked. Workers wait for the one that does it."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return unpacked(_CACHE / name, _APPS[name])


if __name__ == "__main__":
    for each in _APPS:
        app(each)
