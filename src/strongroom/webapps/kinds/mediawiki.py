"""MediaWiki."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind, Login
from strongroom.webapps.kinds.settings import hosted, login, settings


class MediaWiki(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "mediawiki"
    title = "MediaWiki"
    tried = True
    marks = (b"includes/Defines.php", b"includes/WebStart.php")
    caches = ("/cache/*", "/images/thumb/*", "/images/temp/*")
    uploads = ("/images/",)
    writable = {"max": (b"images", b"cache")}
    upgrade = ("php", "maintenance/update.php", "--quick")

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what LocalSettings.php says."""
        version = php.word(settings(folder, b"includes/Defines.php").constants.get("MW_VERSION"))
        said = settings(folder, b"LocalSettings.php").variables
        server, path = php.word(said.get("wgServer")), php.word(said.get("wgScriptPath"))
        return Found(version=version, login=_login(said), url=server + path if "://" in server else "")


def _login(said: dict[str, php.Value]) -> Login | None:
    engine, name = said.get("wgDBtype", "mysql"), said.get("wgDBname")
    if engine == "sqlite":
        folder = php.word(said.get("wgSQLiteDataDir"))
        return login(engine, f"{folder}/{php.word(name)}.sqlite" if folder else "")
    return login(
        "postgresql" if engine == "postgres" else engine,
        name,
        said.get("wgDBuser"),
        said.get("wgDBpassword"),
        hosted(said.get("wgDBserver"), said.get("wgDBport") if engine == "postgres" else ""),
        said.get("wgDBprefix"),
    )
