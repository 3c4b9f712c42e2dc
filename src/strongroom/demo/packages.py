"""Files of Debian packages, without installing or starting anything: ``apt-get download`` and ``dpkg-deb -x``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from strongroom.errors import SourceError

# WordPress, a second and a third theme, and what its links into other packages point to.
WORDPRESS = (
    "wordpress",
    "wordpress-theme-twentytwentyone",
    "wordpress-theme-twentytwentythree",
    "php-getid3",
    "libjs-underscore",
    "libjs-cropper",
)


def unpacked(cache: Path, names: tuple[str, ...] = WORDPRESS) -> bytes:
    """The folder into which these packages are unpacked; fetched once, then kept in ``cache``.

    Raise SourceError when they cannot be fetched.
    """
    target = cache / "unpacked"
    ready = cache / ".ready"
    if ready.exists():
        return os.fsencode(target)
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    missing = [name for name in names if not list(cache.glob(f"{name}_*.deb"))]
    if missing:
        _fetch(cache, missing)
    for name in names:
        _run(["dpkg-deb", "-x", str(next(cache.glob(f"{name}_*.deb"))), str(target)], cache)
    ready.touch()
    return os.fsencode(target)


def _fetch(cache: Path, names: list[str]) -> None:
    # apt wants to drop to a user that cannot write here; the files are checked against signed lists all the same.
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names]
    try:
        _run(download, cache)
    except SourceError:
        _run(["apt-get", "-q", "update"], cache)
        _run(download, cache)


def _run(arguments: list[str], folder: Path) -> None:
    advice = (
        f"the demo needs Debian's wordpress: check the network and apt's sources, or put the .deb files into {folder}"
    )
    try:
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        raise SourceError(f"{arguments[0]} is not on this machine; {advice}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        reason = said[0].removeprefix("E:").strip() if said else f"exit status {done.returncode}"
        raise SourceError(f"{arguments[0]} failed: {reason}; {advice}")
