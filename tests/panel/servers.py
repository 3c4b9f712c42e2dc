"""Small servers made of real folders, for the tests of the layouts."""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.config import Config, Server


def write(path: Path, content: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def configured(root: Path, **server: object) -> Config:
    """A configuration for the server below ``root``, itself outside of it."""
    return Config(path=b"/etc/strongroom/config.toml", server=Server(root=os.fsencode(root), **server))  # type: ignore[arg-type]


def site(root: Path, number: int, domain: str, *aliases: str, user: str = "admin", uid: int = 10000) -> Path:
    """An account as ApisCP lays it out; returns its folder."""
    folder = root / "home" / "virtual" / f"site{number}"
    write(folder / "info/current/siteinfo", f"[DEFAULT]\ndomain = {domain}\nadmin_user = '{user}'\nenabled = 1\n")
    listed = ",".join(f"'{alias}'" for alias in aliases)
    write(folder / "info/current/aliases", f"[DEFAULT]\nenabled = 1\naliases = [{listed}]\n")
    write(folder / "shadow/etc/passwd", f"root:x:0:0::/root:/bin/sh\n{user}:x:{uid}:{uid}::/home/{user}:/bin/bash\n")
    home = folder / "shadow" / "home" / user
    home.mkdir(parents=True)
    os.chown(home, uid, uid)
    return folder
