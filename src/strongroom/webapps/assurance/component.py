"""What a folder holds that an app can be updated with: a new core, a plugin or a theme, and which version of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from strongroom.model import Frozen, text
from strongroom.panel.folder import Folder
from strongroom.webapps.base import Kind

_MOST_FILE = 4 << 20
_MOST_HEADER = 8192
_MOST_NAMES = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HEADER = rb"^[ \t/*#@]*%s:[ \t]*(\S.*?)[ \t]*(?:\*/)?$"
# How WordPress names what a new core has no more.
_OLD_FILES = re.compile(rb"\$_old_files\s*=\s*array\((.*?)\);", re.DOTALL)
_QUOTED = re.compile(rb"^\s*'([^'\\\n]{1,300})',", re.MULTILINE)


class Part(StrEnum):
    """Which part of an app."""

    CORE = "core"
    PLUGIN = "plugin"
    THEME = "theme"


class Component(Frozen):
    """A new version of a part: ``path`` is the folder that has it, ``place`` where it belongs, relative to the app's.

    ``kept`` are what of the app's folder a new core does not touch, ``gone`` what it has no more. ``closes`` says whether
    visitors are told to come back while files are replaced, ``upgrades`` whether the app's database is upgraded afterwards.
    """

    part: Part
    name: str
    version: str
    path: bytes
    place: bytes = b""
    kept: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    closes: bool = False
    upgrades: bool = False

    @property
    def shown(self) -> str:
        """It in words: ``plugin akismet 5.1``."""
        return " ".join(
            word for word in (self.part.value, self.name if self.part is not Part.CORE else "", self.version) if word
        )


class Shape(Frozen):
    """How one kind is made: what is kept, where plugins and themes are, and how each is known.

    ``upgrades``: what upgrades the database does so for plugins and themes too, not for a core alone.
    """

    kept: tuple[bytes, ...]
    plugins: bytes
    themes: bytes
    closes: bool = False
    upgrades: bool = False


# For other kinds the update has to be a command of their own.
SHAPES = {
    "wordpress": Shape(
        kept=(b"wp-content", b"wp-config.php", b".htaccess", b".user.ini"),
        plugins=b"wp-content/plugins",
        themes=b"wp-content/themes",
        closes=True,
    ),
    "dokuwiki": Shape(
        kept=(b"data", b"conf/local.php", b"conf/local.protected.php", b"conf/acl.auth.php", b"conf/users.auth.php")
        + (b"conf/plugins.local.php", b"conf/plugins.protected.php", b".htaccess"),
        plugins=b"lib/plugins",
        themes=b"lib/tpl",
    ),
    "mediawiki": Shape(
        kept=(b"LocalSettings.php", b"images", b".htaccess"), plugins=b"extensions", themes=b"skins", upgrades=True
    ),
}


def recognise(kind: Kind, path: bytes, name: str) -> Component | None:
    """What a folder called ``name`` holds for a kind of app; None when it is nothing of it."""
    shape = SHAPES.get(kind.name)
    if shape is None:
        return None
    with Folder.at(path) as folder:
        if all(folder.stat(*mark.split(b"/")) for mark in kind.marks):
            found = kind.recognise(folder)
            gone = _gone(kind.name, folder)
            if found is None:
                return None
            core = Component(part=Part.CORE, name=kind.title, version=found.version, path=path)
            return replace(core, kept=shape.kept, gone=gone, closes=shape.closes, upgrades=True)
        known = _READERS[kind.name](folder)
    if known is None:
        return None
    part, called, version = known
    called = called or name
    if not _NAME.fullmatch(called):
        return None
    where = shape.plugins if part is Part.PLUGIN else shape.themes
    place = where + b"/" + called.encode()
    return Component(part=part, name=called, version=version, path=path, place=place, upgrades=shape.upgrades)


def installed(kind: Kind, app: Folder, component: Component) -> str | None:
    """The version of a component that an app has; None where it has none of it."""
    folder = app.folder(*component.place.split(b"/")) if component.place else None
    if folder is None:
        return None
    with folder:
        known = _READERS[kind.name](folder)
        return known[2] if known else None


_Known = tuple[Part, str, str]


def _wordpress(folder: Folder) -> _Known | None:
    style = (folder.read(b"style.css", limit=_MOST_FILE) or b"")[:_MOST_HEADER]
    if _header(style, b"Theme Name"):
        return Part.THEME, "", _header(style, b"Version")
    for name in folder.names(most=_MOST_NAMES):
        if name.endswith(b".php"):
            begins = (folder.read(name, limit=_MOST_FILE) or b"")[:_MOST_HEADER]
            if _header(begins, b"Plugin Name"):
                return Part.PLUGIN, "", _header(begins, b"Version")
    return None


def _dokuwiki(folder: Folder) -> _Known | None:
    for name, part in ((b"plugin.info.txt", Part.PLUGIN), (b"template.info.txt", Part.THEME)):
        content = folder.read(name, limit=_MOST_FILE)
        if content is not None:
            words = dict(
                line.split(None, 1) for line in content.decode("utf-8", "replace").splitlines() if len(line.split()) > 1
            )
            return part, words.get("base", "").strip(), words.get("date", "").strip()
    return None


def _mediawiki(folder: Folder) -> _Known | None:
    for name, part in ((b"extension.json", Part.PLUGIN), (b"skin.json", Part.THEME)):
        content = folder.read(name, limit=_MOST_FILE)
        if content is None:
            continue
        try:
            found = msgspec.json.decode(content, type=dict[str, object])
        except msgspec.MsgspecError:
            return None
        return part, "", str(found.get("version", ""))
    return None


_READERS: dict[str, Callable[[Folder], _Known | None]] = {
    "wordpress": _wordpress,
    "dokuwiki": _dokuwiki,
    "mediawiki": _mediawiki,
}


def _header(content: bytes, key: bytes) -> str:
    found = re.search(_HEADER % re.escape(key), content, re.MULTILINE | re.IGNORECASE)
    return text(found[1]).strip()[:100] if found else ""


def _gone(kind: str, folder: Folder) -> tuple[bytes, ...]:
    """The files that a new core names as no more its own, as its makers say it."""
    names: list[bytes] = []
    if kind == "wordpress":
        content = folder.read(b"wp-admin", b"includes", b"update-core.php", limit=_MOST_FILE) or b""
        found = _OLD_FILES.search(content)
        names = _QUOTED.findall(found[1]) if found else []
    elif kind == "dokuwiki":
        content = folder.read(b"data", b"deleted.files", limit=_MOST_FILE) or b""
        names = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith(b"#")]
    return tuple(name for name in names if not name.startswith(b"/") and b".." not in name.split(b"/"))
