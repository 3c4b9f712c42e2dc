"""Fortification is read from ACLs, whoever owns them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from strongroom.webapps.assurance.acting import Owner
from strongroom.webapps.assurance.fortification import modes
from strongroom.webapps.assurance.ground import Ground
from strongroom.webapps.base import App
from strongroom.webapps.kinds.wordpress import WordPress

APP = App(
    app="site1:/www",
    account="site1",
    kind="wordpress",
    version="6.1.9",
    path=b"/www",
    stored=b"data/www",
    place=b"",
    document_root=b"/www",
    writable=WordPress.writable,
)


def said(folder: Path) -> tuple[str, ...]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return modes(Ground(app=APP, folder=descriptor, owner=Owner(uid=12345, gid=12345)))
    finally:
        os.close(descriptor)


@pytest.fixture
def www(tmp_path: Path) -> Path:
    for name in ("uploads", "cache"):
        (tmp_path / "wp-content" / name).mkdir(parents=True)
    return tmp_path


def allow(*paths: Path) -> None:
    subprocess.run(["setfacl", "-m", "u:48:rwx,u:12345:rwx", *paths], check=True)


def test_the_modes(www: Path) -> None:
    assert said(www) == ("mode none",)
    allow(www / "wp-content/uploads")
    assert said(www) == ("mode of its own", "wp-content/uploads: user 48")
    allow(www / "wp-content/cache")
    assert said(www) == ("mode max", "wp-content/cache: user 48", "wp-content/uploads: user 48")
    allow(www / "wp-content")
    subprocess.run(["setfacl", "-b", www / "wp-content/uploads", www / "wp-content/cache"], check=True)
    assert said(www) == ("mode min", "wp-content: user 48")


def test_an_app_without_such_folders_has_none(tmp_path: Path) -> None:
    assert said(tmp_path) == ()


def test_links_are_not_followed(tmp_path: Path, www: Path) -> None:
    (www / "wp-content/wflogs").symlink_to(www / "wp-content/uploads")
    allow(www / "wp-content/uploads", www / "wp-content/cache")
    assert said(www)[0] == "mode max"
