"""Joomla!"""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import login, matched, settings


class Joomla(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "joomla"
    title = "Joomla!"
    marks = (b"administrator/manifests/files/joomla.xml",)
    caches = ("/cache/*", "/administrator/cache/*", "/tmp/*", "/administrator/logs/*")  # noqa: S108
    uploads = ("/images/",)
    writable = {"max": (b"cache", b"administrator/cache", b"tmp", b"images", b"administrator/logs")}

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what configuration.php says."""
        version = matched(folder, self.marks[0], r"<version>\s*([^<]+?)\s*</version>")
        said = settings(folder, b"configuration.php").variables
        keys = ("dbtype", "db", "user", "password", "host", "dbprefix")
        return Found(version=version, login=login(*map(said.get, keys)), url=php.word(said.get("live_site")))
