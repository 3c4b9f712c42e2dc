"""Nextcloud."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind, Login
from strongroom.webapps.kinds.settings import login, settings


class Nextcloud(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "nextcloud"
    title = "Nextcloud"
    marks = (b"occ", b"version.php", b"lib/versioncheck.php")
    caches = ("/data/appdata_*/preview/*", "/data/updater-*/*", "/data/nextcloud.log*")
    uploads = ("/data/",)
    writable = {"max": (b"data", b"config", b"apps")}
    upgrade = ("php", "occ", "upgrade", "--no-interaction")

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what config.php says."""
        version = php.word(settings(folder, b"version.php").variables.get("OC_VersionString"))
        said = php.below(settings(folder, b"config/config.php").variables, "CONFIG") or {}
        return Found(version=version, login=_login(said), url=php.word(php.below(said, "overwrite.cli.url")))


def _login(said: php.Value) -> Login | None:
    engine, name = php.below(said, "dbtype"), php.below(said, "dbname")
    if engine in ("sqlite", "sqlite3"):
        return login(engine, f"{php.word(php.below(said, 'datadirectory'))}/{php.word(name) or 'owncloud'}.db")
    keys = ("dbuser", "dbpassword", "dbhost", "dbtableprefix")
    return login(engine, name, *(php.below(said, key) for key in keys))
