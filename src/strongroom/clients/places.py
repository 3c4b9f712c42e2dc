"""Whose a path in somebody else's backup is: which account's, and which tree of it.

The file sets of others name an account's folders themselves, or folders above them, and may strip folders from the
beginning of every path.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import NamedTuple

from strongroom.config import Config
from strongroom.model import text

_APISCP = (("data", "shadow"), ("info", "info"))
_VIRTUAL = b"/home/virtual"


class Place(NamedTuple):
    """A folder of an account, as the path of somebody's backup; it ends in no slash."""

    account: str
    tree: str
    path: str


class Places:
    """Finds accounts' folders among paths; ``condition`` is what SQL can say of them: true of each, and of few others.

    ``globs`` are shell patterns of these folders, ``searched`` of wherever they may be in a backup; ``excluded`` regular
    expressions of what is never copied of them.
    """

    def __init__(self, config: Config) -> None:
        apiscp = config.server.layout == "apiscp"
        self._patterns = list(_sites(config) if apiscp else _plain(config))
        self.condition = " OR ".join(_like_sites() if apiscp else map(_like, _globs(config))) or "1=0"
        sites = text(config.server.below(_VIRTUAL)) + "/site"
        self.globs = tuple(f"{sites}*/{folder}" for _, folder in _APISCP) if apiscp else _globs(config)
        above = _stripped(config.server.below(_VIRTUAL))
        anywhere = (f"{each}/site*/{folder}" for each in above for _, folder in _APISCP)
        self.searched = tuple(anywhere) if apiscp else self.globs
        # The data of database servers, which are exported, and the work folder of the kernel's overlay.
        left_out = ("shadow/var/lib/(mysql|pgsql)", "info/work")
        self.excluded = tuple(f"^{re.escape(sites)}[0-9]+/{path}$" for path in left_out) if apiscp else ()

    def of(self, folder: str) -> Place | None:
        """The account's folder that a folder (with a slash at its end) is; None for any other."""
        for tree, pattern in self._patterns:
            if found := pattern.fullmatch(folder.rstrip("/")):
                return Place(account=found.group("account"), tree=tree, path=folder.rstrip("/"))
        return None


def _stripped(path: bytes) -> list[str]:
    """A path, and what is left of it when folders are stripped from its beginning."""
    parts = text(path).strip("/").split("/")
    return ["".join(f"/{part}" for part in parts[number:]) for number in range(len(parts) + 1)]


def _sites(config: Config) -> list[tuple[str, re.Pattern[str]]]:
    above = "|".join(re.escape(path) for path in _stripped(config.server.below(_VIRTUAL)))
    return [(tree, re.compile(rf"(?:{above})/(?P<account>site[0-9]+)/{folder}")) for tree, folder in _APISCP]


def _like_sites() -> list[str]:
    return [f"Path.Path LIKE '%/site%/{folder}/'" for _, folder in _APISCP]


def _like(glob: str) -> str:
    """A shell's pattern as SQL has it, for folders as deep as it is; a wildcard for what SQL would take otherwise."""
    pattern = re.sub(r"\[[^]]*\]|[?'\"\\\n\r]", "_", glob).replace("*", "%")
    return f"(Path.Path LIKE '{pattern}/' AND LENGTH(Path.Path)-LENGTH(REPLACE(Path.Path,'/',''))={glob.count('/') + 1})"


def _globs(config: Config) -> tuple[str, ...]:
    return tuple(text(config.server.below(glob)) for glob in config.server.accounts)


def _plain(config: Config) -> list[tuple[str, re.Pattern[str]]]:
    found = []
    for glob in config.server.accounts:
        above, _, last = text(config.server.below(glob)).rpartition("/")
        folders = "/".join(map(_glob, above.split("/")))
        found.append(("data", re.compile(rf"{folders}/(?P<account>{_glob(last)})", re.DOTALL)))
    return found


def _glob(part: str) -> str:
    """A shell's pattern of one name, as a regular expression that no slash fits."""
    # Python's own translation, out of its anchors; what it means by a dot is any character.
    return "(?:" + re.sub(r"(?<![\\\[])\.", "[^/]", re.sub(r"^\(\?s:(.*)\)\\[Zz]$", r"\1", translate(part))) + ")"
