"""Any other app, by what its ``.webapp.yml`` says: the panel's ad hoc manifest, with some words of our own.

Of the panel's keys ``database`` and ``fortification`` are read; ``base``, ``depth``, ``signature`` and ``manifest_version`` say
nothing here: the app's folder is the one with the manifest in it, and nothing in it is believed because it was signed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from strongroom.model import Frozen
from strongroom.panel.folder import Folder
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import login

NAME = b".webapp.yml"
_MOST_BYTES = 64 << 10
_MOST_WORDS = 256


class _Database(Frozen):
    type: str = "mysql"
    db: str = ""
    user: str = ""
    password: str = ""
    host: str = ""
    prefix: str = ""


class _Manifest(Frozen):
    name: str = ""
    version: str = ""
    url: str = ""
    database: _Database | None = None
    fortification: dict[str, tuple[str, ...] | None] | None = None
    caches: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    upgrade: tuple[str, ...] = ()


class AdHoc(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "adhoc"
    title = "an app with a manifest"
    tried = True
    marks = (NAME,)

    def recognise(self, folder: Folder) -> Found | None:
        """What the manifest says; one that cannot be read says nothing, and is an app all the same."""
        manifest = _read(folder.read(NAME, limit=_MOST_BYTES))
        if manifest is None:
            return Found()
        said = manifest.database
        database = login(said.type, said.db, said.user, said.password, said.host, said.prefix) if said else None
        return Found(
            version=manifest.version,
            login=database,
            url=manifest.url,
            title=manifest.name or None,
            caches=_few(manifest.caches),
            uploads=_few(manifest.uploads),
            writable={
                mode: tuple(path.encode("utf-8", "surrogateescape") for path in _few(paths or ()))
                for mode, paths in (manifest.fortification or {}).items()
                if mode in ("max", "min")
            },
            upgrade=_few(manifest.upgrade),
        )


def _few(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[:_MOST_WORDS]


def _read(content: bytes | None) -> _Manifest | None:
    """A manifest; None for what is none. Aliases are refused: a few of them can stand for more than memory holds."""
    import yaml

    try:
        if content is None or any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.CSafeLoader)
        ):
            return None
        said: Any = yaml.load(content, yaml.CSafeLoader)  # noqa: S506 - the safe loader, compiled
        return msgspec.convert(said if said is not None else {}, _Manifest, strict=False)
    except (yaml.YAMLError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
