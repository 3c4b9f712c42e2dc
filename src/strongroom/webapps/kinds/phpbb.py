"""phpBB."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import hosted, login, settings


class PhpBB(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "phpbb"
    title = "phpBB"
    marks = (b"viewtopic.php", b"includes/constants.php", b"styles/prosilver")
    caches = ("/cache/*",)
    uploads = ("/files/*", "/images/avatars/upload/*", "/store/*")
    writable = {"max": (b"cache", b"files", b"store", b"images/avatars/upload")}
    upgrade = ("php", "bin/phpbbcli.php", "db:migrate", "--safe-mode")

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what config.php says."""
        version = php.word(settings(folder, b"includes/constants.php").constants.get("PHPBB_VERSION"))
        said = settings(folder, b"config.php").variables
        host = hosted(said.get("dbhost"), said.get("dbport"))
        database = login(
            said.get("dbms"),
            said.get("dbname"),
            said.get("dbuser"),
            said.get("dbpasswd"),
            host,
            said.get("table_prefix"),
        )
        return Found(version=version, login=database)
