"""Ghost, as its own command line installs it: versions beside each other, one of them current."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind, Login
from strongroom.webapps.kinds.settings import decoded, login


class Ghost(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "ghost"
    title = "Ghost"
    marks = (b"config.production.json", b"versions", b"content")
    caches = ("/content/logs/*",)
    uploads = ("/content/images/", "/content/media/", "/content/files/")
    writable = {"max": (b"content",)}

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what config.production.json says."""
        version = php.word(php.below(decoded(folder, b".ghost-cli"), "active-version"))
        said = decoded(folder, b"config.production.json")
        return Found(version=version, login=_login(said), url=php.word(php.below(said, "url")))


def _login(said: php.Value) -> Login | None:
    engine = php.below(said, "database", "client")
    connection = php.below(said, "database", "connection")
    name = php.below(connection, "filename" if engine == "sqlite3" else "database")
    keys = ("user", "password", "host")
    return login("mysql" if engine == "mysql2" else engine, name, *(php.below(connection, key) for key in keys))
